"""Decides which record a prospect is linked to, whether it may still be written, and into which it was merged.

Source: Microsoft Learn, "Merge table rows using the Web API"; the state codes of lead and contact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from dynamics.core.ledger import Link, LinkState

GONE_AT_LEAST = 20


def current_links(links: Iterable[Link], tables: Sequence[str]) -> dict[int, Link]:
    """One link per prospect: a live one before a dead one, then by the order in which the policy looks at tables."""
    order = {table: rank for rank, table in enumerate(tables)}
    chosen: dict[int, Link] = {}
    for link in sorted(links, key=lambda x: (x.state is not LinkState.LIVE, order.get(x.table, len(order)), x.table)):
        chosen.setdefault(link.prospect_key, link)
    return chosen


def record_state(table: str, record: Mapping[str, Any] | None) -> LinkState:
    """Whether a record may still be written. `record` as read, None when it is gone."""
    if record is None:
        return LinkState.DELETED
    if record.get("merged"):
        return LinkState.MERGED
    if record["statecode"] == 0:
        return LinkState.LIVE
    return LinkState.QUALIFIED if table == "lead" and record["statecode"] == 1 else LinkState.DEACTIVATED


def checked_state(table: str, record: Mapping[str, Any] | None) -> LinkState:
    """What a link to this record is found to be when nobody follows it. One merged into a record that is gone since is
    gone with it."""
    return LinkState.DELETED if record is not None and is_orphan(record) else record_state(table, record)


def too_many_gone(gone: int, asked: int, at_most_percent: float) -> bool:
    """Whether so many records are gone that it is rather we who may not see them any more. A few prove nothing."""
    return gone >= GONE_AT_LEAST and gone * 100 > asked * at_most_percent


def merged_into(record: Mapping[str, Any] | None) -> UUID | None:
    """The record that a person merged this one into; None when it was not merged, or is an orphan."""
    master = record.get("_masterid_value") if record is not None and record.get("merged") else None
    return UUID(master) if master else None


def is_orphan(record: Mapping[str, Any]) -> bool:
    """Whether a record was merged into one that was deleted since: the CRM then forgets into which."""
    return bool(record.get("merged")) and not record.get("_masterid_value")
