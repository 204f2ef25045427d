"""Clears up writes whose outcome nobody recorded: a worker was killed, a connection broke, an answer got lost.

Such a write may have landed, so the record is read by its id before anything else is decided about the prospect:

- create: the record is there and was made by us: it landed. Not there: it did not, and the same id is used again. An id
  may have been lent to another prospect of the same person, who then made the record: that prospect tells of it.
- update: the version it was decided on is still there: it did not land. The version moved on: nobody can tell yet; the
  prospect is planned anew, and if nothing is left to change, the update landed (`Chunk.suspects`).

An attempt of another run is judged the same way. If it landed, that run's item is settled with it; if not, the item
stays with its run, which may be alive and only waiting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from uuid import UUID

from dynamics.sync.chunk import Chunk
from dynamics.sync.ports import (
    AttemptResult,
    Crm,
    JsonObject,
    Ledger,
    Link,
    LinkState,
    OpenAttempt,
    Outcome,
    Settlement,
)

BUSY_RETRY_S = 2.0
MAX_ATTEMPTS = 3  # writes of one prospect in one run, before it is left to the next run


def recover(chunk: Chunk, organization_id: UUID, ledger: Ledger, crm: Crm, now: datetime) -> None:
    """Resolve the open attempts of the chunk's prospects. Prospects in other hands right now are released."""
    attempts = ledger.open_attempts(organization_id, list(chunk.open))
    if not attempts:
        return
    busy = {a.prospect_key for a in attempts if _is_busy(a, chunk, now)}
    chunk.release(busy, BUSY_RETRY_S, "busy_in_another_run")
    attempts = [a for a in attempts if a.prospect_key not in busy]
    records = _read_records(attempts, crm)
    user_ids = {str(user) for user in crm.organization().user_ids}
    for attempt in attempts:
        record = records.get((attempt.table, attempt.record_id))
        made_by_us = record is not None and record.get("_createdby_value") in user_ids
        if attempt.operation == "create" and made_by_us and not attempt.told_by_another:
            _settle_landed(chunk, ledger, attempt)
        elif attempt.operation == "update" and record is not None and record["@etag"] != attempt.etag:
            chunk.suspects.setdefault(attempt.prospect_key, []).append(attempt)
        else:
            _close_not_landed(chunk, ledger, attempt)


def close_suspects(chunk: Chunk, ledger: Ledger) -> None:
    """After planning: suspects whose prospect turned out to have nothing left to change had landed."""
    unchanged = {s.prospect_key: s for s in chunk.settlements if s.outcome is Outcome.UNCHANGED}
    for key, attempts in chunk.suspects.items():
        settlement = unchanged.get(key)
        landed = [a for a in attempts if settlement is not None and settlement.record_id == a.record_id]
        for attempt in attempts:
            if attempt in landed:
                _settle_landed_update(chunk, ledger, attempt, unchanged[key])
            else:
                _close_not_landed(chunk, ledger, attempt)


def _is_busy(attempt: OpenAttempt, chunk: Chunk, now: datetime) -> bool:
    """Held by a worker of another run whose lease still stands. In this run the claim itself took the lease over."""
    return attempt.run_id != chunk.claim.run_id and attempt.lease_until is not None and attempt.lease_until > now


def _read_records(attempts: Iterable[OpenAttempt], crm: Crm) -> dict[tuple[str, UUID], JsonObject]:
    found: dict[tuple[str, UUID], JsonObject] = {}
    by_table = sorted(attempts, key=lambda a: a.table)
    for table, group in groupby(by_table, key=lambda a: a.table):
        for record in crm.read(table, sorted({a.record_id for a in group}), ()):
            found[table, UUID(record["@id"])] = record
    return found


def _settle_landed(chunk: Chunk, ledger: Ledger, attempt: OpenAttempt) -> None:
    settlement = _landed(attempt, Outcome.CREATED, chunk)
    if attempt.run_id == chunk.claim.run_id:
        chunk.open.pop(attempt.prospect_key, None)
        chunk.settlements.append(settlement)
        chunk.results.append(AttemptResult(attempt.attempt_id, "landed"))
    else:
        ledger.settle_attempt(attempt, settlement)


def _settle_landed_update(chunk: Chunk, ledger: Ledger, attempt: OpenAttempt, unchanged: Settlement) -> None:
    settlement = replace(_landed(attempt, Outcome.UPDATED, chunk), link=unchanged.link)
    if attempt.run_id == chunk.claim.run_id:
        chunk.settlements[chunk.settlements.index(unchanged)] = settlement
        chunk.results.append(AttemptResult(attempt.attempt_id, "landed"))
    else:
        ledger.settle_attempt(attempt, settlement)


def _close_not_landed(chunk: Chunk, ledger: Ledger, attempt: OpenAttempt) -> None:
    if attempt.operation == "create":
        chunk.resent.add(attempt.prospect_key)
    ledger.resolve([AttemptResult(attempt.attempt_id, "not_landed")])
    if chunk.attempts(attempt.prospect_key) >= MAX_ATTEMPTS:
        chunk.settle(attempt.prospect_key, Outcome.DEFERRED, reason="no_answer", table=attempt.table)


def _landed(attempt: OpenAttempt, outcome: Outcome, chunk: Chunk) -> Settlement:
    key = attempt.prospect_key
    link = Link(
        prospect_key=key,
        table=attempt.table,
        record_id=attempt.record_id,
        state=LinkState.LIVE,
        generation=attempt.generation,
        content_hash=attempt.content_hash,
        column_hashes=attempt.column_hashes,
    )
    return Settlement(
        prospect_key=key,
        fence=chunk.fence(key),
        revision=attempt.revision,
        outcome=outcome,
        table=attempt.table,
        record_id=attempt.record_id,
        matched_by=attempt.matched_by,
        duplicates_found=attempt.duplicates_found,
        changed_columns=attempt.changed_columns,
        request_id=attempt.request_id,
        recovered=True,
        link=link,
    )
