"""Decides by what a person did to a record whether it may still be written, and which record it was merged into.

Source: Microsoft Learn, "Merge table rows using the Web API"; the state codes of lead and contact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dynamics.core.ledger import LinkState


def record_state(table: str, record: Mapping[str, Any] | None) -> LinkState:
    """Whether a record may still be written. `record` as read, None when it is gone."""
    if record is None:
        return LinkState.DELETED
    if record.get("merged"):
        return LinkState.MERGED
    if record["statecode"] == 0:
        return LinkState.LIVE
    return LinkState.QUALIFIED if table == "lead" and record["statecode"] == 1 else LinkState.DEACTIVATED


def merged_into(record: Mapping[str, Any] | None) -> UUID | None:
    """The record that a person merged this one into; None when it was not merged, or is an orphan."""
    master = record.get("_masterid_value") if record is not None and record.get("merged") else None
    return UUID(master) if master else None


def is_orphan(record: Mapping[str, Any]) -> bool:
    """Whether a record was merged into one that was deleted since: the CRM then forgets into which."""
    return bool(record.get("merged")) and not record.get("_masterid_value")
