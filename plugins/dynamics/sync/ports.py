"""What the engine needs from the outside, as Protocols; the values that pass between are `core`'s.

Six ports: `Source` (prospects in), `Crm` (records), `Extras` (what is made beside them), `Ledger` (our database),
`Budget` (the CRM's request limits) and `Clock`. The engine knows nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

import pandas as pd

from dynamics.core.capture import DiscoveredProspect, Selection, SourcedProspect
from dynamics.core.chunk import Chunk, Target
from dynamics.core.crm import CandidateQuery, JsonObject, Organization, RecordWrite, WriteReport
from dynamics.core.extras import MadeExtra
from dynamics.core.ledger import (
    AttemptResult,
    Claim,
    Intent,
    Link,
    OpenAttempt,
    PersonClaim,
    PersonHold,
    Run,
    RunCounts,
    Settlement,
)
from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.metadata import TableMetadata
from dynamics.core.throttle import Traffic
from dynamics.errors import DynamicsError


class Source(Protocol):
    """Where prospects come from."""

    name: str  # "captello", "file", "webhook": the `source` column of the ledger

    def pages(self, selection: Selection) -> Iterator[Sequence[SourcedProspect]]:
        """Yield the selected prospects in pages, each prospect once, in the order of their last change."""


class Crm(Protocol):
    """One Dataverse organisation."""

    @property
    def traffic(self) -> Traffic:
        """See `Budget.traffic`."""

    def organization(self) -> Organization:
        """Ask who we are. One request, cached."""

    def missing_privileges(self, needed: Sequence[str]) -> dict[UUID, list[str]]:
        """Our users -> which of these privileges ("prvCreateLead") each lacks, as far as the organisation tells."""

    def metadata(self, table: str) -> TableMetadata:
        """Columns, types, lengths and required levels of a table. Cached."""

    def find(self, queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        """Run all queries, few requests, all pages; records of one table come back once each.

        Each record is the wire's JSON object plus "@table" (logical name), "@id" (lower-case GUID string) and "@etag".
        Select always includes the primary id, statecode, statuscode, createdon, modifiedon (and `merged`,
        `_masterid_value` where the table has them).
        """

    def read(self, table: str, record_ids: Sequence[UUID], select: Sequence[str]) -> list[JsonObject]:
        """Read records by id, in the form of `find` plus `_createdby_value`; ids that do not exist are absent."""

    def look_up(self, keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        """Which active record each key means, few requests; those found are cached for some minutes."""

    def create(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """Create all rows under their ids: CreateMultiple in concurrent messages, halved around refused rows."""

    def update(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """Update rows, each on its own etag (`If-Match`), by `$batch` in concurrent messages."""

    def add_members(self, list_id: UUID, table: str, member_ids: Sequence[UUID]) -> WriteReport:
        """Put records of one table on a static marketing list; those on it stay on it. Results by member id."""


class Extras(Protocol):
    """What a sync action makes beside a person's record."""

    def companies(self, frame: pd.DataFrame) -> Mapping[int, str]:
        """Prospect -> the key of its company, as part of what it says; empty when the action gives no accounts."""

    def give_accounts(self, chunk: Chunk, targets: Sequence[Target]) -> None:
        """Find or create the companies' accounts and set them in the targets' contents. Raises as `Crm.find`."""

    def make(self, chunk: Chunk, stopped_by: DynamicsError | None) -> DynamicsError | None:
        """Make what is missing for the prospects settled in the chunk, or, stopped already, nothing. Those that still
        miss something are taken back from the settlement, to be tried again. Returns the fault met."""


class Ledger(Protocol):
    """Our database: the queue, the attempts, the outcomes, the links. Every method is one short transaction."""

    # -- runs
    def open_run(self, run: Run) -> Run:
        """Store a run. The same (dag_id, dag_run_id, clear_number) again gives back the one stored first."""

    def run(self, run_id: UUID) -> Run:
        """Raises ConfigurationError when there is no such run."""

    def bind_account(self, account: str, organization_id: UUID, url: str) -> UUID:
        """Bind at first use, keeping `url` for links to records; return the organisation the account is bound to."""

    def finish_run(self, run_id: UUID, state: str, requests: int) -> RunCounts:
        """Set state ("succeeded" | "failed") and finished_at. Idempotent."""

    def counts(self, run_id: UUID) -> RunCounts: ...

    def abandon_stale_runs(self, account: str, organization_id: UUID, older_than_s: float, except_run: UUID) -> int:
        """Close runs of this account that no worker has touched for so long: open items without an open attempt become
        `deferred` with reason `run_abandoned`; a run with nothing open left becomes `failed`. Returns items closed."""

    # -- discovery
    def store_prospects(self, run_id: UUID, source: str, prospects: Sequence[DiscoveredProspect]) -> int:
        """Keep each prospect's newest revision and add its work item to the run. Returns items added."""

    def group_persons(self, run_id: UUID, by_name: bool) -> None:
        """Give the run's items of one person one group: equal e-mail keys and, if `by_name`, equal name keys, and so on
        from one to the next. Called when discovery has come to its end, which it notes; a claim takes whole groups."""

    # -- work
    def claim(self, run_id: UUID, worker: str, size: int, lease_s: float) -> Claim:
        """Lease up to `size` items, raising the fence of each. Due: available, or leased with the lease run out."""

    def extend(self, claim: Claim, lease_s: float) -> bool:
        """Renew the lease of all items of the claim that are still ours; False when any was lost."""

    def release(self, claim: Claim, prospect_keys: Sequence[int], after_s: float, reason: str) -> None:
        """Give items back unsettled, to be claimed again after so many seconds."""

    def next_due_s(self, run_id: UUID) -> float | None:
        """Seconds until some unsettled item can be claimed (0.0 when one is due now); None when all are settled."""

    # -- facts about a chunk
    def open_attempts(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[OpenAttempt]:
        """Attempts without a result of these prospects, in any run, oldest first."""

    def links(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[Link]: ...

    def extras_made(self, organization_id: UUID, extra_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the extras that were made once, whatever became of them since."""

    def keep_extras(self, organization_id: UUID, extras: Sequence[MadeExtra]) -> None:
        """Remember extras that are there. Idempotent."""

    def hold_persons(self, organization_id: UUID, claim: Claim, wishes: Sequence[PersonClaim]) -> list[PersonHold]:
        """Take each wish's keys where nobody holds them, and say who holds them. One PersonHold per wish, same order.
        Of two wishes of one call that share a key, the first one holds."""

    def replace_person(self, organization_id: UUID, wish: PersonClaim, dead_record_id: UUID) -> None:
        """Give the keys of a person whose record is gone to a new record id, where they still name the dead one."""

    # -- writes
    def intend(self, claim: Claim, intents: Sequence[Intent]) -> dict[int, int]:
        """Commit attempts and set the items `sent`. Returns prospect_key -> attempt_id. Absent are
        items that were lost, and writes one of whose prospects has a newer revision stored by now."""

    def resolve(self, results: Sequence[AttemptResult]) -> None:
        """Record what became of attempts, without settling the prospect."""

    def settle(self, claim: Claim, settlements: Sequence[Settlement], attempts: Sequence[AttemptResult] = ()) -> int:
        """Outcomes, links, attempt results and item states in one transaction, for the items whose fence still holds.
        Marks the person of a created record settled. Returns how many were settled; the others belong to others now."""

    def settle_attempts(self, landed: Sequence[tuple[OpenAttempt, Settlement]]) -> int:
        """Settle the items of attempts made in other, stopped runs, and close the attempts as "landed". Returns how
        many were settled: not those settled before, nor those whose worker still holds them, which stay open."""


class Budget(Protocol):
    """The request limits of one organisation, shared by every worker. Users are application users, by client id."""

    @property
    def traffic(self) -> Traffic:
        """The requests of this process now."""

    def slot(self, patience_s: float = 35.0) -> AbstractContextManager[str]:
        """Wait until a request may be sent, and hold a place for it. Yields the application user to send it as; empty
        means the account's own.

        Args:
            patience_s: how long to wait for a service that fails.
        Raises:
            StoppedError: this process is to stop. ServiceUnavailableError: patience is at its end.
            RateLimitedError: the CRM has asked for pauses all the time for a quarter of an hour.
        """

    def pause(self, user: str, seconds: float | None, fewer: bool = False) -> None:
        """The CRM refused a request and asked for a pause (429): nobody sends as this user meanwhile. `seconds` as it
        asked for, None where it named no time; `fewer`: it was for too much at once."""

    def advise(self, user: str, dop_hint: int) -> None:
        """The organisation recommends so many parallel requests."""

    def unavailable(self, user: str, seconds: float | None = None) -> None:
        """The service failed; it may have asked for so many seconds."""

    def served(self, user: str) -> None:
        """The service answered."""


class Clock(Protocol):
    """Time, passed in."""

    @property
    def stopping(self) -> bool:
        """Whether this process was asked to stop."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass; less when this process is asked to stop."""
