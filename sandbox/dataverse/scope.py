"""What the names in a `$filter` mean for the rows of one table: columns, columns of related rows, collections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sandbox.dataverse.errors import Refusal, no_property
from sandbox.dataverse.projection import lookup_target
from sandbox.dataverse.schema import Column, Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import Row
from sandbox.dataverse.values import edm_type

Getter = Callable[[Row], Any]
_INDEXED = frozenset({"Edm.String", "Edm.Guid"})


class TableScope:
    """The names of one table; inside a lambda, `variable` stands before each of them."""

    def __init__(self, session: Session, table: Table, variable: str = "") -> None:
        self._session = session
        self._table = table
        self._variable = variable
        self.fold = session.store.fold
        self.now = session.now
        self.user_id = session.user_id

    def getter(self, names: tuple[str, ...]) -> tuple[Getter, str | None]:
        """How to read a property, following single-valued navigation properties."""
        if self._variable and names[0] == self._variable:
            names = names[1:]
        return self._path(self._table, names)

    def _path(self, table: Table, names: tuple[str, ...]) -> tuple[Getter, str | None]:
        name = names[0] if names else self._variable
        if len(names) == 1 and name in table.properties:
            return _reader(name), edm_type(table.properties[name])
        if len(names) > 1 and name in table.navigations:
            return self._follow(table, names)
        raise no_property(name, table.name)

    def _follow(self, table: Table, names: tuple[str, ...]) -> tuple[Getter, str | None]:
        column, targets = table.navigations[names[0]]
        known = [self._session.schema.tables[target] for target in targets if target in self._session.schema.tables]
        if not known:
            raise no_property(names[1], targets[0])
        get, edm = self._path(known[0], names[1:])
        rows, link = self._session.store.rows(known[0].name), f"_{column.name}_value"

        def read(row: Row) -> Any:
            other = rows.get(row.get(link, "")) if lookup_target(column, row) in targets else None
            return None if other is None else get(other)

        return read, edm

    def attribute(self, name: str) -> tuple[Getter, str | None]:
        """A column named inside a query function: its logical name, or its property name."""
        column = self._column(name)
        property_name = column.property_name if column else None
        if column is None or property_name is None:
            raise Refusal(
                400,
                "0x80041103",
                f"'{self._table.name}' entity doesn't contain attribute with Name = '{name}' and NameMapping = "
                "'Logical'.",
            )
        return _reader(property_name), edm_type(column)

    def _column(self, name: str) -> Column | None:
        return self._table.columns.get(name) or self._table.properties.get(name)

    def related(self, names: tuple[str, ...], variable: str) -> tuple[Callable[[Row], Iterable[Row]], TableScope]:
        """The rows of a collection-valued navigation property."""
        relationship = self._session.schema.collections.get(self._table.name, {}).get(names[-1])
        if relationship is None or len(names) != 1:
            raise no_property(names[-1], self._table.name)
        store, own_id = self._session.store, self._table.primary_id
        index = store.index(relationship.table, (f"_{relationship.column}_value",))
        rows = store.rows(relationship.table)
        inner = TableScope(self._session, self._session.schema.tables[relationship.table], variable)
        return lambda row: (rows[other] for other in index.find([row[own_id]])), inner

    def find(self, names: tuple[str, ...], values: Iterable[Any]) -> list[str] | None:
        """Ids of the rows holding one of the values, by an index on a text or id column."""
        column = self._column(names[0]) if len(names) == 1 and not self._variable else None
        name = column.property_name if column else None
        if column is None or name is None or edm_type(column) not in _INDEXED:
            return None
        wanted = dict.fromkeys(self.fold(str(value)) for value in values)
        if name == self._table.primary_id:
            rows = self._session.store.rows(self._table.name)
            return [value for value in wanted if value in rows]
        index = self._session.store.index(self._table.name, (name,))
        return [row_id for value in wanted for row_id in index.find([value])]


def _reader(name: str) -> Getter:
    return lambda row: row.get(name)
