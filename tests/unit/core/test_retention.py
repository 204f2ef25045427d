"""What a prospect says about how long it may be kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dynamics.core.retention import retain_until

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        ({"retain_until": "2027-01-01T00:00:00Z"}, NEW_YEAR),
        ({"retain_until": "2027-01-01T01:00:00+01:00"}, NEW_YEAR),
        ({"retain_until": "2027-01-01"}, NEW_YEAR),
        ({"retain_until": None}, None),
        ({"retain_until": "when the show is over"}, None),
        ({"retain_until": "0001-01-01T00:00:00+14:00"}, None),
        ({"retain_until": 1798761600}, None),
        ({}, None),
        (None, None),
        ("private", None),
    ],
)
def test_only_a_time_that_can_be_read_counts(privacy: Any, expected: datetime | None) -> None:
    assert retain_until({"privacy": privacy}) == expected
    assert retain_until({}) is None
