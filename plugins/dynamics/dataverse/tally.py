"""Keeps count of one bulk write while its requests run side by side: what became of each record, and why it stopped.

A record nobody reported on was not sent: that is the answer for whatever a fault left over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from dynamics.core.crm import RecordWrite, WriteReport, WriteResult, WriteState
from dynamics.dataverse.breaker import Breaker
from dynamics.errors import DynamicsError, TransientError


class Tally:
    """Results of one bulk write, by record id. For any number of threads.

    `breaker` counts what this and other writes of the same table and operation come to.
    """

    def __init__(self, writes: Sequence[RecordWrite], breaker: Breaker) -> None:
        self._breaker = breaker
        self._ids = [write.record_id for write in writes]
        if len(set(self._ids)) < len(self._ids):
            raise ValueError("one record stands in a bulk write twice")
        self._results: dict[UUID, WriteResult] = {}
        self._stopped_by: DynamicsError | None = None
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._stopped_by is not None

    def stop(self, fault: DynamicsError) -> None:
        """Send nothing more; the first fault counts."""
        with self._lock:
            self._stopped_by = self._stopped_by or fault

    @contextmanager
    def request(self, isolating: bool = False) -> Iterator[None]:
        """Around one request and the record of its fates. Raises AccountError: the breaker is open."""
        with self._breaker.watched(isolating):
            yield
        if self._breaker.fault is not None:
            self.stop(self._breaker.fault)

    def put(self, results: Iterable[WriteResult]) -> None:
        """Record what became of some records."""
        for result in results:
            self._results[result.record_id] = result
            self._breaker.count(result)

    def put_all(self, writes: Iterable[RecordWrite], state: WriteState, request_id: str | None) -> None:
        """Record the same state for several records."""
        self.put(WriteResult(write.record_id, state, request_id=request_id) for write in writes)

    def report(self) -> WriteReport:
        """The results of all records, those that were not sent included."""
        fault = self._stopped_by
        wait_s = fault.retry_after_s if isinstance(fault, TransientError) else None
        results = {
            record_id: self._results.get(record_id)
            or WriteResult(record_id, WriteState.NOT_SENT, code=fault.code if fault else None, retry_after_s=wait_s)
            for record_id in self._ids
        }
        return WriteReport(results, fault)
