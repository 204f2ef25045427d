"""F10 small: a user disabled for good."""

from __future__ import annotations

from tests.drills import f10_disconnected
from tests.drills.world import World


def test_f10_a_disabled_user_stops_the_run_and_costs_no_prospect(place: World) -> None:
    verdict = f10_disconnected.lasting(place, 1, f10_disconnected.DISABLED, count=2_500)
    assert verdict.wrong == []
