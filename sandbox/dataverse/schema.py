"""Tables, columns, relationships and keys of an organisation, as immutable descriptions.

A change of schema replaces a `Table` by a new one, so whatever was compiled from the old one (validators, property
lists) goes out of use with it. Shipped rows come from the CSV files next to this module.
Source: Microsoft Learn, "Table reference" of Dynamics 365 Sales and of Dataverse; "Web API types and operations".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from uuid import UUID, uuid5

LOOKUP_TYPES = frozenset({"Lookup", "Customer", "Owner"})
CHOICE_TYPES = frozenset({"Picklist", "State", "Status"})
_UNEXPOSED = frozenset({"EntityName", "PartyList", "Virtual"})
_METADATA = UUID("6f1b0f6e-2f0e-4c34-9a0a-4f6e7b5f6a10")
"""Namespace of metadata ids: the same table or column has the same id in every sandbox."""


@dataclass(frozen=True)
class Option:
    """One value of a choice; `linked` is a state's default status, or the state a status belongs to."""

    value: int
    label: str
    linked: int | None = None


@dataclass(frozen=True, eq=False)
class Column:
    """One column. `navigation` maps each target table to the name under which a value is bound."""

    table: str
    name: str
    schema_name: str
    type: str
    max_length: int | None = None
    required: str = "None"
    can_create: bool = True
    can_update: bool = True
    options: tuple[Option, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    precision: int | None = None
    behavior: str = ""
    format: str = ""
    default: int | None = None
    navigation: Mapping[str, str] = field(default_factory=dict)
    companion_of: str | None = None
    relationship: str | None = None
    label: str | None = None

    @property
    def is_lookup(self) -> bool:
        return self.type in LOOKUP_TYPES

    @cached_property
    def property_name(self) -> str | None:
        """Name in the Web API, None for columns that are not exposed there."""
        if self.type in _UNEXPOSED:
            return None
        return f"_{self.name}_value" if self.is_lookup else self.name

    @property
    def is_custom(self) -> bool:
        return "_" in self.name and self.name.split("_")[0] not in ("address1", "address2", "address3")

    @cached_property
    def metadata_id(self) -> str:
        return str(uuid5(_METADATA, f"{self.table}.{self.name}"))


@dataclass(frozen=True)
class Key:
    """An alternate key; only an Active one is enforced and addressable."""

    name: str
    columns: tuple[str, ...]
    status: str = "Active"

    @property
    def logical_name(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Relationship:
    """One lookup column to one target: read as `navigation` on one side, as `collection` on the other."""

    schema_name: str
    table: str
    column: str
    target: str
    navigation: str

    @property
    def metadata_id(self) -> str:
        return str(uuid5(_METADATA, f"relationship {self.schema_name}"))


@dataclass(frozen=True, eq=False)
class Table:
    """One table and everything derived from its columns."""

    name: str
    schema_name: str
    entity_set: str
    object_type_code: int
    primary_id: str
    primary_name: str
    is_owned: bool
    has_bulk: bool
    is_tracked: bool
    columns: Mapping[str, Column]
    keys: tuple[Key, ...] = ()
    label: str | None = None

    @cached_property
    def metadata_id(self) -> str:
        return str(uuid5(_METADATA, self.name))

    @cached_property
    def properties(self) -> dict[str, Column]:
        """Web API property name -> column, in alphabetical order of the property."""
        named = ((column.property_name, column) for column in self.columns.values())
        return dict(sorted(((n, c) for n, c in named if n is not None), key=itemgetter(0)))

    @cached_property
    def navigations(self) -> dict[str, tuple[Column, tuple[str, ...]]]:
        """Single-valued navigation property -> its column and the tables it may point to."""
        found: dict[str, tuple[Column, tuple[str, ...]]] = {}
        for column in self.columns.values():
            for target, name in column.navigation.items():
                targets = found.get(name, (column, ()))[1]
                found[name] = (column, (*targets, target))
        return found

    @cached_property
    def active_keys(self) -> tuple[Key, ...]:
        return tuple(key for key in self.keys if key.status == "Active")

    def key_properties(self, key: Key) -> tuple[str, ...]:
        """Property names of a key's columns, lookups as `_x_value`."""
        return tuple(self.columns[name].property_name or name for name in key.columns)

    def key_id(self, key: Key) -> str:
        """Metadata id of a key."""
        return str(uuid5(_METADATA, f"{self.name} key {key.name}"))

    def with_column(self, column: Column) -> Table:
        """The same table with a column added or replaced."""
        return replace(self, columns={**self.columns, column.name: column})

    def without_column(self, name: str) -> Table:
        """The same table without a column, its companions and the keys that need it."""
        left = {n: c for n, c in self.columns.items() if n != name and c.companion_of != name}
        return replace(self, columns=left, keys=tuple(key for key in self.keys if name not in key.columns))


class Schema:
    """The tables of one organisation; each change swaps a whole table."""

    def __init__(self, tables: Mapping[str, Table], names: Mapping[tuple[str, str, str], str]) -> None:
        self.tables = dict(tables)
        self._names = dict(names)
        self._index()

    def _index(self) -> None:
        self.by_set = {table.entity_set: table for table in self.tables.values()}
        self.relationships: list[Relationship] = list(self._all_relationships())
        self.collections: dict[str, dict[str, Relationship]] = {name: {} for name in self.tables}
        for relationship in self.relationships:
            if relationship.target in self.collections:
                self.collections[relationship.target][relationship.schema_name] = relationship

    def _all_relationships(self) -> Iterator[Relationship]:
        for table in self.tables.values():
            for column in table.columns.values():
                for target, navigation in column.navigation.items():
                    known = column.relationship or self._names.get((table.name, column.name, target))
                    name = known or f"{target}_{table.name}_{column.name}"
                    yield Relationship(name, table.name, column.name, target, navigation)

    def copy(self) -> Schema:
        """An independent schema with the same tables."""
        return Schema(self.tables, self._names)

    def put(self, table: Table) -> None:
        """Add a table or replace the one of its name."""
        self.tables[table.name] = table
        self._index()

    def remove(self, name: str) -> None:
        """Drop a table and every relationship to it."""
        del self.tables[name]
        self._index()
