"""F15 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import f15_late_and_skewed
from tests.drills.world import World


def test_f15_a_source_that_changes_while_it_is_read(place: World) -> None:
    assert f15_late_and_skewed.drifting(place, 1, count=400, page_delay_s=0.5, workers=1).wrong == []


def test_f15_a_run_that_is_overtaken_brings_nothing_older(place: World) -> None:
    assert f15_late_and_skewed.overtaken(place, 1, count=150, workers=1).wrong == []
