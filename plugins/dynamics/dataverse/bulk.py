"""Writes many records: CreateMultiple under our own ids, `$batch` of conditional PATCHes, and every row's fate.

A bulk message is all or nothing and does not say which row was refused. So a refused one is halved until few rows are
left, and these go as operations of their own, each created only if its id is free. What the database provably undid
(deadlocks, locks) is sent again after a while; what got lost is reported as unknown and never repeated from here.

Source: Microsoft Learn, "Use bulk operation messages", "Perform conditional operations using the Web API".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import orjson

from dynamics.core.crm import RecordWrite, WriteReport, WriteState
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.batch import Part, slices, write_batch
from dynamics.dataverse.breaker import Breakers
from dynamics.dataverse.fates import created, refused, written
from dynamics.dataverse.faults import Fault, FaultClass, classify, is_not_offered, read_fault, request_id, safe_message
from dynamics.dataverse.lookups import Metadata, on_the_wire
from dynamics.dataverse.session import Answer
from dynamics.dataverse.tally import Tally
from dynamics.dataverse.transport import JSON, SERVICE_PATH, Call, Transport
from dynamics.errors import AccountError, ContractError, OutcomeUnknownError, ServiceUnavailableError, TransientError
from dynamics.sync.ports import Clock

ROWS_TO_ISOLATE = 16  # so few rows of a refused message are sent one by one, in one request
MAX_RESENDS = 6  # of what the database undid
MAX_BACKOFF_S = 10.0

Sender = Callable[[TableMetadata, Sequence[RecordWrite], Tally], None]
Message = tuple[Sender, Sequence[RecordWrite]]


@dataclass(frozen=True)
class BulkWriter:
    """Writes of one organisation.

    Args:
        executor: runs the requests of one write side by side.
        metadata: of the tables that lookups point to.
        breakers: stop a write that a rule of the organisation refuses row after row.
        create_rows, update_rows: records a request.
    """

    transport: Transport
    clock: Clock
    executor: ThreadPoolExecutor
    metadata: Metadata
    breakers: Breakers
    create_rows: int
    update_rows: int

    def create(self, table: TableMetadata, writes: Sequence[RecordWrite]) -> WriteReport:
        """Create all rows under their ids. See `Crm.create`. Those to be isolated go few at a time, each by itself."""
        alone = [write for write in writes if write.isolated]
        others = [write for write in writes if not write.isolated]
        send, size = (
            (self._create_multiple, self.create_rows) if table.bulk_create else (self._create_each, self.update_rows)
        )
        messages = [*_messages(send, others, size), *_messages(self._create_each, alone, ROWS_TO_ISOLATE)]
        return self._run(table, writes, "create", messages)

    def update(self, table: TableMetadata, writes: Sequence[RecordWrite]) -> WriteReport:
        """Update rows, each on its own version. See `Crm.update`."""
        return self._run(table, writes, "update", _messages(self._update_each, writes, self.update_rows))

    def _run(
        self, table: TableMetadata, writes: Sequence[RecordWrite], operation: str, messages: Sequence[Message]
    ) -> WriteReport:
        tally = Tally(writes, self.breakers.of(table.logical_name, operation))
        if len(messages) == 1:
            [(send, rows)] = messages
            self._guarded(send, table, rows, tally)
        else:
            futures = [self.executor.submit(self._guarded, send, table, rows, tally) for send, rows in messages]
            wait(futures)
            for future in futures:
                future.result()
        return tally.report()

    @staticmethod
    def _guarded(send: Sender, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally) -> None:
        if tally.stopped:
            return
        try:
            send(table, writes, tally)
        except (AccountError, TransientError) as fault:
            tally.stop(fault)

    # ------------------------------------------------------------ creating

    def _create_multiple(self, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally) -> None:
        """Create rows in one message, or find the refused ones among them."""
        if tally.stopped:
            return
        try:
            with tally.request():
                answer = self._send_multiple(table, writes)
                tally.put(created(writes, answer) if answer.status < 300 else ())
        except OutcomeUnknownError as lost:
            tally.put_all(writes, WriteState.UNKNOWN, lost.request_id)
            return
        if answer.status < 300:
            return
        if is_not_offered(read_fault(answer)) or len(writes) <= ROWS_TO_ISOLATE:
            self._create_each(table, writes, tally)
        else:
            half = len(writes) // 2
            self._create_multiple(table, writes[:half], tally)
            self._create_multiple(table, writes[half:], tally)

    def _send_multiple(self, table: TableMetadata, writes: Sequence[RecordWrite]) -> Answer:
        kind = f"Microsoft.Dynamics.CRM.{table.logical_name}"
        targets = [
            {"@odata.type": kind, table.primary_id: str(w.record_id), **on_the_wire(table, w.values, self.metadata)}
            for w in writes
        ]
        path = f"{table.entity_set}/Microsoft.Dynamics.CRM.CreateMultiple"
        call = Call("create", table.logical_name, "POST", path, body=orjson.dumps({"Targets": targets}), writes=True)
        for resends in itertools.count():
            answer = self.transport.send(call)
            fault = read_fault(answer) if answer.status >= 400 else None
            if fault is None or classify(fault) is not FaultClass.ROLLED_BACK:
                break
            self._back_off("create", table, resends, writes, fault)
        return answer

    def _create_each(self, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally) -> None:
        self._write_each("create", table, writes, tally)

    def _update_each(self, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally) -> None:
        self._write_each("update", table, writes, tally)

    # ------------------------------------------------------------ each row an operation

    def _write_each(self, operation: str, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally) -> None:
        """Send rows as conditional PATCHes in one batch; those the database undid, again."""
        rest = writes
        for resends in itertools.count():
            with tally.request(isolating=operation == "create"):
                rest, fault = self._send_batch(operation, table, rest, tally)
            if fault is None or tally.stopped:
                return
            self._back_off(operation, table, resends, rest, fault)

    def _send_batch(
        self, operation: str, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally
    ) -> tuple[list[RecordWrite], Fault | None]:
        """Send one batch. Gives back the rows that the database undid, and what it said."""
        parts = [_patch(operation, table, write, self.metadata) for write in writes]
        try:
            outer, answers = write_batch(self.transport, operation, table.logical_name, parts)
        except OutcomeUnknownError as lost:
            tally.put_all(writes, WriteState.UNKNOWN, lost.request_id)
            return [], None
        if outer.status >= 400 and not answers:
            return self._refused_batch(operation, table, writes, tally, read_fault(outer))
        outer_id = request_id(outer.headers)
        tally.put_all(writes[len(answers) :], WriteState.UNKNOWN, outer_id)
        undone: list[RecordWrite] = []
        undone_by: Fault | None = None
        for write, answer in zip(writes, answers, strict=False):
            fault = self._put_fate(operation, table, write, answer, outer_id, tally)
            if fault is not None:
                undone.append(write)
                undone_by = fault
        return undone, undone_by

    def _put_fate(
        self,
        operation: str,
        table: TableMetadata,
        write: RecordWrite,
        answer: Answer,
        outer_id: str | None,
        tally: Tally,
    ) -> Fault | None:
        """Record the fate of one row, unless the database undid it: then its fault is given back."""
        try:
            self.transport.judge(
                Call(operation, table.logical_name, "PATCH", table.entity_set, writes=True), answer, part=True
            )
        except OutcomeUnknownError as lost:
            tally.put_all([write], WriteState.UNKNOWN, lost.request_id or outer_id)
            return None
        except (AccountError, TransientError) as stop:  # this row was turned away unread
            tally.stop(stop)
            return None
        if answer.status < 300:
            tally.put([written(write, answer, outer_id)])
            return None
        fault = read_fault(answer)
        if classify(fault) is FaultClass.ROLLED_BACK:
            return fault
        tally.put([refused(operation, write, fault, outer_id)])
        return None

    def _refused_batch(
        self, operation: str, table: TableMetadata, writes: Sequence[RecordWrite], tally: Tally, fault: Fault
    ) -> tuple[list[RecordWrite], Fault | None]:
        """A batch that was not even opened. Too large a one goes in halves; anything else is no row's fault."""
        if fault.status != 413:
            detail = f"a batch is refused: {safe_message(fault)}"
            raise ContractError(operation, table.logical_name, detail=detail, status=fault.status, code=fault.code)
        if len(writes) == 1:
            tally.put([refused(operation, writes[0], fault, None)])
        else:
            half = len(writes) // 2
            self._write_each(operation, table, writes[:half], tally)
            self._write_each(operation, table, writes[half:], tally)
        return [], None

    def _back_off(
        self, operation: str, table: TableMetadata, resends: int, writes: Sequence[RecordWrite], fault: Fault
    ) -> None:
        """Wait before rows are sent again: longer each time, and not as long as those they met in a deadlock.

        Raises:
            ServiceUnavailableError: that was often enough.
        """
        if resends == MAX_RESENDS:
            raise ServiceUnavailableError(
                operation,
                table.logical_name,
                detail=f"{safe_message(fault)}, again and again",
                status=fault.status,
                code=fault.code,
                request_id=fault.request_id,
            )
        apart = 1 + (writes[0].record_id.int % 97) / 97
        self.clock.sleep(min(0.1 * 2**resends * apart, MAX_BACKOFF_S))


def _messages(send: Sender, writes: Sequence[RecordWrite], size: int) -> list[Message]:
    """Rows in messages, ordered by id so that requests side by side take locks in one order."""
    return [(send, rows) for rows in slices(sorted(writes, key=lambda write: write.record_id.int), size)]


def _patch(operation: str, table: TableMetadata, write: RecordWrite, metadata: Metadata) -> Part:
    """A PATCH that creates only what is not there, or updates only the version that was read."""
    condition = {"If-None-Match": "*"} if operation == "create" else {"If-Match": write.etag or "*"}
    url = f"{SERVICE_PATH}{table.entity_set}({write.record_id})"
    values = on_the_wire(table, write.values, metadata)
    return Part("PATCH", url, {"Content-Type": JSON, **condition}, orjson.dumps(values))
