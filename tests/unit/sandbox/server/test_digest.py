"""A digest tells rows apart whatever their order is."""

from __future__ import annotations

import pytest

from sandbox.server.digest import digest

ROWS = [("a", 1), ("b", None), ("b", None)]


def test_rows_are_counted_and_compared_in_any_order() -> None:
    found = digest(ROWS)
    assert (found["rows"], found["distinct"]) == (3, 2)
    assert digest(reversed(ROWS)) == found


@pytest.mark.parametrize("other", [[("a", 1), ("b", None)], [("a", 2), ("b", None), ("b", None)], [("a", 1)] * 3, []])
def test_other_rows_have_another_digest(other: list[tuple[str, int]]) -> None:
    assert digest(other)["sum"] != digest(ROWS)["sum"]
