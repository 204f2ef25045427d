"""F01 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import f01_answer_lost
from tests.drills.world import World


def test_answers_are_lost(place: World) -> None:
    assert f01_answer_lost.drill(place, 1, count=80).wrong == []
