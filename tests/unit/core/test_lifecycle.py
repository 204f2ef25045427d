"""What a link is found to be by the record it names, and when so many are gone that it is rather our sight."""

from __future__ import annotations

from typing import Any

import pytest

from dynamics.core.ledger import LinkState
from dynamics.core.lifecycle import checked_state, too_many_gone

MASTER = "b7a1c2d3-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("table", "record", "state"),
    [
        ("lead", None, LinkState.DELETED),
        ("lead", {"statecode": 0}, LinkState.LIVE),
        ("lead", {"statecode": 1}, LinkState.QUALIFIED),
        ("lead", {"statecode": 2}, LinkState.DEACTIVATED),
        ("contact", {"statecode": 1}, LinkState.DEACTIVATED),
        ("lead", {"statecode": 2, "merged": True, "_masterid_value": MASTER}, LinkState.MERGED),
        ("lead", {"statecode": 2, "merged": True, "_masterid_value": None}, LinkState.DELETED),
    ],
)
def test_what_a_link_is_found_to_be(table: str, record: dict[str, Any] | None, state: LinkState) -> None:
    assert checked_state(table, record) is state


@pytest.mark.parametrize(
    ("gone", "asked", "at_most", "too_many"),
    [(19, 19, 20, False), (20, 99, 20, True), (20, 100, 20, False), (2000, 2000, 100, False), (20, 2000, 0, True)],
)
def test_a_few_that_are_gone_prove_nothing(gone: int, asked: int, at_most: float, too_many: bool) -> None:
    assert too_many_gone(gone, asked, at_most) is too_many
