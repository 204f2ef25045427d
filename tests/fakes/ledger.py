"""The ledger port in memory: the same promises as the database, for tests of the engine alone.

Kept honest by `tests/contract/test_ledger_port.py`, which runs the same suite on this and on the real one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pandas as pd

from dynamics.sync.ports import (
    AttemptResult,
    Claim,
    Clock,
    DiscoveredProspect,
    Intent,
    Link,
    OpenAttempt,
    Outcome,
    PersonClaim,
    PersonHold,
    Run,
    RunCounts,
    Settlement,
)


@dataclass
class Item:
    group: str
    state: str = "pending"
    worker: str | None = None
    fence: int = 0
    lease_until: datetime | None = None
    available_at: datetime | None = None
    attempts: int = 0


@dataclass
class Attempt:
    run_id: UUID
    organization_id: UUID
    intent: Intent
    result: str | None = None


@dataclass
class Person:
    record_id: UUID
    run_id: UUID
    prospect_key: int
    settled: bool = False


@dataclass
class FakeLedger:
    """Everything in dictionaries; time from the clock given."""

    clock: Clock
    runs: dict[UUID, Run] = field(default_factory=dict)
    states: dict[UUID, str] = field(default_factory=dict)
    prospects: dict[int, tuple[str, str, int, dict[str, Any]]] = field(default_factory=dict)
    items: dict[tuple[UUID, int], Item] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    outcomes: dict[tuple[UUID, int], Settlement] = field(default_factory=dict)
    records: dict[tuple[UUID, str, int], Link] = field(default_factory=dict)
    people: dict[tuple[UUID, str, str], Person] = field(default_factory=dict)
    bound: dict[str, UUID] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def open_run(self, run: Run) -> Run:
        for known in self.runs.values():
            if run.dag_run_id and (known.dag_id, known.dag_run_id) == (run.dag_id, run.dag_run_id):
                return known
        self.runs[run.run_id], self.states[run.run_id] = run, "running"
        return run

    def run(self, run_id: UUID) -> Run:
        return self.runs[run_id]

    def bind_account(self, account: str, organization_id: UUID, url: str) -> UUID:
        return self.bound.setdefault(account, organization_id)

    def finish_run(self, run_id: UUID, state: str, requests: int) -> RunCounts:
        self.states[run_id] = state
        return self.counts(run_id)

    def add_requests(self, run_id: UUID, requests: int) -> None: ...

    def counts(self, run_id: UUID) -> RunCounts:
        told = [s.outcome for (run, _), s in self.outcomes.items() if run == run_id]
        items = [item for (run, _), item in self.items.items() if run == run_id]
        return RunCounts(len(items), *(told.count(o) for o in Outcome), sum(item.state != "settled" for item in items))

    def abandon_stale_runs(self, account: str, organization_id: UUID, older_than_s: float, except_run: UUID) -> int:
        return 0

    def store_prospects(self, run_id: UUID, source: str, prospects: Sequence[DiscoveredProspect]) -> int:
        keys = {(s, p): key for key, (s, p, _, _) in self.prospects.items()}
        for found in prospects:
            prospect = found.prospect
            key = keys.get((source, prospect.prospect_id)) or next(self._numbers)
            known = self.prospects.get(key)
            if known is None or known[2] <= prospect.revision:
                self.prospects[key] = (source, prospect.prospect_id, prospect.revision, prospect.payload)
            self.items.setdefault((run_id, key), Item(found.email_key or found.name_key or str(key)))
        return len(prospects)

    def group_persons(self, run_id: UUID, by_name: bool) -> None: ...

    def claim(self, run_id: UUID, worker: str, size: int, lease_s: float) -> Claim:
        now = self.clock.now()
        due = [
            (item.group, key)
            for (run, key), item in self.items.items()
            if run == run_id and self._due_at(item) <= now and item.state != "settled"
        ]
        rows = []
        for _, key in sorted(due)[:size]:
            item = self.items[run_id, key]
            item.state, item.worker, item.fence = "claimed", worker, item.fence + 1
            item.lease_until = now + timedelta(seconds=lease_s)
            rows.append((key, *self.prospects[key], item.fence, item.attempts))
        columns = ["prospect_key", "source", "prospect_id", "revision", "payload", "fence", "attempts"]
        return Claim(run_id, worker, pd.DataFrame(rows, columns=columns))

    def _due_at(self, item: Item) -> datetime:
        due = item.available_at if item.state == "pending" else item.lease_until
        return due or self.clock.now()

    def extend(self, claim: Claim, lease_s: float) -> bool:
        held = [self._held(claim.run_id, int(k), int(f)) for k, f in claim.items[["prospect_key", "fence"]].to_numpy()]
        return all(held)

    def release(self, claim: Claim, prospect_keys: Sequence[int], after_s: float, reason: str) -> None:
        fences = dict(zip(claim.items["prospect_key"], claim.items["fence"], strict=True))
        for key in prospect_keys:
            if self._held(claim.run_id, key, fences[key]):
                item = self.items[claim.run_id, key]
                item.state, item.lease_until = "pending", None
                item.available_at = self.clock.now() + timedelta(seconds=after_s)

    def next_due_s(self, run_id: UUID) -> float | None:
        open_items = [i for (run, _), i in self.items.items() if run == run_id and i.state != "settled"]
        now = self.clock.now()
        return min((max((self._due_at(i) - now).total_seconds(), 0.0) for i in open_items), default=None)

    def open_attempts(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[OpenAttempt]:
        return [
            self._open(attempt_id, attempt)
            for attempt_id, attempt in self.attempts.items()
            if attempt.result is None
            and attempt.organization_id == organization_id
            and attempt.intent.prospect_key in prospect_keys
        ]

    def _open(self, attempt_id: int, attempt: Attempt) -> OpenAttempt:
        i, item = attempt.intent, self.items[attempt.run_id, attempt.intent.prospect_key]
        return OpenAttempt(
            attempt_id=attempt_id,
            run_id=attempt.run_id,
            prospect_key=i.prospect_key,
            operation=i.operation,
            table=i.table,
            record_id=i.record_id,
            etag=i.etag,
            content_hash=i.content_hash,
            column_hashes=i.column_hashes,
            changed_columns=i.changed_columns,
            matched_by=i.matched_by,
            duplicates_found=i.duplicates_found,
            revision=i.revision,
            generation=i.generation,
            request_id=None,
            lease_until=item.lease_until,
        )

    def links(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[Link]:
        return [link for (org, _, key), link in self.records.items() if org == organization_id and key in prospect_keys]

    def hold_persons(self, organization_id: UUID, claim: Claim, wishes: Sequence[PersonClaim]) -> list[PersonHold]:
        return [self._hold(organization_id, claim, wish) for wish in wishes]

    def _hold(self, organization_id: UUID, claim: Claim, wish: PersonClaim) -> PersonHold:
        holders = []
        for key in wish.keys:
            own = Person(wish.record_id, claim.run_id, wish.prospect_key)
            holders.append(self.people.setdefault((organization_id, wish.table, key), own))
        holder = next((h for h in holders if h.prospect_key != wish.prospect_key), holders[0])
        mine = holder.prospect_key == wish.prospect_key
        item = self.items.get((holder.run_id, holder.prospect_key))
        return PersonHold(
            wish.prospect_key, holder.record_id, mine, holder.settled, item.lease_until if item and not mine else None
        )

    def replace_person(self, organization_id: UUID, wish: PersonClaim, dead_record_id: UUID) -> None:
        for key in wish.keys:
            person = self.people[organization_id, wish.table, key]
            if person.record_id == dead_record_id:
                person.record_id, person.prospect_key, person.settled = wish.record_id, wish.prospect_key, False

    def intend(self, claim: Claim, intents: Sequence[Intent]) -> dict[int, int]:
        numbered = {}
        for intent in intents:
            if not self._held(claim.run_id, intent.prospect_key, intent.fence):
                continue
            number = numbered[intent.prospect_key] = next(self._numbers)
            self.attempts[number] = Attempt(claim.run_id, self.runs[claim.run_id].organization_id, intent)
            item = self.items[claim.run_id, intent.prospect_key]
            item.state, item.attempts = "sent", item.attempts + 1
        return numbered

    def resolve(self, results: Sequence[AttemptResult]) -> None:
        for result in results:
            self.attempts[result.attempt_id].result = result.result

    def settle(self, claim: Claim, settlements: Sequence[Settlement], attempts: Sequence[AttemptResult] = ()) -> int:
        organization_id, count = self.runs[claim.run_id].organization_id, 0
        for settlement in settlements:
            if self._held(claim.run_id, settlement.prospect_key, settlement.fence):
                self._write(claim.run_id, organization_id, settlement)
                count += 1
        self.resolve(attempts)
        return count

    def settle_attempt(self, attempt: OpenAttempt, settlement: Settlement) -> bool:
        self.attempts[attempt.attempt_id].result = "landed" if settlement.recovered else "not_landed"
        if self.items[attempt.run_id, attempt.prospect_key].state == "settled":
            return False
        self._write(attempt.run_id, self.runs[attempt.run_id].organization_id, settlement)
        return True

    def _write(self, run_id: UUID, organization_id: UUID, settlement: Settlement) -> None:
        key = settlement.prospect_key
        if (run_id, key) in self.outcomes:
            raise RuntimeError("a second outcome for one prospect in one run")
        self.outcomes[run_id, key] = settlement
        item = self.items[run_id, key]
        item.state, item.lease_until = "settled", None
        if settlement.link is not None:
            self.records[organization_id, settlement.link.table, key] = replace(settlement.link)
        for person in self.people.values():
            if settlement.link is not None and person.record_id == settlement.link.record_id:
                person.settled = True

    def _held(self, run_id: UUID, key: int, fence: int) -> bool:
        item = self.items[run_id, key]
        return item.fence == fence and item.state in ("claimed", "sent")
