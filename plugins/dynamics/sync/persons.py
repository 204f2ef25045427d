"""Finds the record of each person: matches unlinked prospects against the CRM, and holds the persons nobody has yet.

A person to be created is held in the ledger under hashed match keys together with the record id. Whoever comes second,
in another worker or before the CRM's index has caught up, reads that record by its id instead of creating a second one;
and should the first one have died half-way, the second one creates the person under the very same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pandas as pd

from dynamics.core.chunk import Chunk, Target
from dynamics.core.contents import update_of
from dynamics.core.crm import CandidateQuery, JsonObject
from dynamics.core.identity import mint_record_id
from dynamics.core.ledger import LinkState, PersonClaim, PersonHold, Run
from dynamics.core.lifecycle import record_state
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.matching import (
    MATCH_PATHS,
    candidate_frame,
    email_queries,
    find_matches,
    join_persons,
    match_keys,
    name_queries,
    person_keys,
    record_keys,
    share_names,
)
from dynamics.core.outcomes import settle_decision
from dynamics.core.policy import Create, Match, MatchBy, Policy, Update, decide
from dynamics.core.prospect import source_values
from dynamics.sync.ports import Crm, Ledger
from dynamics.sync.records import read_current

PERSON_RETRY_S = 1.0
Records = dict[tuple[str, UUID], JsonObject]


@dataclass(frozen=True)
class Newcomer:
    """One person no record was found for: the prospects that are this person, oldest first, and where to create it."""

    members: list[int]
    table: str
    matched_by: str  # how a second prospect of this person would be recognised
    keys: tuple[str, ...]  # hashed, strongest first


@dataclass(frozen=True)
class PersonFinder:
    """Matching and person holds of one run."""

    run: Run
    policy: Policy
    mappings: Mapping[str, MappingTable]
    ledger: Ledger
    crm: Crm

    def find(self, chunk: Chunk, keys: Sequence[int], now: datetime) -> list[Target]:
        """Targets for unlinked prospects. Those the policy leaves alone are settled, those in other hands released."""
        if not keys:
            return []
        values = source_values(chunk.frame.loc[list(keys)], MATCH_PATHS)
        match = match_keys(values)
        records: Records = {}
        hits = self._hits(match, values, records)
        emails, names = match["email_key"].to_dict(), match["name_key"].to_dict()
        targets, newcomers = [], []
        for members in self._persons(chunk, match, hits):
            hit = next((hits[key] for key in members if key in hits), None)
            decision = decide(self.policy, hit, None)
            if isinstance(decision, Update):
                late = chunk.late_create(members, decision.record_id)
                record = records[decision.table, decision.record_id]
                targets.append(late or update_of(decision, members, record))
            elif isinstance(decision, Create):
                own = [emails[key] for key in members]
                matched_by = "email" if any(email is not None for email in own) else "name"
                held_by = person_keys(own, [names[key] for key in members], self.policy)
                newcomers.append(Newcomer(members, decision.table, matched_by, held_by))
            else:
                settle_decision(chunk, members, decision)
        return targets + self._hold(chunk, newcomers, now)

    def select(self, table: str) -> tuple[str, ...]:
        """What a decision needs to see: the match columns, and every mapped one to leave out what need not change."""
        return tuple(sorted({"firstname", "lastname", *self.policy.email_columns, *self.mappings[table].targets}))

    # ------------------------------------------------------------ matching

    def _hits(self, match: pd.DataFrame, values: pd.DataFrame, records: Records) -> dict[int, Match]:
        """E-mail over all tables first; names only for those whose e-mail found nothing. Fills `records`."""
        if not self.policy.check.tables or match.empty:
            return {}
        select = {table: self.select(table) for table in self.policy.check.tables}
        hits = self._pass(match, email_queries(values, self.policy, select), "email", records)
        rest = [key for key in match.index if key not in hits]
        if self.policy.match_by is MatchBy.EMAIL_OR_NAME and rest:
            hits |= self._pass(match.loc[rest], name_queries(values.loc[rest], self.policy, select), "name", records)
            hits |= share_names(match, hits)
        return hits

    def _pass(self, match: pd.DataFrame, queries: list[CandidateQuery], by: str, records: Records) -> dict[int, Match]:
        found = self.crm.find(queries) if queries else []
        records.update({(record["@table"], UUID(record["@id"])): record for record in found})
        return find_matches(match, candidate_frame(found, self.policy.email_columns), self.policy, by)

    def _persons(self, chunk: Chunk, match: pd.DataFrame, hits: Mapping[int, Match]) -> list[list[int]]:
        """Prospects by person, oldest first. One with an e-mail match stands for itself: its record is known."""
        by_email = {key for key, hit in hits.items() if hit.matched_by == "email"}
        alone = [key for key in match.index if not self.policy.check.tables or key in by_email]
        others = match.index.difference(alone, sort=False)
        joined = join_persons(match.loc[others], chunk.frame.loc[others], self.policy.match_by)
        return [[int(key)] for key in alone] + list(joined.values())

    # ------------------------------------------------------------ persons nobody has yet

    def _hold(self, chunk: Chunk, newcomers: list[Newcomer], now: datetime) -> list[Target]:
        """A create for each person that is ours to create, an update for each that somebody created meanwhile."""
        creates = [self._create(chunk, newcomer) for newcomer in newcomers]
        if self.run.dry_run:
            return creates
        wishes = [
            PersonClaim(create.leader, create.table, create.record_id, newcomer.keys)
            for newcomer, create in zip(newcomers, creates, strict=True)
            if newcomer.keys
        ]
        held = self.ledger.hold_persons(self.run.organization_id, chunk.claim, wishes) if wishes else []
        holds = {hold.prospect_key: hold for hold in held}
        targets: list[Target] = []
        doubtful: list[tuple[Newcomer, Target, PersonHold]] = []
        for newcomer, create in zip(newcomers, creates, strict=True):
            hold = holds.get(create.leader)
            if hold is None or (hold.mine and not hold.settled):
                create.record_id = hold.record_id if hold else create.record_id
                targets.append(create)
            elif not hold.settled and hold.busy_until is not None and hold.busy_until > now:
                chunk.release(create.members, PERSON_RETRY_S, "person_busy")
            else:
                doubtful.append((newcomer, create, hold))
        return targets + self._look_up(chunk, doubtful)

    def _look_up(self, chunk: Chunk, doubtful: list[tuple[Newcomer, Target, PersonHold]]) -> list[Target]:
        """Persons somebody created or was about to: a read by id sees what a lagging query may not."""
        ids_by_table: dict[str, set[UUID]] = {}
        for _, create, hold in doubtful:
            ids_by_table.setdefault(create.table, set()).add(hold.record_id)
        records: Records = {
            (table, record_id): record
            for table, ids in ids_by_table.items()
            for record_id, record in read_current(self.crm, table, ids, self.select(table)).items()
        }
        targets = []
        for newcomer, create, hold in doubtful:
            record = records.get((create.table, hold.record_id))
            if record is not None and self._is_still(newcomer, create.table, record):
                found = Update(create.table, UUID(record["@id"]), newcomer.matched_by, 1)
                late = chunk.late_create(create.members, found.record_id)
                targets.append(late or update_of(found, create.members, record))
            elif record is None and not hold.settled:
                create.record_id = hold.record_id
                targets.append(create)
            else:  # somebody removed or closed that record: this capture is a new one, held anew before it is created
                if create.record_id == hold.record_id:
                    create = self._create(chunk, newcomer, generation=create.generation + 1)
                wish = PersonClaim(create.leader, create.table, create.record_id, newcomer.keys)
                self.ledger.replace_person(self.run.organization_id, wish, hold.record_id)
                chunk.release(create.members, 0.0, "person_replaced")
        return targets

    def _is_still(self, newcomer: Newcomer, table: str, record: JsonObject) -> bool:
        """Whether the record may be written and still says that it is this person: somebody may have corrected it."""
        said = record_keys(record, self.policy.email_columns)
        return record_state(table, record) is LinkState.LIVE and not said.isdisjoint(newcomer.keys)

    def _create(self, chunk: Chunk, newcomer: Newcomer, generation: int | None = None) -> Target:
        leader = newcomer.members[0]
        if generation is None:
            link = chunk.links.get(leader)
            generation = link.generation + 1 if link is not None else 0
        source, prospect_id = chunk.identity(leader)
        minted = mint_record_id(self.run.organization_id, newcomer.table, source, prospect_id, generation)
        return Target("create", newcomer.table, minted, newcomer.members, generation=generation)
