"""F23 at a size that fits into the test run."""

from __future__ import annotations

import pytest

from tests.drills import f23_schema_changes as f23
from tests.drills.world import World


@pytest.mark.parametrize("change", f23.CHANGES)
def test_a_change_is_named_before_anybody_is_claimed(place: World, change: str) -> None:
    assert f23.changed(place, 1, change, count=10).wrong == []


@pytest.mark.parametrize(
    ("change", "writes"), [("option dropped", "creates"), ("column required", "creates"), ("column dropped", "updates")]
)
def test_a_change_in_mid_run_is_named_and_rejects_nobody(place: World, change: str, writes: str) -> None:
    assert f23.changed_meanwhile(place, 1, change, writes, count=600).wrong == []


def test_a_column_that_is_cut_anyway_may_be_shortened_in_mid_run(place: World) -> None:
    assert f23.shortened_where_cut(place, 1, count=600).wrong == []


def test_a_new_field_updates_those_with_a_value(place: World) -> None:
    assert f23.new_field(place, 1, count=30).wrong == []


def test_a_plugin_that_refuses_all_stops_the_run(place: World) -> None:
    assert f23.plugin_for_all(place, 1, count=200).wrong == []


def test_a_plugin_that_refuses_some_rejects_those(place: World) -> None:
    assert f23.plugin_for_some(place, 1, count=60).wrong == []


def test_a_broken_configuration_is_refused_with_all_its_faults(place: World) -> None:
    assert f23.broken(place, 1, only=3).wrong == []
