"""B01 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import b01_nasty_text as b01
from tests.drills.world import World


def test_nasty_text_arrives_or_is_told_of(place: World) -> None:
    assert b01.drill(place, 1, count=150).wrong == []
