"""The drills at a size that fits into the test run. `make drills` runs them whole."""

from __future__ import annotations

import pytest

from tests.drills import f02_crash_sweep, f05_poison
from tests.drills.world import World


@pytest.mark.parametrize("point", f02_crash_sweep.KILL_POINTS)
def test_f02_a_worker_killed_at(point: str, place: World) -> None:
    assert f02_crash_sweep.drill(place, 1, point, count=120).wrong == []


def test_f05_poison_in_the_chunk(place: World) -> None:
    assert f05_poison.drill(place, 1, count=200).wrong == []
