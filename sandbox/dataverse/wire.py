"""What crosses the seam between the server and an organisation: one request in, one response out.

The server has already checked the token, decoded the URL once and replaced `$1` references of change sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True)
class Caller:
    """Who calls: a `systemuser` of this organisation.

    `missing_privileges` names what the user's roles lack ("prvCreateLead"); empty means a system administrator.
    """

    user_id: UUID
    client_id: str
    missing_privileges: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Request:
    """One Web API request.

    Args:
        method: upper-case verb.
        path: percent-decoded once, relative to the service root, no leading slash: "leads(5f0b...)".
        query: decoded name and value pairs in their order.
        headers: names in lower case.
        body: raw bytes, empty when there is none.
        caller: the user the token stands for.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    caller: Caller


@dataclass(frozen=True)
class Response:
    """The answer, with what journal and latency need to know.

    Args:
        table: logical name of the table touched, if any.
        rows: rows written, or rows returned.
        committed: a write that changed data.
        changes: one (event, table, id) for each row a committed write created, updated or deleted, rows of deep
            inserts included; event is "create", "update" or "delete", table a logical name.
        operation: "Create", "Update", "Upsert", "Delete", "Retrieve", "RetrieveMultiple", "CreateMultiple", ...
        code: the error code ("0x80040217") of a refusal.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    table: str | None = None
    rows: int = 0
    committed: bool = False
    changes: tuple[tuple[str, str, str], ...] = ()
    operation: str = ""
    code: str | None = None
