"""F17 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import f17_database_misbehaves
from tests.drills.world import World


def test_f17_the_database_is_cut_off_restarted_and_in_conflict(place: World) -> None:
    assert f17_database_misbehaves.drill(place, 1, count=300, every=(6, 16)).wrong == []
