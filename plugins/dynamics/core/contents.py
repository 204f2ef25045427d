"""What prospects say about records, and which prospects go to the same record. Between mapping and writing."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import pandas as pd

from dynamics.core.chunk import Content, Target
from dynamics.core.crm import JsonObject
from dynamics.core.identity import column_hashes, content_hash
from dynamics.core.mapping import Mapped, update_values
from dynamics.core.policy import Update

COMPANY = "@company"  # no column has such a name


def content_of(mapped: Mapped, key: int, company: str | None) -> Content:
    """One prospect's content. The key of its company counts as said, whatever account that turns out to be."""
    values = update_values(mapped, key)
    said = values if company is None else {**values, COMPANY: company}
    return Content(values, column_hashes(values), content_hash(said), tuple(mapped.warnings.get(key, ())))


def update_of(decision: Update, members: list[int], record: JsonObject) -> Target:
    """The target of prospects whose record was matched and read."""
    return Target(
        "update",
        decision.table,
        decision.record_id,
        members,
        record=record,
        matched_by=decision.matched_by,
        duplicates_found=decision.duplicates_found,
    )


def join_by_record(targets: Iterable[Target], frame: pd.DataFrame) -> list[Target]:
    """One target per record: prospects that go to the same one are one write. Members oldest first."""
    joined: dict[tuple[str, UUID], Target] = {}
    for target in targets:
        first = joined.setdefault((target.table, target.record_id), target)
        if first is not target:
            first.members += target.members
            first.contents |= target.contents
            first.record = first.record or target.record
    captured, names = frame["captured_at"].to_dict(), frame["prospect_id"].to_dict()
    for target in joined.values():
        target.members.sort(key=lambda key: (captured[key], names[key]))
    return list(joined.values())


def tables_of(targets: Iterable[Target]) -> list[str]:
    """The tables of the targets, sorted, each once."""
    return sorted({target.table for target in targets})
