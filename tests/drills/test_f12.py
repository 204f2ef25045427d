"""F12 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import f12_edited_meanwhile
from tests.drills.world import World


def test_people_edit_meanwhile(place: World) -> None:
    assert f12_edited_meanwhile.drill(place, 1, count=100).wrong == []
