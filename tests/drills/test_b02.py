"""B02 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import b02_who_is_who as b02
from tests.drills.world import World


def test_spellings_of_one_address_are_one_person(place: World) -> None:
    assert b02.one_run(place, 1, blocks=6, without=20, workers=2).wrong == []


def test_two_runs_at_once_make_nobody_twice(place: World) -> None:
    assert b02.two_runs_at_once(place, 1, blocks=6, without=20, workers=1).wrong == []
