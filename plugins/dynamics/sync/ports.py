"""What the engine needs from the outside, as Protocols, and the values that pass between.

Five ports: `Source` (prospects in), `Crm` (records), `Ledger` (our database), `Budget` (the CRM's request limits) and
`Clock`. The engine knows nothing else. A prospect's mapped values are a dict of Dataverse column -> JSON value; `None`
means "set to null", an absent column means "leave alone".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import pandas as pd

from dynamics.core.metadata import TableMetadata
from dynamics.errors import DynamicsError

JsonObject = dict[str, Any]


# ---------------------------------------------------------------- source


@dataclass(frozen=True)
class Selection:
    """Which prospects a run asks its source for. Empty means all; times are aware UTC, `captured_to` is exclusive."""

    captured_from: datetime | None = None
    captured_to: datetime | None = None
    event_ids: tuple[str, ...] = ()
    form_ids: tuple[str, ...] = ()
    prospect_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourcedProspect:
    """One prospect as its source delivered it; `payload` follows the Capture Source API's prospect schema."""

    prospect_id: str
    revision: int
    updated_at: datetime
    payload: JsonObject


@dataclass(frozen=True)
class DiscoveredProspect:
    """A prospect with its hashed match keys, by which the queue keeps the prospects of one person together."""

    prospect: SourcedProspect
    email_key: str | None
    name_key: str | None


class Source(Protocol):
    """Where prospects come from."""

    name: str  # "captello", "file", "webhook": the `source` column of the ledger

    def pages(self, selection: Selection) -> Iterator[Sequence[SourcedProspect]]:
        """Yield the selected prospects in pages, each prospect once, in the order of their last change."""


# ---------------------------------------------------------------- CRM


@dataclass(frozen=True)
class Organization:
    """Who we are and where, as the organisation itself says it."""

    organization_id: UUID
    user_ids: frozenset[UUID]  # systemuser ids of our application users
    url: str


@dataclass(frozen=True)
class CandidateQuery:
    """Find records of one table whose `columns[i]` equals one of `values[i]`, for every i (a conjunction of `In`)."""

    table: str
    where: tuple[tuple[str, tuple[str, ...]], ...]  # ((column, values), ...)
    select: tuple[str, ...]
    only_active: bool = True  # active contacts and open leads


@dataclass(frozen=True)
class RecordWrite:
    """One record to create or to update. `values` holds logical names; lookups are not part of it yet."""

    record_id: UUID
    values: JsonObject
    etag: str | None = None  # update only: the version the decision was made on


class WriteState(StrEnum):
    """What became of one record of a write."""

    DONE = "done"
    EXISTS = "exists"  # create: the id is taken already (412)
    STALE = "stale"  # update: the record changed since it was read (412)
    GONE = "gone"  # update: no such record (404)
    REFUSED = "refused"  # the CRM refuses this row: code and, where known, column
    UNCLASSIFIED = "unclassified"  # a refusal with a code nobody has classified: defer, never reject
    UNKNOWN = "unknown"  # may have landed: read by id
    NOT_SENT = "not_sent"  # never left this process, or was turned away before it was looked at (429, 503)


@dataclass(frozen=True)
class WriteResult:
    """The fate of one record, linked to it by id and never by position."""

    record_id: UUID
    state: WriteState
    code: str | None = None
    column: str | None = None
    message: str | None = None  # no values in it: see dataverse.faults.safe_message
    request_id: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True)
class WriteReport:
    """All results of one bulk write, and the fault that stopped it early, if any (then the rest is NOT_SENT)."""

    results: Mapping[UUID, WriteResult]
    stopped_by: DynamicsError | None = None  # an AccountError or TransientError


class Crm(Protocol):
    """One Dataverse organisation."""

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, token requests excluded."""

    def organization(self) -> Organization:
        """Ask who we are. One request, cached."""

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

    def create(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """Create all rows under their ids: CreateMultiple in concurrent chunks, halved around refused rows."""

    def update(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """Update rows, each on its own etag (`If-Match`), by `$batch` in concurrent chunks."""


# ---------------------------------------------------------------- ledger


class Outcome(StrEnum):
    """The one terminal result of a prospect in a run."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    DEFERRED = "deferred"


@dataclass(frozen=True)
class Run:
    """One sync run as the ledger keeps it. `settings` is the frozen sync action with its overrides, as JSON."""

    run_id: UUID
    action: str
    account: str
    trigger: str
    dry_run: bool
    settings: JsonObject
    mapping_hash: str
    organization_id: UUID
    dag_id: str | None = None
    dag_run_id: str | None = None


@dataclass(frozen=True)
class Claim:
    """A chunk of work items leased to one worker.

    `items`: one row a prospect, columns prospect_key int64, source str, prospect_id str, revision int64, payload object
    (dict), fence int64, attempts int64 (attempts already made in this run).
    """

    run_id: UUID
    worker: str
    items: pd.DataFrame


@dataclass(frozen=True)
class OpenAttempt:
    """A write whose outcome nobody has recorded: it may have landed."""

    attempt_id: int
    run_id: UUID
    prospect_key: int
    operation: str  # "create" | "update"
    table: str
    record_id: UUID
    etag: str | None
    content_hash: str
    column_hashes: Mapping[str, str]
    changed_columns: tuple[str, ...]
    matched_by: str | None
    duplicates_found: int
    revision: int
    generation: int
    request_id: str | None
    lease_until: datetime | None  # of its work item; None: no lease is held
    told_by_another: bool = False  # another prospect has settled this record as its own


class LinkState(StrEnum):
    """Whether a link still names a record that may be written."""

    LIVE = "live"
    DELETED = "deleted"
    MERGED = "merged"
    DEACTIVATED = "deactivated"
    QUALIFIED = "qualified"


@dataclass(frozen=True)
class Link:
    """A prospect's record in this organisation. `content_hash` and `column_hashes` are what we last settled there."""

    prospect_key: int
    table: str
    record_id: UUID
    state: LinkState
    generation: int
    content_hash: str | None
    column_hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PersonClaim:
    """A wish to create a person: `keys` are hashed match keys, strongest first."""

    prospect_key: int
    table: str
    record_id: UUID
    keys: tuple[str, ...]


@dataclass(frozen=True)
class PersonHold:
    """Who holds the person a claim asked for."""

    prospect_key: int  # of the claim
    record_id: UUID  # under which this person is, or will be, created: ours when `mine`
    mine: bool
    settled: bool  # the record is known to exist
    busy_until: datetime | None  # another worker is creating it right now


@dataclass(frozen=True)
class Intent:
    """A write about to be sent. Committed before the request leaves."""

    prospect_key: int
    fence: int
    operation: str  # "create" | "update"
    table: str
    record_id: UUID
    etag: str | None
    content_hash: str
    column_hashes: Mapping[str, str]
    changed_columns: tuple[str, ...]
    matched_by: str | None
    duplicates_found: int
    revision: int
    generation: int = 0


@dataclass(frozen=True)
class Settlement:
    """A prospect's terminal outcome and the link it leaves."""

    prospect_key: int
    fence: int
    revision: int
    outcome: Outcome
    reason: str | None = None
    table: str | None = None
    record_id: UUID | None = None
    matched_by: str | None = None
    duplicates_found: int = 0
    error_code: str | None = None
    error_message: str | None = None
    error_column: str | None = None
    changed_columns: tuple[str, ...] = ()
    request_id: str | None = None
    recovered: bool = False
    warnings: tuple[str, ...] = ()
    link: Link | None = None  # upserted when given


@dataclass(frozen=True)
class AttemptResult:
    """What became of one attempt: "landed", "not_landed" (provably nothing was written) or "refused"."""

    attempt_id: int
    result: str
    code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class RunCounts:
    """The balance of a run: `selected` must equal the sum of the six outcomes, and `open` must be 0."""

    selected: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int
    deferred: int
    open: int
    abandoned: int = 0  # of the deferred: given up because nobody worked on the run
    discovered: bool = True  # discovery came to its end

    @property
    def balanced(self) -> bool:
        settled = self.created + self.updated + self.unchanged + self.skipped + self.rejected + self.deferred
        return self.open == 0 and self.selected == settled


class Ledger(Protocol):
    """Our database: the queue, the attempts, the outcomes, the links. Every method is one short transaction."""

    # -- runs
    def open_run(self, run: Run) -> Run:
        """Store a run. The same (dag_id, dag_run_id) again gives back the run that was stored first."""

    def run(self, run_id: UUID) -> Run:
        """Raises ConfigurationError when there is no such run."""

    def bind_account(self, account: str, organization_id: UUID, url: str) -> UUID:
        """Bind at first use, keeping `url` for links to records; return the organisation the account is bound to."""

    def finish_run(self, run_id: UUID, state: str, requests: int) -> RunCounts:
        """Set state ("succeeded" | "failed") and finished_at. Idempotent."""

    def add_requests(self, run_id: UUID, requests: int) -> None: ...

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

    def hold_persons(self, organization_id: UUID, claim: Claim, wishes: Sequence[PersonClaim]) -> list[PersonHold]:
        """Take each wish's keys where nobody holds them, and say who holds them. One PersonHold per wish, same order.
        Of two wishes of one call that share a key, the first one holds."""

    def replace_person(self, organization_id: UUID, wish: PersonClaim, dead_record_id: UUID) -> None:
        """Give the keys of a person whose record is gone to a new record id, where they still name the dead one."""

    # -- writes
    def intend(self, claim: Claim, intents: Sequence[Intent]) -> dict[int, int]:
        """Commit attempts and set the items `sent`. Returns prospect_key -> attempt_id. Absent are
        items that were lost, and prospects of whom a newer revision is stored by now."""

    def resolve(self, results: Sequence[AttemptResult]) -> None:
        """Record what became of attempts, without settling the prospect."""

    def settle(self, claim: Claim, settlements: Sequence[Settlement], attempts: Sequence[AttemptResult] = ()) -> int:
        """Outcomes, links, attempt results and item states in one transaction, for the items whose fence still holds.
        Marks the person of a created record settled. Returns how many were settled; the others belong to others now."""

    def settle_attempt(self, attempt: OpenAttempt, settlement: Settlement) -> bool:
        """Settle the item of an attempt made by another, stopped run, and close the attempt: "landed" when the
        settlement is `recovered`, else "not_landed". False when the item had been settled already."""


# ---------------------------------------------------------------- limits and time


class Budget(Protocol):
    """The request limits of one organisation, shared by every worker. Users are application users, by client id."""

    def slot(self, patience_s: float = 45.0) -> AbstractContextManager[str]:
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
