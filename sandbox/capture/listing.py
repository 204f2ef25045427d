"""Lists that change while they are read: fixed order, windows, filters, and cursors that neither lose nor double a row.

Rows stand in the order (`updated_at`, `id`). A cursor holds the last row's place, a digest of the filters, and the
upper bound pinned at page one: what changes during paging moves behind the bound, into the next window.
Source: Capture Source API v1, listing, windows, paging.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from sandbox.capture.wire import Fault, Problem, instant

Place = tuple[str, str]  # (updated_at, id)

CURSOR_LIFETIME = timedelta(hours=24)
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Row:
    """One listed thing: its JSON as it is sent, and what filters look at. `values` by parameter name."""

    id: str
    updated_at: str
    body: bytes
    deleted: bool = False
    captured: tuple[str, ...] = ()
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return self.updated_at, self.id


@dataclass(frozen=True)
class Window:
    """Which rows are wanted. Times are `instant` texts; `since` is inclusive, `until` exclusive."""

    since: str = ""
    until: str | None = None
    captured_since: str | None = None
    captured_until: str | None = None
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    include_deleted: bool = False
    include: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """The same for the same window, whatever the order of its parameters."""
        content = [
            self.since,
            self.until,
            self.captured_since,
            self.captured_until,
            sorted((name, sorted(values)) for name, values in self.values.items()),
            self.include_deleted,
            sorted(self.include),
        ]
        return hashlib.sha256(orjson.dumps(content)).hexdigest()[:16]

    def wants(self, row: Row) -> bool:
        if row.deleted:
            # A tombstone says nothing about events or owners any more: everyone who asks is told.
            return self.include_deleted
        if self.captured_since is not None or self.captured_until is not None:
            since, until = self.captured_since or "", self.captured_until or "~"
            if not any(since <= captured < until for captured in row.captured):
                return False
        nothing: frozenset[str] = frozenset()
        return all(wanted & row.values.get(name, nothing) for name, wanted in self.values.items())


class Table:
    """Rows by id, and in the order of their last change."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._order: list[Place] = []

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, row_id: str) -> Row | None:
        return self._rows.get(row_id)

    def clear(self) -> None:
        self._rows.clear()
        self._order.clear()

    def rows(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def put(self, rows: Iterable[Row]) -> int:
        """Add or replace by id. One row costs a search, many cost one sort. Returns how many were given."""
        new = list(rows)
        if len(new) > 100:
            self._rows.update((row.id, row) for row in new)
            self._order = sorted(row.place for row in self._rows.values())
            return len(new)
        for row in new:
            old = self._rows.get(row.id)
            if old is not None:
                del self._order[bisect_left(self._order, old.place)]
            self._rows[row.id] = row
            self._order.insert(bisect_left(self._order, row.place), row.place)
        return len(new)

    @property
    def last_change(self) -> str:
        """`updated_at` of the newest row, "" when there is none."""
        return self._order[-1][0] if self._order else ""

    def read(self, window: Window, after: Place | None, bound: str, limit: int) -> tuple[list[Row], bool]:
        """Up to `limit` wanted rows behind a place, none changed after `bound`; and whether there are more."""
        start = bisect_left(self._order, (window.since, "")) if after is None else bisect_right(self._order, after)
        end = bisect_right(self._order, (bound, "\uffff"))
        if window.until is not None:
            end = min(end, bisect_left(self._order, (window.until, "")))
        places = islice(self._order, start, end) if start < end else iter(())
        found = list(islice((row for row in map(self._row_at, places) if window.wants(row)), limit + 1))
        return found[:limit], len(found) > limit

    def _row_at(self, place: Place) -> Row:
        return self._rows[place[1]]


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    next_cursor: str | None
    high_watermark: str


class Pager:
    """Hands out pages. Cursors are signed: nobody makes one up."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def page(self, table: Table, window: Window, cursor: str | None, limit: int) -> Page:
        """One page.

        Raises:
            Problem: 400 `invalid_cursor` or `cursor_filter_mismatch`, 410 `cursor_expired`.
        """
        after: Place | None = None
        bound = table.last_change
        if cursor is not None:
            after, bound = self._open(cursor, window)
        rows, more = table.read(window, after, bound, limit)
        mark = bound or instant(self._clock())
        if window.until is not None:
            mark = min(mark, window.until)
        return Page(rows, self._seal(rows[-1].place, window, bound) if more else None, mark)

    def _seal(self, last: Place, window: Window, bound: str) -> str:
        content = orjson.dumps([*last, window.digest, bound, self._clock().timestamp()])
        return base64.urlsafe_b64encode(self._signature(content) + content).decode().rstrip("=")

    def _open(self, cursor: str, window: Window) -> tuple[Place, str]:
        updated_at, row_id, digest, bound, issued_at = self._content(cursor)
        if digest != window.digest:
            raise _cursor_problem(400, "cursor_filter_mismatch", "The cursor was made for other filters.")
        if self._clock().timestamp() - issued_at > CURSOR_LIFETIME.total_seconds():
            raise _cursor_problem(410, "cursor_expired", "The cursor is too old: begin again from the stored mark.")
        return (updated_at, row_id), bound

    def _content(self, cursor: str) -> list[Any]:
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            sealed = b""
        signature, content = sealed[:_DIGEST_BYTES], sealed[_DIGEST_BYTES:]
        if not hmac.compare_digest(signature, self._signature(content)):
            raise _cursor_problem(400, "invalid_cursor", "The cursor is not one of ours.")
        opened: list[Any] = orjson.loads(content)
        return opened

    def _signature(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")[:_DIGEST_BYTES]


def _cursor_problem(status: int, code: str, detail: str) -> Problem:
    return Problem(status, code, detail, errors=[Fault("cursor", code, detail)])
