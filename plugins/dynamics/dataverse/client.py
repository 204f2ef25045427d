"""One Dataverse organisation as the engine knows it: the port `Crm`, and the answer to "does this connection work?".

Puts the parts together and remembers what is asked over and over: who we are, and what tables look like.

Source: Microsoft Learn, "WhoAmI Function", "Use bulk operation messages".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self
from uuid import UUID

from dynamics.core.crm import CandidateQuery, JsonObject, Organization, RecordWrite, WriteReport
from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.metadata import TableMetadata
from dynamics.core.throttle import Traffic
from dynamics.dataverse import identity
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.breaker import Breakers
from dynamics.dataverse.bulk import BulkWriter
from dynamics.dataverse.lists import add_members
from dynamics.dataverse.lookups import Lookups
from dynamics.dataverse.metadata import read_table
from dynamics.dataverse.query import find_records, read_records
from dynamics.dataverse.transport import Transport
from dynamics.sync.ports import Budget, Clock

CONCURRENCY = 16  # callers send as well, and of all these no more than the budget gives places for
CREATE_ROWS = 250  # in a message: half of what a chunk of the engine may create
UPDATE_ROWS = 125


class DataverseClient:
    """A `Crm`. May be shared by threads; close it, or use it as a context manager.

    Args:
        callers: threads that use it at once; more may, but then connections are made anew all the time.
        concurrency: threads of its own, which send bulk writes of several messages.
        create_rows, update_rows: records a request, of CreateMultiple and of a batch of updates.
        on_token: hears every access token, for whoever keeps secrets out of logs.
    Raises:
        Every method that asks: AccountError, TransientError.
    """

    def __init__(
        self,
        account: DataverseAccount,
        *,
        budget: Budget,
        clock: Clock,
        callers: int = 1,
        concurrency: int = CONCURRENCY,
        create_rows: int = CREATE_ROWS,
        update_rows: int = UPDATE_ROWS,
        on_token: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._account = account
        self._budget = budget
        self._transport = Transport(account, budget, clock, on_token, callers + concurrency)
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="dataverse")
        self._writer = BulkWriter(
            self._transport,
            clock,
            self._executor,
            self.metadata,
            Breakers(account.title),
            create_rows,
            update_rows,
        )
        self._lookups = Lookups(self.metadata, self.find, clock)
        self._asking = threading.Lock()
        self._tables: dict[str, TableMetadata] = {}
        self._organization: Organization | None = None

    @property
    def requests(self) -> int:
        """HTTP requests sent to the organisation so far."""
        return self._transport.requests

    @property
    def traffic(self) -> Traffic:
        """See `Crm.traffic`."""
        return self._budget.traffic

    def organization(self) -> Organization:
        """Who we are and where. One request, then from memory."""
        with self._asking:
            if self._organization is None:
                self._organization = identity.organization(self._transport, self._account)
            return self._organization

    def whoami(self) -> identity.Identity:
        """Our ids as the organisation knows them. One request, each time."""
        return identity.who_am_i(self._transport)

    def test(self) -> str:
        """Say who we are, in which organisation, with which roles, and what is missing. A few requests."""
        return identity.describe(self._transport, self._account)

    def missing_privileges(self, needed: Sequence[str]) -> dict[UUID, list[str]]:
        """See `Crm.missing_privileges`."""
        return identity.missing_privileges(self._transport, self.organization().user_ids, needed)

    def metadata(self, table: str) -> TableMetadata:
        """What a table looks like. One request a table, then from memory."""
        with self._asking:
            if table not in self._tables:
                self._tables[table] = read_table(self._transport, table)
            return self._tables[table]

    def find(self, queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        """See `Crm.find`."""
        return find_records(self._transport, [(self.metadata(query.table), query) for query in queries])

    def read(self, table: str, record_ids: Sequence[UUID], select: Sequence[str]) -> list[JsonObject]:
        """See `Crm.read`."""
        return read_records(self._transport, self.metadata(table), record_ids, select) if record_ids else []

    def look_up(self, keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        """See `Crm.look_up`."""
        return self._lookups.look_up(keys)

    def create(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """See `Crm.create`."""
        return self._lookups.heed(writes, self._writer.create(self.metadata(table), writes))

    def update(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """See `Crm.update`."""
        return self._lookups.heed(writes, self._writer.update(self.metadata(table), writes))

    def add_members(self, list_id: UUID, table: str, member_ids: Sequence[UUID]) -> WriteReport:
        """See `Crm.add_members`."""
        return add_members(self._transport, list_id, self.metadata(table), member_ids)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._executor.shutdown()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DataverseClient({self._account.environment_url})"
