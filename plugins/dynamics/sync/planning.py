"""Decides what to write: follows links, finds persons, joins prospects by record, maps, drops what need not change.

The order is the design's: a live link names the record before any matching; several prospects that go to one record are
one write, the newest value winning per column. Prospects that need no write are settled here. No person is
written here; accounts of companies may be created.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from dynamics.core.chunk import Chunk, Target
from dynamics.core.contents import content_of, join_by_record, tables_of
from dynamics.core.ledger import LinkState, Outcome, Run
from dynamics.core.lifecycle import current_links, record_state
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import apply_mapping, missing_required, wanted_lookups
from dynamics.core.merge import changed_values, merge_members
from dynamics.core.outcomes import (
    landed_hashes,
    reject_incomplete,
    reject_unmappable,
    settle_dead,
    settle_decision,
    settle_said_before,
    settle_target,
    settled_hashes,
    turn_away,
)
from dynamics.core.policy import Create, Policy, Update, decide
from dynamics.sync.persons import PersonFinder
from dynamics.sync.ports import Crm, Extras, Ledger
from dynamics.sync.records import read_current


@dataclass(frozen=True)
class Planner:
    """Plans the chunks of one run. `mappings` by table, for every table the policy can touch."""

    run: Run
    policy: Policy
    mappings: Mapping[str, MappingTable]
    ledger: Ledger
    crm: Crm
    extras: Extras | None = None

    def plan(self, chunk: Chunk, now: datetime) -> list[Target]:
        """Settle what needs no write and return the writes that are left, at most one per record."""
        turn_away(chunk)
        links = self.ledger.links(self.run.organization_id, list(chunk.open))
        chunk.links = current_links(links, self.policy.check.tables)
        finder = PersonFinder(self.run, self.policy, self.mappings, self.ledger, self.crm)
        linked = self._follow_links(chunk, finder)
        on_the_way = {key for target in linked for key in target.members}
        found = finder.find(chunk, [key for key in chunk.open if key not in on_the_way], now)
        targets = self._with_contents(chunk, join_by_record([*linked, *found], chunk.frame))
        if self.extras:
            self.extras.give_accounts(chunk, targets)
        return [target for target in targets if target.members and self._needs_write(chunk, target)]

    # ------------------------------------------------------------ links

    def _follow_links(self, chunk: Chunk, finder: PersonFinder) -> list[Target]:
        """Targets of linked prospects that say something new. The others, and those with a dead record, are settled."""
        targets = []
        for key in [key for key in chunk.open if key in chunk.links]:
            link = chunk.links[key]
            if link.state is LinkState.DELETED:
                settle_dead(chunk, Target("update", link.table, link.record_id, [key], matched_by="link"), link.state)
                continue
            decision = decide(self.policy, None, (link.table, link.record_id))
            if isinstance(decision, Update):
                target = Target("update", link.table, link.record_id, [key], matched_by="link")
                target.generation = link.generation
                targets.append(target)
            elif not isinstance(decision, Create):
                settle_decision(chunk, [key], decision)
        told = self._with_contents(chunk, targets)  # nobody can tell what an open attempt has left in the record
        news = [t for t in told if t.leader in chunk.suspects or not settle_said_before(chunk, t)]
        return [target for table in tables_of(news) for target in self._with_records(chunk, table, news, finder)]

    def _with_records(
        self, chunk: Chunk, table: str, targets: Iterable[Target], finder: PersonFinder
    ) -> Iterable[Target]:
        """Read the targets' records, or the winners of their merges. Those one must not write are settled."""
        group = [target for target in targets if target.table == table]
        records = read_current(self.crm, table, {target.record_id for target in group}, finder.select(table))
        for target in group:
            target.record = records.get(target.record_id)
            if target.record is not None and target.record["@id"] != str(target.record_id):
                target.record_id = UUID(target.record["@id"])
                chunk.links[target.leader] = replace(chunk.links[target.leader], record_id=target.record_id)
                chunk.followed.add(target.leader)
            state = record_state(table, target.record)
            closed = state in (LinkState.DEACTIVATED, LinkState.QUALIFIED)
            if state is LinkState.LIVE or (closed and self.policy.include_inactive):
                yield target
            else:
                settle_dead(chunk, target, state)

    # ------------------------------------------------------------ content

    def _with_contents(self, chunk: Chunk, targets: Sequence[Target]) -> list[Target]:
        """Map each target's members. A member that cannot be mapped is rejected and leaves its target."""
        for table in tables_of(targets):
            group = [target for target in targets if target.table == table]
            labels = [key for target in group for key in target.members if key not in target.contents]
            if not labels and all(target.operation == "update" for target in group):
                continue
            mapping, frame = self.mappings[table], chunk.frame.loc[labels]
            companies = self.extras.companies(frame) if self.extras else {}
            answers = self.crm.look_up(wanted_lookups(mapping, frame)) if mapping.lookups else {}
            mapped = apply_mapping(mapping, frame, self.crm.metadata(table), answers)
            for target in group:
                target.defaults = mapped.defaults
                reject_unmappable(chunk, target, mapped.rejects)
                new = [key for key in target.members if key not in target.contents]
                target.contents |= {key: content_of(mapped, key, companies.get(key)) for key in new}
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
                reject_incomplete(chunk, target, missing)
            return not missing
        settled: dict[str, str] = {}
        for key in target.members:
            link = chunk.links.get(key)
            if link is not None and link.record_id == target.record_id:
                settled |= settled_hashes(link, target.contents[key])
            settled |= landed_hashes(chunk, target, key)
        placeholders = target.defaults
        target.values = changed_values(merged, target.record or {}, settled, table.write_modes, metadata, placeholders)
        if not target.values:
            settle_target(chunk, target, Outcome.UNCHANGED)
        return bool(target.values)
