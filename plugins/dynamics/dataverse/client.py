"""One Dataverse organisation as the engine knows it: the port `Crm`, and the answer to "does this connection work?".

Puts the parts together and remembers what is asked over and over: who we are, and what tables look like. What a table
looks like is read again after some minutes, and when a refusal shows that it may have changed.

Source: Microsoft Learn, "WhoAmI Function", "Use bulk operation messages".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

from dynamics.core.crm import (
    CandidateQuery,
    JsonObject,
    Organization,
    RecordWrite,
    WriteReport,
    WriteResult,
    WriteState,
)
from dynamics.core.drift import is_outdated
from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.metadata import TableMetadata
from dynamics.core.throttle import Traffic
from dynamics.dataverse import identity
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.breaker import Breakers
from dynamics.dataverse.bulk import BulkWriter
from dynamics.dataverse.faults import METADATA_CODES, SCHEMA_CODES
from dynamics.dataverse.known import Known
from dynamics.dataverse.lists import add_members
from dynamics.dataverse.lookups import Lookups
from dynamics.dataverse.metadata import read_table
from dynamics.dataverse.query import find_records, read_records
from dynamics.dataverse.transport import Transport
from dynamics.errors import AccountError, TransientError
from dynamics.sync.ports import Budget, Clock

CONCURRENCY = 16  # callers send as well, and of all these no more than the budget gives places for
KNOWN_FOR_S = 300.0
CREATE_ROWS = 250  # in a message: half of what a chunk of the engine may create
UPDATE_ROWS = 125


class DataverseClient:
    """A `Crm`. May be shared by threads; close it, or use it as a context manager.

    Args:
        callers: threads that use it at once; more may, but then connections are made anew all the time.
        concurrency: threads of its own, which send bulk writes of several messages.
        create_rows, update_rows: records a request, of CreateMultiple and of a batch of updates.
        on_token: hears every access token, for whoever keeps secrets out of logs.
        guard: sees what a table looks like whenever it was read; raises when nobody should go on by it.
        known: what other clients of the same account have learnt, and are told of; closed by its owner.
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
        guard: Callable[[TableMetadata], None] = lambda _: None,
        known: Known | None = None,
    ) -> None:
        self._account = account
        self._clock = clock
        self._guard = guard
        self._budget = budget
        self._known = Known() if known is None else known
        self._owns_known = known is None
        self._transport = Transport(account, budget, clock, on_token, callers + concurrency, self._known.tokens)
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
        self._guarded_at: dict[str, float] = {}
        self._first_seen: dict[str, TableMetadata] = {}
        self._sent_again: set[UUID] = set()

    @property
    def requests(self) -> int:
        """HTTP requests sent to the organisation so far."""
        return self._transport.requests

    @property
    def traffic(self) -> Traffic:
        """See `Crm.traffic`."""
        return self._budget.traffic

    def organization(self) -> Organization:
        """Who we are and where. One request, then from memory for some minutes."""
        now = self._clock.monotonic()
        with self._known.asking:
            if self._known.organization is None or self._known.organization[0] <= now - KNOWN_FOR_S:
                self._known.organization = (now, identity.organization(self._transport, self._account))
            return self._known.organization[1]

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
        """What a table looks like. One request a table, then from memory for some minutes."""
        return self._metadata(table, read_after=self._clock.monotonic() - KNOWN_FOR_S)

    def find(self, queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        """See `Crm.find`."""
        with self._schema_explained({query.table for query in queries}):
            return find_records(self._transport, [(self.metadata(query.table), query) for query in queries])

    def read(self, table: str, record_ids: Sequence[UUID], select: Sequence[str]) -> list[JsonObject]:
        """See `Crm.read`."""
        if not record_ids:
            return []
        with self._schema_explained({table}):
            return read_records(self._transport, self.metadata(table), record_ids, select)

    def look_up(self, keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        """See `Crm.look_up`."""
        return self._lookups.look_up(keys)

    def create(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """See `Crm.create`."""
        report = self._lookups.heed(writes, self._writer.create(self.metadata(table), writes))
        return self._judged(table, writes, report, creates=True)

    def update(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        """See `Crm.update`."""
        report = self._lookups.heed(writes, self._writer.update(self.metadata(table), writes))
        return self._judged(table, writes, report, creates=False)

    # ------------------------------------------------------------ when the schema moves

    def _metadata(self, table: str, read_after: float) -> TableMetadata:
        with self._known.asking:
            read = self._known.tables.get(table)
            if read is None or read[0] <= read_after:
                read = (self._clock.monotonic(), read_table(self._transport, table))
            if self._guarded_at.get(table) != read[0]:
                self._guard(read[1])
                self._guarded_at[table] = read[0]
            self._known.tables[table] = read
            self._first_seen.setdefault(table, read[1])
            return read[1]

    @contextmanager
    def _schema_explained(self, tables: Collection[str]) -> Iterator[None]:
        """A request that names what is not there any more: the guard says what has become of it."""
        try:
            yield
        except AccountError as error:
            if error.code in SCHEMA_CODES:
                asked_at = self._clock.monotonic()
                for table in sorted(tables):
                    self._metadata(table, read_after=asked_at)
            raise

    def _judged(self, table: str, writes: Sequence[RecordWrite], report: WriteReport, creates: bool) -> WriteReport:
        """Nobody is to blame for a schema that has changed since the write was decided: such rows count as not sent.

        They show by being refused for what the table's metadata would have told, if read just now.
        """
        asked_at = self._clock.monotonic()
        stopped_by, results = report.stopped_by, dict(report.results)
        doubtful = [write for write in writes if _is_doubtful(results[write.record_id])]
        moved = isinstance(stopped_by, AccountError) and stopped_by.code in SCHEMA_CODES
        if not doubtful and not moved:
            return report
        try:
            now = self._metadata(table, read_after=asked_at)
            suspects = doubtful if now != self._first_seen[table] else ()
            outdated = [write.record_id for write in suspects if is_outdated(write.values, now, creates)]
        except (AccountError, TransientError) as fault:
            stopped_by, outdated = fault, [write.record_id for write in doubtful]
        for record_id in set(outdated) - self._sent_again:
            results[record_id] = WriteResult(record_id, WriteState.NOT_SENT)
        if stopped_by is None:
            self._sent_again.update(outdated)  # a second time it is the row's own fault, whatever it looks like
        return WriteReport(results, stopped_by)

    def add_members(self, list_id: UUID, table: str, member_ids: Sequence[UUID]) -> WriteReport:
        """See `Crm.add_members`."""
        return add_members(self._transport, list_id, self.metadata(table), member_ids)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._executor.shutdown()
        self._transport.close()
        if self._owns_known:
            self._known.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DataverseClient({self._account.environment_url})"


def _is_doubtful(result: WriteResult) -> bool:
    return result.state is WriteState.REFUSED and result.code in METADATA_CODES
