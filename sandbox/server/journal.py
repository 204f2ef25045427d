"""Keeps what happened: an entry for each request and each part of a `$batch`, and the events of each record.

It is the witness of drills: written by the server, never by the client under test. Bounded, since a load test
makes millions of requests. No header and no body is kept (a body only as its SHA-256).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from operator import attrgetter

CAPACITY = 200_000
EVENTS = ("create", "update", "delete")

Change = tuple[str, str, str]  # event, table, record id


@dataclass(slots=True)
class Entry:
    """One request, or one part of a `$batch` (`parent` is then the entry of the whole)."""

    seq: int
    at: datetime
    method: str
    path: str
    caller: str | None = None
    organization: str | None = None
    server: int | None = None
    table: str | None = None
    operation: str | None = None
    rows: int = 0
    ids: tuple[str, ...] = ()
    status: int = 0
    code: str | None = None
    committed: bool = False
    latency_s: float = 0.0
    body_sha256: str | None = None
    fault: str | None = None
    parent: int | None = None

    def described(self) -> dict[str, object]:
        """The entry as the control API gives it."""
        return asdict(self)


class Journal:
    """The newest entries, and counts of everything since the last clearing."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._events: dict[str, Counter[str]] = {}
        self._tables: dict[str, str] = {}
        self._statuses: Counter[int] = Counter()
        self._rows_written: Counter[str] = Counter()
        self._next = 1

    def open(self, at: datetime, method: str, path: str, parent: int | None = None) -> Entry:
        """Begin an entry; its number is the order of arrival."""
        entry = Entry(self._next, at, method, path, parent=parent)
        self._next += 1
        return entry

    def close(self, entry: Entry) -> None:
        """Keep a finished entry."""
        self._entries.append(entry)
        if entry.parent is None:
            self._statuses[entry.status] += 1
        if entry.committed and entry.table and entry.operation != "Batch":
            self._rows_written[entry.table] += entry.rows

    def record(self, changes: Iterable[Change]) -> None:
        """Count what a committed write did to each record."""
        for event, table, record_id in changes:
            self._events.setdefault(event, Counter())[record_id] += 1
            self._tables[record_id] = table

    def clear(self) -> None:
        """Forget everything but the numbering, so that no number ever names two requests."""
        self._entries.clear()
        self._statuses.clear()
        self._rows_written.clear()
        self._events.clear()
        self._tables.clear()

    def entries(
        self,
        *,
        after: int = 0,
        method: str | None = None,
        table: str | None = None,
        organization: str | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Kept entries in order of arrival, filtered; of more than `limit`, the earliest.

        A request still running has no entry yet, so numbers may fill in below the last one seen.
        """
        found = (
            entry
            for entry in self._entries
            if entry.seq > after
            and method in (None, entry.method)
            and table in (None, entry.table)
            and organization in (None, entry.organization)
        )
        return sorted(found, key=attrgetter("seq"))[:limit]

    def events(self, table: str | None = None) -> dict[str, dict[str, int]]:
        """For each record id: how often it was created, updated and deleted."""
        return {
            record_id: {event: self._events.get(event, Counter())[record_id] for event in EVENTS}
            for record_id, its_table in self._tables.items()
            if table in (None, its_table)
        }

    def event_counts(self, table: str) -> dict[str, dict[int, int]]:
        """For each event: how often it happened to a record -> to how many records of the table."""
        return {
            event: dict(Counter(count for record_id, count in counts.items() if self._tables[record_id] == table))
            for event, counts in self._events.items()
        }

    def stats(self) -> dict[str, object]:
        """Counts since the last clearing."""
        return {
            "requests": sum(self._statuses.values()),
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "rows_written": dict(self._rows_written),
            "events": {event: sum(self._events.get(event, Counter()).values()) for event in EVENTS},
        }
