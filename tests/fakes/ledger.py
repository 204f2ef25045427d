"""The ledger port in memory: the same promises as the database, for tests of the engine alone.

Kept honest by `tests/contract/test_ledger_port.py`, which runs the same suite on this and on the real one. One thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pandas as pd

from dynamics.core.capture import DiscoveredProspect
from dynamics.core.extras import MadeExtra
from dynamics.core.ledger import (
    AttemptResult,
    Claim,
    Intent,
    Link,
    LinkState,
    OpenAttempt,
    Outcome,
    PersonClaim,
    PersonHold,
    Run,
    RunCounts,
    Settlement,
)
from dynamics.errors import ConfigurationError, Fault
from dynamics.sync.ports import Clock

CLAIM = {
    "prospect_key": "int64",
    "source": "str",
    "prospect_id": "str",
    "revision": "int64",
    "payload": "object",
    "fence": "int64",
    "attempts": "int64",
}


class Prospect(NamedTuple):
    source: str
    prospect_id: str
    revision: int
    payload: dict[str, Any]
    updated_at: datetime
    email_key: str | None
    name_key: str | None


@dataclass
class Item:
    group: int
    available_at: datetime
    state: str = "pending"
    fence: int = 0
    lease_until: datetime | None = None
    attempts: int = 0

    @property
    def due_at(self) -> datetime:
        return max(self.available_at, self.lease_until or self.available_at)

    def settle(self) -> None:
        self.state, self.lease_until = "settled", None


@dataclass
class Attempt:
    run_id: UUID
    organization_id: UUID
    intent: Intent
    result: str | None = None


@dataclass
class Person:
    record_id: UUID
    prospect_key: int
    holder: tuple[UUID, int] | None  # the work item that is creating the record: run and prospect
    settled: bool = False


@dataclass
class FakeLedger:
    """Everything in dictionaries; time from the clock given."""

    clock: Clock
    runs: dict[UUID, Run] = field(default_factory=dict)
    states: dict[UUID, str] = field(default_factory=dict)
    touched: dict[UUID, datetime] = field(default_factory=dict)
    discovered: set[UUID] = field(default_factory=set)
    prospects: dict[int, Prospect] = field(default_factory=dict)
    items: dict[tuple[UUID, int], Item] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    outcomes: dict[tuple[UUID, int], Settlement] = field(default_factory=dict)
    records: dict[tuple[UUID, str, int], Link] = field(default_factory=dict)
    link_revisions: dict[tuple[UUID, str, int], int] = field(default_factory=dict)
    people: dict[tuple[UUID, str, str], Person] = field(default_factory=dict)
    bound: dict[str, UUID] = field(default_factory=dict)
    extras: dict[tuple[UUID, UUID], MadeExtra] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    # ------------------------------------------------------------ runs

    def open_run(self, run: Run) -> Run:
        for known in self.runs.values():
            same = (known.dag_id, known.dag_run_id, known.clear_number) == (
                run.dag_id,
                run.dag_run_id,
                run.clear_number,
            )
            if run.dag_run_id and same:
                return known
        self.states.setdefault(run.run_id, "running")
        self.touched[run.run_id] = self.clock.now()
        return self.runs.setdefault(run.run_id, run)

    def run(self, run_id: UUID) -> Run:
        if run_id not in self.runs:
            raise ConfigurationError([Fault(f"run {run_id}", None, "is not in the audit database.", "List the runs.")])
        return self.runs[run_id]

    def bind_account(self, account: str, organization_id: UUID, url: str) -> UUID:
        return self.bound.setdefault(account, organization_id)

    def finish_run(self, run_id: UUID, state: str, requests: int) -> RunCounts:
        self.states[run_id] = state
        return self.counts(run_id)

    def counts(self, run_id: UUID) -> RunCounts:
        told = [s.outcome for (run, _), s in self.outcomes.items() if run == run_id]
        by_word = {outcome.value: told.count(outcome) for outcome in Outcome}
        abandoned = [s for (run, _), s in self.outcomes.items() if run == run_id and s.reason == "run_abandoned"]
        return RunCounts(
            selected=len(self._items(run_id)),
            **by_word,
            open=len(self._open_items(run_id)),
            abandoned=len(abandoned),
            discovered=run_id in self.discovered,
        )

    def abandon_stale_runs(self, account: str, organization_id: UUID, older_than_s: float, except_run: UUID) -> int:
        silent_since = self.clock.now() - timedelta(seconds=older_than_s)
        stale = [
            run.run_id
            for run in self.runs.values()
            if (run.account, run.organization_id) == (account, organization_id)
            and run.run_id != except_run
            and self.touched[run.run_id] < silent_since
            and not any(self._leased(item) for item in self._open_items(run.run_id).values())
        ]
        return sum(self._abandon(run_id) for run_id in stale)

    def _abandon(self, run_id: UUID) -> int:
        unknown = {a.intent.prospect_key for a in self.attempts.values() if a.run_id == run_id and a.result is None}
        closed = {key: item for key, item in self._open_items(run_id).items() if key not in unknown}
        for key, item in closed.items():
            item.fence += 1
            settlement = Settlement(key, item.fence, self.prospects[key].revision, Outcome.DEFERRED, "run_abandoned")
            self._write(run_id, settlement)
        if self.states[run_id] == "running" and not self._open_items(run_id):
            self.states[run_id] = "failed"
        return len(closed)

    # ------------------------------------------------------------ discovery

    def store_prospects(self, run_id: UUID, source: str, prospects: Sequence[DiscoveredProspect]) -> int:
        keys = {(known.source, known.prospect_id): key for key, known in self.prospects.items()}
        before = len(self.items)
        for found in prospects:
            it = found.prospect
            new = Prospect(
                source, it.prospect_id, it.revision, it.payload, it.updated_at, found.email_key, found.name_key
            )
            key = keys.setdefault((source, it.prospect_id), len(self.prospects) + 1)
            known = self.prospects.setdefault(key, new)
            if (new.revision, new.updated_at) >= (known.revision, known.updated_at):
                self.prospects[key] = new
            self.items.setdefault((run_id, key), Item(key, self.clock.now()))
        self.touched[run_id] = self.clock.now()
        return len(self.items) - before

    def group_persons(self, run_id: UUID, by_name: bool) -> None:
        self.discovered.add(run_id)
        items = self._open_items(run_id)
        first: dict[str, Item] = {}
        for key, item in items.items():
            prospect = self.prospects[key]
            for match_key in (prospect.email_key, prospect.name_key if by_name else None):
                if match_key is not None:
                    joined = {item.group, first.setdefault(match_key, item).group}
                    for each in items.values():
                        each.group = min(joined) if each.group in joined else each.group

    # ------------------------------------------------------------ work

    def claim(self, run_id: UUID, worker: str, size: int, lease_s: float) -> Claim:
        now, run = self.clock.now(), self.run(run_id)
        self.touched[run.run_id] = now
        due = sorted((item.group, key) for key, item in self._open_items(run_id).items() if item.due_at <= now)
        rows = []
        for key in _whole_groups(due, size):
            item, prospect = self.items[run_id, key], self.prospects[key]
            item.state, item.fence, item.lease_until = "claimed", item.fence + 1, now + timedelta(seconds=lease_s)
            rows.append((key, *prospect[:4], item.fence, self._tries(run_id, key)))
        if rows:
            self.states[run_id] = "running"
        return Claim(run_id, worker, pd.DataFrame(rows, columns=list(CLAIM)).astype(CLAIM))

    def extend(self, claim: Claim, lease_s: float) -> bool:
        for key, fence in _fences(claim).items():
            if self._held(claim.run_id, key, fence):
                self.items[claim.run_id, key].lease_until = self.clock.now() + timedelta(seconds=lease_s)
        return all(self.items[claim.run_id, key].fence == fence for key, fence in _fences(claim).items())

    def release(self, claim: Claim, prospect_keys: Sequence[int], after_s: float, reason: str) -> None:
        for key, fence in _fences(claim).items():
            if key in prospect_keys and self._held(claim.run_id, key, fence):
                item = self.items[claim.run_id, key]
                item.state, item.lease_until = "pending", None
                item.available_at = self.clock.now() + timedelta(seconds=after_s)

    def next_due_s(self, run_id: UUID) -> float | None:
        due = (item.due_at - self.clock.now() for item in self._open_items(run_id).values())
        return min((max(wait.total_seconds(), 0.0) for wait in due), default=None)

    def _tries(self, run_id: UUID, key: int) -> int:
        made = [a for a in self.attempts.values() if (a.run_id, a.intent.prospect_key) == (run_id, key)]
        return sum(attempt.result != "not_sent" for attempt in made)

    # ------------------------------------------------------------ facts about a chunk

    def open_attempts(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[OpenAttempt]:
        return [
            self._told(attempt_id, attempt)
            for attempt_id, attempt in self.attempts.items()
            if attempt.result is None
            and attempt.organization_id == organization_id
            and attempt.intent.prospect_key in prospect_keys
        ]

    def _told(self, attempt_id: int, attempt: Attempt) -> OpenAttempt:
        item = self.items[attempt.run_id, attempt.intent.prospect_key]
        told = any(
            other.result == "landed"
            and (other.intent.operation, other.intent.record_id) == ("create", attempt.intent.record_id)
            and other.intent.prospect_key != attempt.intent.prospect_key
            for other in self.attempts.values()
        )
        lease_until = item.lease_until if self._leased(item) else None
        return OpenAttempt(attempt_id, attempt.run_id, attempt.intent, lease_until, told)

    def links(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[Link]:
        return [link for (org, _, key), link in self.records.items() if org == organization_id and key in prospect_keys]

    def extras_made(self, organization_id: UUID, extra_ids: Sequence[UUID]) -> set[UUID]:
        return {each for each in extra_ids if (organization_id, each) in self.extras}

    def keep_extras(self, organization_id: UUID, extras: Sequence[MadeExtra]) -> None:
        for extra in extras:
            self.extras.setdefault((organization_id, extra.extra_id), extra)

    def hold_persons(self, organization_id: UUID, claim: Claim, wishes: Sequence[PersonClaim]) -> list[PersonHold]:
        return [self._hold(organization_id, claim.run_id, wish) for wish in wishes]

    def _hold(self, organization_id: UUID, run_id: UUID, wish: PersonClaim) -> PersonHold:
        wanted = [(organization_id, wish.table, key) for key in wish.keys]
        holder = (run_id, wish.prospect_key)
        known = [self.people[key] for key in wanted if key in self.people]
        person = known[0] if known else Person(wish.record_id, wish.prospect_key, holder)
        for key in wanted:
            self.people.setdefault(key, replace(person))
        mine = person.prospect_key == wish.prospect_key
        if person.settled:
            return PersonHold(wish.prospect_key, person.record_id, mine, settled=True, busy_until=None)
        creating = self.items[person.holder] if person.holder not in (None, holder) else None
        if creating is not None and self._leased(creating):
            return PersonHold(wish.prospect_key, person.record_id, False, False, creating.lease_until)
        for key in wanted:
            if self.people[key].record_id == person.record_id:
                self.people[key].holder = holder
        return PersonHold(wish.prospect_key, person.record_id, mine, settled=False, busy_until=None)

    def replace_person(self, organization_id: UUID, wish: PersonClaim, dead_record_id: UUID) -> None:
        for key in wish.keys:
            person = self.people.get((organization_id, wish.table, key))
            if person is not None and person.record_id == dead_record_id:
                self.people[organization_id, wish.table, key] = Person(wish.record_id, wish.prospect_key, None)

    # ------------------------------------------------------------ writes

    def intend(self, claim: Claim, intents: Sequence[Intent]) -> dict[int, int]:
        made = {(a.run_id, a.intent.prospect_key, a.intent.fence): number for number, a in self.attempts.items()}
        numbered = {}
        for intent in intents:
            key, item = intent.prospect_key, self.items[claim.run_id, intent.prospect_key]
            said = [(key, intent.revision), *zip(intent.member_keys, intent.member_revisions, strict=True)]
            overtaken = any(revision < self.prospects[member].revision for member, revision in said)
            if overtaken or not (self._held(claim.run_id, key, intent.fence) and self._leased(item)):
                continue
            numbered[key] = made.get((claim.run_id, key, intent.fence)) or next(self._numbers)
            self.attempts.setdefault(numbered[key], Attempt(claim.run_id, self._organization(claim.run_id), intent))
            item.attempts += item.state == "claimed"
            item.state = "sent"
        return numbered

    def resolve(self, results: Iterable[AttemptResult]) -> None:
        for result in results:
            attempt = self.attempts[result.attempt_id]
            attempt.result = attempt.result or result.result

    def settle(self, claim: Claim, settlements: Sequence[Settlement], attempts: Sequence[AttemptResult] = ()) -> int:
        ours = {key for key, fence in _fences(claim).items() if self.items[claim.run_id, key].fence == fence}
        of_attempt = {result.attempt_id: self.attempts[result.attempt_id] for result in attempts}
        self.resolve(
            result
            for result in attempts
            if of_attempt[result.attempt_id].run_id == claim.run_id
            and of_attempt[result.attempt_id].intent.prospect_key in ours
        )
        for settlement in settlements:
            if self._held(claim.run_id, settlement.prospect_key, settlement.fence):
                self._write(claim.run_id, settlement)
        now = [(self.items[claim.run_id, settlement.prospect_key], settlement.fence) for settlement in settlements]
        return sum(item.state == "settled" and item.fence == fence for item, fence in now)

    def settle_attempts(self, landed: Sequence[tuple[OpenAttempt, Settlement]]) -> int:
        return sum(self._settle_attempt(attempt, settlement) for attempt, settlement in landed)

    def _settle_attempt(self, attempt: OpenAttempt, settlement: Settlement) -> bool:
        item = self.items[attempt.run_id, attempt.intent.prospect_key]
        if self._leased(item):
            return False
        self.resolve([AttemptResult(attempt.attempt_id, "landed")])
        if item.state == "settled":
            return False
        item.fence += 1
        self._write(attempt.run_id, settlement)
        return True

    def _write(self, run_id: UUID, settlement: Settlement) -> None:
        key, organization_id, link = settlement.prospect_key, self._organization(run_id), settlement.link
        if (run_id, key) in self.outcomes:
            raise RuntimeError("a second outcome for one prospect in one run")
        self.outcomes[run_id, key] = settlement
        self.items[run_id, key].settle()
        if link is None:
            return
        place = (organization_id, link.table, key)
        if settlement.revision < self.link_revisions.get(place, 0):
            return
        self.records[place], self.link_revisions[place] = link, settlement.revision
        for (organization, table, _), person in self.people.items():
            if (organization, table, person.record_id) == (organization_id, link.table, link.record_id):
                person.settled = person.settled or link.state is LinkState.LIVE

    # ------------------------------------------------------------ looking around

    def _items(self, run_id: UUID) -> dict[int, Item]:
        return {key: item for (run, key), item in self.items.items() if run == run_id}

    def _open_items(self, run_id: UUID) -> dict[int, Item]:
        return {key: item for key, item in self._items(run_id).items() if item.state != "settled"}

    def _organization(self, run_id: UUID) -> UUID:
        return self.runs[run_id].organization_id

    def _held(self, run_id: UUID, key: int, fence: int) -> bool:
        item = self.items[run_id, key]
        return item.fence == fence and item.state in ("claimed", "sent")

    def _leased(self, item: Item) -> bool:
        return item.lease_until is not None and item.lease_until > self.clock.now()


def _fences(claim: Claim) -> dict[int, int]:
    return {int(k): int(f) for k, f in zip(claim.items["prospect_key"], claim.items["fence"], strict=True)}


def _whole_groups(due: Sequence[tuple[int, int]], size: int) -> list[int]:
    """Of (group, prospect key), ordered: at most `size` keys, a group that would be cut off left for the next claim."""
    if len(due) > size:
        cut = due[size][0]
        due = [each for each in due[:size] if each[0] != cut] or due[:size]
    return [key for _, key in due]
