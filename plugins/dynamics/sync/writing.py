"""Sends what was planned and settles it: intent committed before the request, outcome after it, linked by record id.

A write whose answer is missing stays open and is given back: `recovery` reads the record before anything else happens
to the prospect. A write is never repeated from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from dynamics import killpoints
from dynamics.core.chunk import Chunk, Target
from dynamics.core.crm import JsonObject, WriteReport, WriteResult, WriteState
from dynamics.core.ledger import AttemptResult, LinkState, Outcome
from dynamics.core.outcomes import intent_of, reject_refused, settle_dead, settle_refused, settle_target
from dynamics.errors import AccountError, DynamicsError
from dynamics.sync.ports import Crm, Ledger
from dynamics.sync.recovery import MAX_ATTEMPTS

UNKNOWN_RETRY_S = 2.0

Sent = tuple[Target, int]  # a target and the id of its attempt


def write(chunk: Chunk, targets: Sequence[Target], ledger: Ledger, crm: Crm, lease_s: float) -> DynamicsError | None:
    """Send all targets and settle or release their prospects. Returns the fault that stopped the writing, if any.

    The lease is renewed right before a request leaves; a worker that has lost it, stopped and continued by somebody,
    sends nothing more.
    """
    attempts = ledger.intend(chunk.claim, [intent_of(chunk, target) for target in targets]) if targets else {}
    chunk.attempt_keys |= {attempt_id: key for key, attempt_id in attempts.items()}
    killpoints.reach("K3")
    for target in targets:
        if target.leader not in attempts:  # a newer revision came meanwhile, or the lease was lost
            chunk.release(target.members, 0.0, "overtaken")
    sent = [(target, attempts[target.leader]) for target in targets if target.leader in attempts]
    stopped_by: DynamicsError | None = None
    for operation, table in sorted({(target.operation, target.table) for target, _ in sent}):
        group = [(t, a) for t, a in sent if (t.operation, t.table) == (operation, table)]
        report = WriteReport({}, stopped_by)
        if stopped_by is None and ledger.extend(chunk.claim, lease_s):
            report = _send(chunk, crm, operation, table, [target for target, _ in group])
            stopped_by = report.stopped_by
        killpoints.reach("K5")
        _settle_group(chunk, group, report, crm)
    return stopped_by


def _send(chunk: Chunk, crm: Crm, operation: str, table: str, targets: Sequence[Target]) -> WriteReport:
    """What got no answer before goes by itself, or one row might keep all others of its message from ever landing."""
    writes = [target.as_write(isolated=chunk.attempts(target.leader) > 0) for target in targets]
    return crm.create(table, writes) if operation == "create" else crm.update(table, writes)


def _settle_group(chunk: Chunk, group: Sequence[Sent], report: WriteReport, crm: Crm) -> None:
    """Turn results into settlements and releases. Ids that were taken already are looked up, all in one read."""
    results = {
        target.record_id: report.results.get(target.record_id) or WriteResult(target.record_id, WriteState.NOT_SENT)
        for target, _ in group
    }
    in_doubt = isinstance(report.stopped_by, AccountError)  # then what was refused is the account's fault, too
    taken = [target for target, _ in group if results[target.record_id].state is WriteState.EXISTS]
    owners = _owned_by_us(crm, taken) if taken else {}
    for target, attempt_id in group:
        result = results[target.record_id]
        match result.state:
            case WriteState.REFUSED | WriteState.UNCLASSIFIED if in_doubt:
                chunk.release(target.members, 0.0, "account_in_doubt")
                _close(chunk, attempt_id, "not_sent", result)
            case WriteState.EXISTS:
                _settle_taken(chunk, target, attempt_id, result, owners)
            case _:
                _settle_result(chunk, target, attempt_id, result)


def _settle_result(chunk: Chunk, target: Target, attempt_id: int, result: WriteResult) -> None:
    match result.state:
        case WriteState.DONE:
            outcome = Outcome.CREATED if target.operation == "create" else Outcome.UPDATED
            settle_target(chunk, target, outcome, result.request_id)
            _close(chunk, attempt_id, "landed", result)
        case WriteState.UNKNOWN:
            chunk.release(target.members, result.retry_after_s or UNKNOWN_RETRY_S, "outcome_unknown")
        case WriteState.NOT_SENT:
            chunk.release(target.members, result.retry_after_s or 0.0, "not_sent")
            _close(chunk, attempt_id, "not_sent", result)
        case WriteState.STALE | WriteState.GONE | WriteState.TARGET_GONE:
            _decide_again(chunk, target, result)
            _close(chunk, attempt_id, "not_landed", result)
        case WriteState.REFUSED:
            reject_refused(chunk, target, result)
            _close(chunk, attempt_id, "refused", result)
        case _:
            settle_refused(chunk, target, result, Outcome.DEFERRED, "unclassified_refusal")
            _close(chunk, attempt_id, "refused", result)


def _decide_again(chunk: Chunk, target: Target, result: WriteResult) -> None:
    """The record changed or went away since it was read: decide on what it is now, a few times at most."""
    if chunk.attempts(target.leader) + 1 < MAX_ATTEMPTS:
        chunk.release(target.members, 0.0, "record_changed")
    elif result.state is WriteState.GONE:
        settle_dead(chunk, target, LinkState.DELETED)
    else:
        settle_refused(chunk, target, result, Outcome.DEFERRED, "record_keeps_changing")


def _settle_taken(
    chunk: Chunk, target: Target, attempt_id: int, result: WriteResult, owners: Mapping[UUID, bool]
) -> None:
    """A record with the id of a create exists already: an earlier try of ours landed late, or somebody else made it."""
    ours = owners.get(target.record_id)
    if ours is None:  # deleted between the refusal and our look
        _decide_again(chunk, target, result)
    elif not ours:
        settle_refused(chunk, target, result, Outcome.REJECTED, "id_conflict")
    elif chunk.attempts(target.leader) or target.leader in chunk.resent:
        # What landed may be an older revision: the next sync compares.
        settle_target(chunk, target, Outcome.CREATED, result.request_id, recovered=True, content_known=False)
    else:  # another prospect of this person was quicker, under the same id
        chunk.release(target.members, 0.0, "created_by_another_prospect")
    _close(chunk, attempt_id, "not_landed", result)


def _owned_by_us(crm: Crm, targets: Iterable[Target]) -> dict[UUID, bool]:
    users = {str(user) for user in crm.organization().user_ids}
    by_table: dict[str, set[UUID]] = {}
    for target in targets:
        by_table.setdefault(target.table, set()).add(target.record_id)
    records: list[JsonObject] = []
    for table, ids in by_table.items():
        records += crm.read(table, sorted(ids), ())
    return {UUID(record["@id"]): record.get("_createdby_value") in users for record in records}


def _close(chunk: Chunk, attempt_id: int, what: str, result: WriteResult) -> None:
    chunk.results.append(AttemptResult(attempt_id, what, result.code, result.request_id))
