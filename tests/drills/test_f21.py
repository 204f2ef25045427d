"""F21 at a size that fits into the test run. The last release's own code is in the history, which a checkout need not
have: `make drills ONLY=F21`."""

from __future__ import annotations

from tests.drills import f21_upgrade
from tests.drills.world import World


def test_f21_of_two_starters_one_migrates(place: World) -> None:
    assert f21_upgrade.two_starters(place, 1, count=200).wrong == []


def test_f21_a_starter_killed_in_the_middle_leaves_nothing(place: World) -> None:
    assert f21_upgrade.killed(place, 1, count=200).wrong == []


def test_f21_an_upgrade_behind_a_lock_gives_up_before_it_holds_up_writers(place: World) -> None:
    assert f21_upgrade.lock_held(place, 1, count=200).wrong == []


def test_f21_an_old_worker_refuses_to_write(place: World) -> None:
    assert f21_upgrade.old_worker(place, 1, count=1_200).wrong == []
