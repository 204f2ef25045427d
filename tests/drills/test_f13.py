"""F13 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import f13_merged
from tests.drills.world import World


def test_records_were_merged(place: World) -> None:
    assert f13_merged.drill(place, 1, count=200).wrong == []
