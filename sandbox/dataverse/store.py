"""Rows in memory, found by id or by indexed columns, with one undo log for everything.

A row is a dict of Web API property names to JSON values; absent means null. Names starting with `#` (write time) and
`@` (target table of a lookup with several) are the sandbox's own and never leave it. Rows are replaced, never changed
in place, so the undo log keeps references instead of copies.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.dataverse.collation import Fold, fold_case

Row = dict[str, Any]
WRITTEN_AT = "#at"
"""Seconds since the epoch at which a row was last written; seeded rows lack it."""


@dataclass(frozen=True)
class Tombstone:
    """A deleted row, as change tracking reports it."""

    version: int


class Index:
    """Ids by the folded values of some columns; rows with a null among them are left out."""

    def __init__(self, properties: tuple[str, ...], fold: Fold) -> None:
        self.properties = properties
        self.fold = fold
        self._only = properties[0] if len(properties) == 1 else None
        self._ids: dict[Hashable, list[str]] = {}

    def key(self, row: Row) -> Hashable | None:
        if self._only is not None:
            value = row.get(self._only)
            return self.fold(value) if type(value) is str else value
        values = [row.get(name) for name in self.properties]
        return None if None in values else self.key_of(values)

    def key_of(self, values: list[Any]) -> Hashable:
        folded = [self.fold(value) if type(value) is str else value for value in values]
        return folded[0] if self._only is not None else tuple(folded)

    def find(self, values: list[Any]) -> list[str]:
        """Ids of the rows that hold these values, in the order of `properties`; not to be changed."""
        return self._ids.get(self.key_of(values), [])

    def add(self, row_id: str, row: Row) -> None:
        key = self.key(row)
        if key is not None:
            ids = self._ids.get(key)
            if ids is None:
                self._ids[key] = [row_id]
            else:
                ids.append(row_id)

    def replace(self, row_id: str, before: Row, after: Row | None) -> None:
        old, new = self.key(before), None if after is None else self.key(after)
        if old == new:
            return
        if old is not None:
            ids = self._ids[old]
            if len(ids) == 1:
                del self._ids[old]
            elif ids[-1] == row_id:  # what an undo removes stands last
                ids.pop()
            else:
                ids.remove(row_id)
        if new is not None and after is not None:
            self.add(row_id, after)


@dataclass
class TableRows:
    """The rows of one table with what was deleted from it."""

    rows: dict[str, Row] = field(default_factory=dict)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    indexes: dict[tuple[str, ...], Index] = field(default_factory=dict)


class Transaction:
    """A point to which the store can be put back."""

    def __init__(self, store: Store, mark: int) -> None:
        self._store = store
        self._mark = mark

    def rollback(self) -> None:
        """Undo every write since the transaction began."""
        self._store.undo(self._mark)

    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """(event, table, id) of each row touched since the transaction began, in order of first touch."""
        return self._store.changes(self._mark)


class Store:
    """All tables of one organisation."""

    def __init__(self) -> None:
        self.fold: Fold = fold_case
        self.version = 1_000_000
        self._tables: dict[str, TableRows] = {}
        self._log: list[tuple[str, str, Row | None, Tombstone | None]] = []
        self._depth = 0

    def table(self, name: str) -> TableRows:
        """The rows of a table, which comes into being when first asked for."""
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = TableRows()
        return found

    def rows(self, name: str) -> dict[str, Row]:
        """id -> row; not to be changed."""
        return self.table(name).rows

    def next_version(self) -> int:
        self.version += 1
        return self.version

    def index(self, table: str, properties: tuple[str, ...]) -> Index:
        """The index of these columns, built when first needed and kept up to date from then on."""
        data = self.table(table)
        index = data.indexes.get(properties)
        if index is None or index.fold is not self.fold:
            index = data.indexes[properties] = Index(properties, self.fold)
            for row_id, row in data.rows.items():
                index.add(row_id, row)
        return index

    def put(self, table: str, row_id: str, row: Row) -> None:
        """Insert a row or replace it."""
        data = self.table(table)
        before = data.rows.get(row_id)
        tombstone = data.tombstones.pop(row_id, None) if data.tombstones else None
        self._log.append((table, row_id, before, tombstone))
        data.rows[row_id] = row
        if before is None:
            for index in data.indexes.values():
                index.add(row_id, row)
        else:
            for index in data.indexes.values():
                index.replace(row_id, before, row)

    def drop(self, table: str, row_id: str) -> None:
        """Delete a row and leave a tombstone."""
        data = self.table(table)
        before = data.rows.pop(row_id)
        self._log.append((table, row_id, before, None))
        data.tombstones[row_id] = Tombstone(self.next_version())
        for index in data.indexes.values():
            index.replace(row_id, before, None)

    def refill(self, table: str, rows: Mapping[str, Row], deleted: Mapping[str, int]) -> None:
        """Add kept rows and deletions (id -> version), replacing rows of the same ids; not undoable."""
        data = self.table(table)
        data.rows |= rows
        for row_id, version in deleted.items():
            data.rows.pop(row_id, None)
            data.tombstones[row_id] = Tombstone(version)
        data.indexes.clear()

    def forget(self, table: str) -> None:
        """Throw away a table with all its rows; not undoable."""
        self._tables.pop(table, None)

    def drop_indexes(self, table: str) -> None:
        """Let the indexes of a table be built anew, after its columns changed."""
        self.table(table).indexes.clear()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Group writes; the log is emptied when the outermost group ends."""
        self._depth += 1
        try:
            yield Transaction(self, len(self._log))
        finally:
            self._depth -= 1
            if not self._depth:
                self._log.clear()

    def undo(self, mark: int) -> None:
        while len(self._log) > mark:
            table, row_id, before, tombstone = self._log.pop()
            data = self.table(table)
            after = data.rows.pop(row_id, None)
            data.tombstones.pop(row_id, None)
            if tombstone is not None:
                data.tombstones[row_id] = tombstone
            if before is not None:
                data.rows[row_id] = before
            for index in data.indexes.values():
                if after is not None:
                    index.replace(row_id, after, before)
                elif before is not None:
                    index.add(row_id, before)

    def changes(self, mark: int) -> tuple[tuple[str, str, str], ...]:
        first: dict[tuple[str, str], Row | None] = {}
        for table, row_id, before, _ in self._log[mark:]:
            first.setdefault((table, row_id), before)
        found = []
        for (table, row_id), before in first.items():
            exists = row_id in self.rows(table)
            if exists or before is not None:
                event = ("update" if before is not None else "create") if exists else "delete"
                found.append((event, table, row_id))
        return tuple(found)
