"""F10 small: a user disabled for a moment. A lasting fault is borne with for longer than a test may take."""

from __future__ import annotations

from tests.drills import f10_disconnected
from tests.drills.world import World


def test_f10_a_user_disabled_for_a_moment_costs_no_prospect(place: World) -> None:
    verdict = f10_disconnected.short(place, 1, f10_disconnected.DISABLED, count=6_000, workers=1, lasts_s=2.0)
    assert verdict.wrong == []
