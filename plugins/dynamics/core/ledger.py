"""What the ledger keeps: runs, work items, attempts, outcomes, links, and who creates a person.

A work item is a prospect in a run. Its states, and the transitions that each operation of the ledger may make, stand
here; `tests/contract/store/test_states.py` watches the database make these and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import pandas as pd

from dynamics.core.crm import JsonObject


class Outcome(StrEnum):
    """The one terminal result of a prospect in a run."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    DEFERRED = "deferred"


class ItemState(StrEnum):
    """Where a work item stands. `sent` without an outcome is an unknown one: it is left by reading the CRM by id."""

    PENDING = "pending"  # waits for a worker, or for its time
    CLAIMED = "claimed"  # leased to a worker; each claim raises the item's fence
    SENT = "sent"  # the intent is committed: the write may have reached the CRM
    SETTLED = "settled"  # outcome, link and attempt are written


_PENDING, _CLAIMED, _SENT, _SETTLED = ItemState
TRANSITIONS: Mapping[str, frozenset[tuple[ItemState, ItemState]]] = {
    "claim": frozenset({(_PENDING, _CLAIMED), (_CLAIMED, _CLAIMED), (_SENT, _CLAIMED)}),  # of leases that ran out, too
    "intend": frozenset({(_CLAIMED, _SENT)}),
    "release": frozenset({(_CLAIMED, _PENDING), (_SENT, _PENDING)}),
    "settle": frozenset({(_CLAIMED, _SETTLED), (_SENT, _SETTLED)}),
    "settle_attempts": frozenset({(_PENDING, _CLAIMED), (_CLAIMED, _CLAIMED), (_SENT, _CLAIMED), (_CLAIMED, _SETTLED)}),
    "abandon": frozenset({(_PENDING, _SETTLED), (_CLAIMED, _SETTLED), (_SENT, _SETTLED)}),
}


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
    clear_number: int = 0  # how often a person has cleared the DAG run: each time is a run of its own


@dataclass(frozen=True)
class Claim:
    """A chunk of work items leased to one worker.

    `items`: one row a prospect, columns prospect_key int64, source str, prospect_id str, revision int64, payload object
    (dict), fence int64, attempts int64 (writes already tried in this run).
    """

    run_id: UUID
    worker: str
    items: pd.DataFrame


@dataclass(frozen=True)
class Intent:
    """A write about to be sent. Committed before the request leaves.

    `member_keys` and `member_revisions`: all prospects that the write speaks for, and as which revision.
    """

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
    member_keys: tuple[int, ...] = field(default=(), compare=False)
    member_revisions: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class OpenAttempt:
    """A write whose outcome nobody has recorded: it may have landed."""

    attempt_id: int
    run_id: UUID
    intent: Intent
    lease_until: datetime | None  # of its work item; None: no lease is held
    told_by_another: bool = False  # another prospect has settled this record as its own

    def is_busy(self, run_id: UUID, now: datetime) -> bool:
        """Held by a worker of another run whose lease still stands. In its own run a claim takes the lease over."""
        return self.run_id != run_id and self.lease_until is not None and self.lease_until > now


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
    """What became of one attempt: "landed", "not_landed" (nothing was written), "refused", or "not_sent": it did not
    leave, or was turned away unread, and is not counted as a try."""

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
