"""Words what was decided or done about prospects: the intent before a write, the outcome and link after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dynamics.core.chunk import Chunk, Content, Target
from dynamics.core.crm import WriteResult
from dynamics.core.identity import value_hash
from dynamics.core.ledger import AttemptResult, Intent, Link, LinkState, OpenAttempt, Outcome, Settlement
from dynamics.core.mapping import MappingReject
from dynamics.core.policy import Hold, Skip
from dynamics.core.prospect import READY

WAITING = frozenset({"on_hold", "awaiting_transcription", "awaiting_reconciliation"})
FOR_REVIEW = frozenset({"several_matches", "merge_loop"})  # deferred until a person has decided in the CRM


def turn_away(chunk: Chunk) -> None:
    """Settle prospects that must not be synced (now): restricted, binned, erased, or not complete yet."""
    for key, state in zip(chunk.frame.index, chunk.frame["state"], strict=True):
        if state != READY:
            chunk.settle(int(key), Outcome.DEFERRED if state in WAITING else Outcome.SKIPPED, reason=state)


def settle_decision(chunk: Chunk, members: Iterable[int], decision: Skip | Hold) -> None:
    """Settle prospects that the policy leaves alone (`Skip`) or holds for a person to decide (`Hold`)."""
    outcome = Outcome.SKIPPED if isinstance(decision, Skip) else Outcome.DEFERRED
    for key in members:
        chunk.settle(
            key,
            outcome,
            reason=decision.reason,
            table=decision.table,
            record_id=decision.record_id,
            matched_by=decision.matched_by,
            duplicates_found=decision.duplicates_found,
        )


def settle_target(
    chunk: Chunk,
    target: Target,
    outcome: Outcome,
    request_id: str | None = None,
    *,
    recovered: bool = False,
    content_known: bool = True,
) -> None:
    """Settle a target's prospects with their links. The leader stands for the write, the others were joined to it.

    Without `content_known` nobody can tell what the record holds: the next sync reads it.
    """
    for key in target.members:
        leads = key == target.leader
        reason = "followed_merge" if key in chunk.followed else None
        content = target.contents[key]
        chunk.settle(
            key,
            outcome if leads else Outcome.UNCHANGED,
            reason=reason if leads else "joined",
            table=target.table,
            record_id=target.record_id,
            matched_by=target.matched_by,
            duplicates_found=target.duplicates_found,
            changed_columns=tuple(sorted(target.values)) if leads else (),
            request_id=request_id if leads else None,
            recovered=recovered and leads,
            warnings=content.warnings,
            link=_link(chunk, target, key, content if content_known else None),
        )


def _link(chunk: Chunk, target: Target, key: int, content: Content | None) -> Link:
    """What we have settled in this record. Columns that are blank this time keep what was settled there before."""
    before = chunk.links.get(key)
    hashes = dict(before.column_hashes) if before is not None and before.record_id == target.record_id else {}
    if content is None:
        return Link(key, target.table, target.record_id, LinkState.LIVE, target.generation, None, {})
    hashes |= content.column_hashes
    return Link(key, target.table, target.record_id, LinkState.LIVE, target.generation, content.content_hash, hashes)


def settled_hashes(link: Link, content: Content) -> Mapping[str, str]:
    """What we have settled in a link's record, by column. Where that was removed with the prospect's personal data, the
    very same content is still known by its own hash: then all of it was settled."""
    same = content.content_hash == link.content_hash
    return content.column_hashes if same and not link.column_hashes else link.column_hashes


def settle_as_if(chunk: Chunk, targets: Iterable[Target]) -> None:
    """Dry run: the outcomes that a real run would have had, in the same words."""
    for target in targets:
        settle_target(chunk, target, Outcome.CREATED if target.operation == "create" else Outcome.UPDATED)


def settle_said_before(chunk: Chunk, target: Target) -> bool:
    """Settle a linked prospect that says nothing it has not said before: then not even a read is needed."""
    key = target.leader
    link = chunk.links[key]
    if link.state is not LinkState.LIVE or target.contents[key].content_hash != link.content_hash:
        return False
    chunk.settle(key, Outcome.UNCHANGED, table=target.table, record_id=target.record_id, matched_by="link")
    return True


def settle_dead(chunk: Chunk, target: Target, state: LinkState) -> None:
    """The record is no longer one to write to: leave it alone, remember why, and tell. Merges in a circle are held."""
    circular = state is LinkState.MERGED
    for key in target.members:
        link = chunk.links.get(key)
        remembered = None
        if link is not None and link.record_id == target.record_id and not circular:
            remembered = Link(
                key, link.table, link.record_id, state, link.generation, link.content_hash, link.column_hashes
            )
        chunk.settle(
            key,
            Outcome.DEFERRED if circular else Outcome.SKIPPED,
            reason="merge_loop" if circular else f"record_{state}",
            table=target.table,
            record_id=target.record_id,
            matched_by=target.matched_by,
            link=remembered,
        )


def settle_refused(chunk: Chunk, target: Target, result: WriteResult, outcome: Outcome, reason: str) -> None:
    """The CRM did not take the write: all its prospects get the same outcome, with code and column."""
    for key in target.members:
        chunk.settle(
            key,
            outcome,
            reason=reason,
            table=target.table,
            record_id=target.record_id if target.operation == "update" else None,
            matched_by=target.matched_by,
            duplicates_found=target.duplicates_found,
            error_code=result.code,
            error_column=result.column,
            error_message=result.message,
            request_id=result.request_id,
        )


def reject_refused(chunk: Chunk, target: Target, result: WriteResult) -> None:
    """Reject those whose value was refused. Others of the same person are tried again without them."""
    column = result.column
    to_blame = [
        key for key in target.members if column and target.contents[key].values.get(column) == target.values.get(column)
    ]
    if 0 < len(to_blame) < len(target.members):
        chunk.release([key for key in target.members if key not in to_blame], 0.0, "without_refused_value")
        target.members = to_blame
    settle_refused(chunk, target, result, Outcome.REJECTED, "refused_by_crm")


def reject_unmappable(chunk: Chunk, target: Target, rejects: Mapping[int, MappingReject]) -> None:
    """Reject the members whose values do not fit, defer those that wait for a record; they leave the target."""
    for key in [key for key in target.members if key in rejects]:
        fault = rejects[key]
        target.members.remove(key)
        chunk.settle(
            key,
            Outcome.DEFERRED if fault.passing else Outcome.REJECTED,
            reason=fault.rule,
            table=target.table,
            error_code=f"mapping.{fault.rule}",
            error_column=fault.column,
            error_message=fault.message,
        )


def reject_incomplete(chunk: Chunk, target: Target, missing: Sequence[str]) -> None:
    """Reject a create that lacks columns the table requires."""
    names = ", ".join(missing)
    for key in target.members:
        chunk.settle(
            key,
            Outcome.REJECTED,
            reason="required",
            table=target.table,
            error_code="mapping.required",
            error_column=missing[0],
            error_message=f"a new {target.table} needs {names}; the prospect has no value and the mapping no default",
        )


def intent_of(chunk: Chunk, target: Target) -> Intent:
    """What is committed before the target's write leaves. Its leader stands for the write."""
    leader = target.leader
    content = target.contents[leader]
    return Intent(
        prospect_key=leader,
        fence=chunk.fence(leader),
        operation=target.operation,
        table=target.table,
        record_id=target.record_id,
        etag=target.record["@etag"] if target.record else None,
        content_hash=content.content_hash,
        column_hashes=content.column_hashes,
        changed_columns=tuple(sorted(target.values)),
        matched_by=target.matched_by,
        duplicates_found=target.duplicates_found,
        revision=chunk.revision(leader),
        generation=target.generation,
        member_keys=tuple(target.members),
        member_revisions=tuple(chunk.revision(key) for key in target.members),
    )


def landed_hashes(chunk: Chunk, target: Target, key: int) -> dict[str, str]:
    """What suspect updates of this prospect have settled, by what stands in the record. Notes which have landed."""
    found: dict[str, str] = {}
    for attempt in chunk.suspects.get(key, ()):
        intent, record = attempt.intent, target.record or {}
        hashes = {name: intent.column_hashes[name] for name in intent.changed_columns if name in intent.column_hashes}
        there = {name: value for name, value in hashes.items() if value_hash(record.get(name)) == value}
        if intent.record_id == target.record_id and there:
            found |= there
            if there == hashes:
                chunk.landed.add(attempt.attempt_id)
    return found


def judge_suspects(chunk: Chunk) -> tuple[list[tuple[OpenAttempt, Settlement]], list[OpenAttempt]]:
    """Suspects that have landed, each with its settlement, and those that have not. After planning.

    One has landed if its values stand in the record, or if the prospect says the same still and nothing is left to
    change there. If something newer is still to be written for the prospect, that write is what this run tells of.
    """
    unchanged = {
        s.prospect_key: s for s in chunk.settlements if s.outcome is Outcome.UNCHANGED and s.reason != "joined"
    }
    landed, lost = [], []
    for attempt in (attempt for attempts in chunk.suspects.values() for attempt in attempts):
        intent, settlement = attempt.intent, unchanged.get(attempt.intent.prospect_key)
        ours = attempt.run_id == chunk.claim.run_id
        link = settlement.link if settlement is not None else None
        said_again = (
            link is not None and link.record_id == intent.record_id and link.content_hash == intent.content_hash
        )
        if not (said_again or attempt.attempt_id in chunk.landed):
            lost.append(attempt)
        elif ours and settlement is None:
            chunk.results.append(AttemptResult(attempt.attempt_id, "landed"))
        else:
            landed.append((attempt, landed_settlement(chunk, intent, Outcome.UPDATED, link)))
            chunk.settlements = [each for each in chunk.settlements if not (ours and each is settlement)]
    return landed, lost


def landed_settlement(chunk: Chunk, intent: Intent, outcome: Outcome, link: Link | None = None) -> Settlement:
    """The outcome of a write of a stopped worker that turned out to have landed."""
    return Settlement(
        prospect_key=intent.prospect_key,
        fence=chunk.fence(intent.prospect_key),
        revision=intent.revision,
        outcome=outcome,
        table=intent.table,
        record_id=intent.record_id,
        matched_by=intent.matched_by,
        duplicates_found=intent.duplicates_found,
        changed_columns=intent.changed_columns,
        recovered=True,
        link=link
        or Link(
            prospect_key=intent.prospect_key,
            table=intent.table,
            record_id=intent.record_id,
            state=LinkState.LIVE,
            generation=intent.generation,
            content_hash=intent.content_hash,
            column_hashes=intent.column_hashes,
        ),
    )
