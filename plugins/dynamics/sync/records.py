"""Reads records by id, and those into which people have merged them: nothing is ever written to a merge's loser."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from dynamics.core.crm import JsonObject
from dynamics.core.lifecycle import is_orphan, merged_into
from dynamics.sync.ports import Crm


def read_current(crm: Crm, table: str, record_ids: Collection[UUID], select: Sequence[str]) -> dict[UUID, JsonObject]:
    """Each id -> the record it stands for today: its own, or the winner at the end of its merges.

    Absent is what is gone, and what was merged into a record that is gone. Merges that go round in a circle give a
    record that is merged itself.
    """
    found: dict[UUID, JsonObject] = {}
    ends = {record_id: record_id for record_id in record_ids}
    passed = {record_id: {record_id} for record_id in record_ids}
    moving = list(record_ids)
    while moving:
        if unread := {ends[record_id] for record_id in moving} - found.keys():
            found |= {UUID(record["@id"]): record for record in crm.read(table, sorted(unread), select)}
        winners = {record_id: merged_into(found.get(ends[record_id])) for record_id in moving}
        moving = []
        for record_id, winner in winners.items():
            if winner is not None and winner not in passed[record_id]:
                ends[record_id] = winner
                passed[record_id].add(winner)
                moving.append(record_id)
    # One that was merged into a record since deleted no longer says into which.
    gone = {end for end in ends.values() if end not in found or is_orphan(found[end])}
    return {record_id: found[end] for record_id, end in ends.items() if end not in gone}
