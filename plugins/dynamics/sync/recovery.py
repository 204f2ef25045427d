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
from datetime import datetime
from itertools import groupby
from uuid import UUID

from dynamics.core.chunk import Chunk
from dynamics.core.crm import JsonObject
from dynamics.core.ledger import AttemptResult, OpenAttempt, Outcome, Settlement
from dynamics.core.outcomes import judge_suspects, landed_settlement
from dynamics.sync.ports import Crm, Ledger

BUSY_RETRY_S = 2.0
MAX_ATTEMPTS = 3  # writes of one prospect in one run, before it is left to the next run


def recover(chunk: Chunk, organization_id: UUID, ledger: Ledger, crm: Crm, now: datetime) -> None:
    """Resolve the open attempts of the chunk's prospects. Prospects in other hands right now are released."""
    attempts = ledger.open_attempts(organization_id, list(chunk.open))
    if not attempts:
        return
    busy = {a.intent.prospect_key for a in attempts if a.is_busy(chunk.claim.run_id, now)}
    chunk.release(busy, BUSY_RETRY_S, "busy_in_another_run")
    attempts = [a for a in attempts if a.intent.prospect_key not in busy]
    records = _read_records(attempts, crm)
    user_ids = {str(user) for user in crm.organization().user_ids}
    landed, lost = [], []
    for attempt in attempts:
        intent = attempt.intent
        record = records.get((intent.table, intent.record_id))
        made_by_us = record is not None and record.get("_createdby_value") in user_ids
        if intent.operation == "create" and made_by_us and not attempt.told_by_another:
            landed.append((attempt, landed_settlement(chunk, attempt.intent, Outcome.CREATED)))
        elif intent.operation == "update" and record is not None and record["@etag"] != intent.etag:
            chunk.suspects.setdefault(intent.prospect_key, []).append(attempt)
        else:
            lost.append(attempt)
    _settle_landed(chunk, ledger, landed)
    _close_lost(chunk, ledger, lost)


def close_suspects(chunk: Chunk, ledger: Ledger) -> None:
    """After planning, when the records have been seen: say of the suspects which had landed, and close them."""
    landed, lost = judge_suspects(chunk)
    _settle_landed(chunk, ledger, landed)
    _close_lost(chunk, ledger, lost)


def _read_records(attempts: Iterable[OpenAttempt], crm: Crm) -> dict[tuple[str, UUID], JsonObject]:
    found: dict[tuple[str, UUID], JsonObject] = {}
    intents = sorted((attempt.intent for attempt in attempts), key=lambda intent: intent.table)
    for table, group in groupby(intents, key=lambda intent: intent.table):
        for record in crm.read(table, sorted({intent.record_id for intent in group}), ()):
            found[table, UUID(record["@id"])] = record
    return found


def _settle_landed(chunk: Chunk, ledger: Ledger, landed: list[tuple[OpenAttempt, Settlement]]) -> None:
    """Tell of what landed: in this run with the chunk, in another run's item at once."""
    others = [(attempt, settlement) for attempt, settlement in landed if attempt.run_id != chunk.claim.run_id]
    if others:
        ledger.settle_attempts(others)
    for attempt, settlement in landed:
        if attempt.run_id == chunk.claim.run_id:
            chunk.open.pop(settlement.prospect_key, None)
            chunk.settlements.append(settlement)
            chunk.attempt_keys[attempt.attempt_id] = settlement.prospect_key
            chunk.results.append(AttemptResult(attempt.attempt_id, "landed"))


def _close_lost(chunk: Chunk, ledger: Ledger, lost: list[OpenAttempt]) -> None:
    """What did not land is closed before anything else is tried: of a prospect at most one attempt is open."""
    ledger.resolve([AttemptResult(attempt.attempt_id, "not_landed") for attempt in lost])
    for attempt in lost:
        key = attempt.intent.prospect_key
        if attempt.intent.operation == "create" and not attempt.told_by_another:
            chunk.resent[key] = attempt.intent
        if chunk.attempts(key) >= MAX_ATTEMPTS:
            chunk.settle(key, Outcome.DEFERRED, reason="no_answer", table=attempt.intent.table)
