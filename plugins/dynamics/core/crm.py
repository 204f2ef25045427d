"""What is asked of a CRM and what it answers: queries, writes and the fate of each record.

A prospect's mapped values are a dict of Dataverse column -> JSON value; `None` means "set to null", an absent column
means "leave alone".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from dynamics.errors import ConfigurationError, DynamicsError, Fault

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Organization:
    """Who we are and where, as the organisation itself says it."""

    organization_id: UUID
    user_ids: frozenset[UUID]  # systemuser ids of our application users
    url: str

    def must_be(self, organization_id: UUID, account: str) -> None:
        """Raises ConfigurationError when it is another one: the connection was changed since preflight."""
        if self.organization_id != organization_id:
            what = f"leads to organisation {self.organization_id}, but this run began in {organization_id}."
            remedy = "Correct the connection, then run the task again."
            raise ConfigurationError([Fault(f"connection {account}", None, what, remedy)])


@dataclass(frozen=True)
class CandidateQuery:
    """Find records of one table whose `columns[i]` equals one of `values[i]`, for every i (a conjunction of `In`)."""

    table: str
    where: tuple[tuple[str, tuple[str, ...]], ...]  # ((column, values), ...)
    select: tuple[str, ...]
    only_active: bool = True  # active contacts and open leads


@dataclass(frozen=True)
class RecordWrite:
    """One record to create or to update. `values` holds logical names; a lookup's is a reference, see `core.lookup`."""

    record_id: UUID
    values: JsonObject
    etag: str | None = None  # update only: the version the decision was made on
    isolated: bool = False  # as an operation of its own: a message that held it got no answer before


class WriteState(StrEnum):
    """What became of one record of a write."""

    DONE = "done"
    EXISTS = "exists"  # create: the id is taken already (412)
    STALE = "stale"  # update: the record changed since it was read (412)
    GONE = "gone"  # update: no such record (404)
    TARGET_GONE = "target_gone"  # a record it points to was there when looked up, and is gone or inactive now
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
