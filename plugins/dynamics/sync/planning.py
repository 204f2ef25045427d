"""Decides what to write: follows links, finds persons, joins prospects by record, maps, drops what need not change.

The order is the design's: a live link names the record before any matching; several prospects that go to one record are
one write, the newest value winning per column. Prospects that need no write are settled here. Effects are reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pandas as pd

from dynamics.core.identity import column_hashes, content_hash
from dynamics.core.mapping import Mapped, apply_mapping, missing_required, update_values
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.merge import changed_values, merge_members
from dynamics.core.policy import Create, Policy, Update, decide
from dynamics.core.prospect import READY
from dynamics.sync.chunk import Chunk, Content, Target
from dynamics.sync.persons import PersonFinder, record_state, settle_decision
from dynamics.sync.ports import Crm, Ledger, Link, LinkState, Outcome, Run

FINAL = frozenset({LinkState.DELETED, LinkState.MERGED})  # a closed record may be opened again
WAITING = frozenset({"on_hold", "awaiting_transcription", "awaiting_reconciliation"})


@dataclass(frozen=True)
class Planner:
    """Plans the chunks of one run. `mappings` by table, for every table the policy can touch."""

    run: Run
    policy: Policy
    mappings: Mapping[str, MappingTable]
    ledger: Ledger
    crm: Crm

    def plan(self, chunk: Chunk, now: datetime) -> list[Target]:
        """Settle what needs no write and return the writes that are left, at most one per record."""
        _turn_away(chunk)
        links = self.ledger.links(self.run.organization_id, list(chunk.open))
        chunk.links = _current_links(links, self.policy)
        finder = PersonFinder(self.run, self.policy, self.mappings, self.ledger, self.crm)
        linked = self._follow_links(chunk, finder)
        on_the_way = {key for target in linked for key in target.members}
        found = finder.find(chunk, [key for key in chunk.open if key not in on_the_way], now)
        targets = self._with_contents(chunk, _join_by_record([*linked, *found], chunk.frame))
        return [target for target in targets if self._needs_write(chunk, target)]

    # ------------------------------------------------------------ links

    def _follow_links(self, chunk: Chunk, finder: PersonFinder) -> list[Target]:
        """Targets of linked prospects that say something new. The others, and those with a dead record, are settled."""
        targets = []
        for key in [key for key in chunk.open if key in chunk.links]:
            link = chunk.links[key]
            if link.state in FINAL:
                reason = f"record_{link.state}"
                chunk.settle(key, Outcome.SKIPPED, reason=reason, table=link.table, record_id=link.record_id)
                continue
            decision = decide(self.policy, None, (link.table, link.record_id))
            if isinstance(decision, Update):
                target = Target("update", link.table, link.record_id, [key], matched_by="link")
                target.generation = link.generation
                targets.append(target)
            elif not isinstance(decision, Create):
                settle_decision(chunk, [key], decision)
        news = [t for t in self._with_contents(chunk, targets) if not _settled_before(chunk, t)]
        return self._with_records(chunk, news, finder)

    def _with_records(self, chunk: Chunk, targets: list[Target], finder: PersonFinder) -> list[Target]:
        """Read the targets' records. Prospects whose record a person deleted, merged or closed are settled."""
        alive = []
        for table in sorted({target.table for target in targets}):
            group = [target for target in targets if target.table == table]
            ids = sorted({target.record_id for target in group})
            records = {UUID(r["@id"]): r for r in self.crm.read(table, ids, finder.select(table))}
            for target in group:
                target.record = records.get(target.record_id)
                state = record_state(table, target.record)
                if state is LinkState.LIVE or (state not in FINAL and self.policy.include_inactive):
                    alive.append(target)
                else:
                    settle_dead(chunk, target, state)
        return alive

    # ------------------------------------------------------------ content

    def _with_contents(self, chunk: Chunk, targets: Sequence[Target]) -> list[Target]:
        """Map each target's members. A member that cannot be mapped is rejected and leaves its target."""
        for table in sorted({target.table for target in targets}):
            group = [target for target in targets if target.table == table]
            labels = [key for target in group for key in target.members if key not in target.contents]
            if not labels and all(target.operation == "update" for target in group):
                continue
            mapped = apply_mapping(self.mappings[table], chunk.frame.loc[labels], self.crm.metadata(table))
            for target in group:
                target.defaults = mapped.defaults
                for key in [key for key in target.members if key not in target.contents]:
                    if key in mapped.rejects:
                        _reject(chunk, target, key, mapped)
                    else:
                        target.contents[key] = _content(mapped, key)
        return [target for target in targets if target.members]

    def _needs_write(self, chunk: Chunk, target: Target) -> bool:
        """Fill in the values to send; settle the target's prospects when there is nothing to send."""
        table = self.mappings[target.table]
        metadata = self.crm.metadata(target.table)
        merged = merge_members([target.contents[key].values for key in target.members])
        if target.operation == "create":
            target.values = {**target.defaults, **{c: v for c, v in merged.items() if v is not None}}
            missing = missing_required(metadata, target.values)
            if missing:
                _reject_incomplete(chunk, target, missing)
            return not missing
        settled: dict[str, str] = {}
        for key in target.members:
            link = chunk.links.get(key)
            if link is not None and link.record_id == target.record_id:
                settled |= link.column_hashes
        target.values = changed_values(merged, target.record or {}, settled, table.write_modes, metadata)
        if not target.values:
            settle_target(chunk, target, Outcome.UNCHANGED)
        return bool(target.values)


# ---------------------------------------------------------------- settling


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
        content = target.contents[key]
        chunk.settle(
            key,
            outcome if leads else Outcome.UNCHANGED,
            reason=None if leads else "joined",
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


def settle_as_if(chunk: Chunk, targets: Iterable[Target]) -> None:
    """Dry run: the outcomes that a real run would have had, in the same words."""
    for target in targets:
        settle_target(chunk, target, Outcome.CREATED if target.operation == "create" else Outcome.UPDATED)


def settle_dead(chunk: Chunk, target: Target, state: LinkState) -> None:
    """The record is no longer one to write to: leave it alone, remember why, and tell."""
    for key in target.members:
        link = chunk.links.get(key)
        remembered = None
        if link is not None and link.record_id == target.record_id:
            remembered = Link(
                key, link.table, link.record_id, state, link.generation, link.content_hash, link.column_hashes
            )
        chunk.settle(
            key,
            Outcome.SKIPPED,
            reason=f"record_{state}",
            table=target.table,
            record_id=target.record_id,
            matched_by=target.matched_by,
            link=remembered,
        )


def _settled_before(chunk: Chunk, target: Target) -> bool:
    """Whether the prospect says nothing it has not said before: then not even a read is needed."""
    key = target.leader
    link = chunk.links[key]
    if link.state is not LinkState.LIVE or target.contents[key].content_hash != link.content_hash:
        return False
    chunk.settle(key, Outcome.UNCHANGED, table=target.table, record_id=target.record_id, matched_by="link")
    return True


def _turn_away(chunk: Chunk) -> None:
    """Settle prospects that must not be synced (now): restricted, binned, erased, or not complete yet."""
    for key, state in zip(chunk.frame.index, chunk.frame["state"], strict=True):
        if state != READY:
            chunk.settle(int(key), Outcome.DEFERRED if state in WAITING else Outcome.SKIPPED, reason=state)


def _reject(chunk: Chunk, target: Target, key: int, mapped: Mapped) -> None:
    fault = mapped.rejects[key]
    target.members.remove(key)
    chunk.settle(
        key,
        Outcome.REJECTED,
        reason=fault.rule,
        table=target.table,
        error_code=f"mapping.{fault.rule}",
        error_column=fault.column,
        error_message=fault.message,
    )


def _reject_incomplete(chunk: Chunk, target: Target, missing: Sequence[str]) -> None:
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


# ---------------------------------------------------------------- pieces


def _content(mapped: Mapped, key: int) -> Content:
    values = update_values(mapped, key)
    hashes = column_hashes(values)
    return Content(values, hashes, content_hash(values), tuple(mapped.warnings.get(key, ())))


def _current_links(links: Iterable[Link], policy: Policy) -> dict[int, Link]:
    """One link per prospect: a live one before a dead one, then by the order in which the policy looks at tables."""
    order = {table: rank for rank, table in enumerate(policy.check.tables)}
    chosen: dict[int, Link] = {}
    for link in sorted(links, key=lambda x: (x.state is not LinkState.LIVE, order.get(x.table, 9), x.table)):
        chosen.setdefault(link.prospect_key, link)
    return chosen


def _join_by_record(targets: Iterable[Target], frame: pd.DataFrame) -> list[Target]:
    """One target per record: prospects that go to the same one are one write. Members oldest first."""
    joined: dict[tuple[str, UUID], Target] = {}
    for target in targets:
        first = joined.setdefault((target.table, target.record_id), target)
        if first is not target:
            first.members += target.members
            first.contents |= target.contents
            first.record = first.record or target.record
    captured = frame["captured_at"].to_dict()
    names = frame["prospect_id"].to_dict()
    for target in joined.values():
        target.members.sort(key=lambda key: (captured[key], names[key]))
    return list(joined.values())
