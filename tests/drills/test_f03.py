"""F03 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import f03_zombie
from tests.drills.world import World


def test_a_stopped_worker_wakes_up(place: World) -> None:
    assert f03_zombie.stopped(place, 1).wrong == []


def test_a_stopped_worker_wakes_up_while_another_is_at_it(place: World) -> None:
    assert f03_zombie.woken_early(place, 1).wrong == []
