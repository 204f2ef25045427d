"""A Dataverse table's columns, as far as mapping and checking need them. Filled by `dataverse.metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

LOOKUP_TYPES = frozenset({"Lookup", "Customer", "Owner"})  # columns that point to one other record


class RequiredLevel(StrEnum):
    """Dataverse's own words; only SystemRequired is enforced by the Web API, ApplicationRequired by its forms."""

    NONE = "None"
    RECOMMENDED = "Recommended"
    APPLICATION = "ApplicationRequired"
    SYSTEM = "SystemRequired"


class DateBehavior(StrEnum):
    """How a DateTime column travels: in UTC, as YYYY-MM-DD, or as a wall-clock time that no zone moves."""

    USER_LOCAL = "UserLocal"
    DATE_ONLY = "DateOnly"
    ZONELESS = "TimeZoneIndependent"


@dataclass(frozen=True)
class Column:
    """One column. `type` is Dataverse's AttributeType, with MultiSelectPicklist told apart from Virtual.

    Attributes:
        max_length: in UTF-16 units.
        options: of choice columns, value -> label as the application user reads it.
        labels: value -> that label and those of the other languages, each once.
        navigation: of lookups, target table -> navigation property to bind it by, in the organisation's order. Several
            for customer and other polymorphic columns; an owner's are "systemuser" and "team".
        label: the column's display name, as the application user reads it.
    """

    logical_name: str
    type: str
    required: RequiredLevel = RequiredLevel.NONE
    creatable: bool = True
    updatable: bool = True
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    precision: int | None = None
    behavior: DateBehavior = DateBehavior.USER_LOCAL
    options: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    navigation: Mapping[str, str] = field(default_factory=dict)
    label: str = ""

    @property
    def date_only(self) -> bool:
        """Whether it travels as YYYY-MM-DD."""
        return self.behavior is DateBehavior.DATE_ONLY

    @property
    def is_lookup(self) -> bool:
        """Whether it points to one other record."""
        return self.type in LOOKUP_TYPES


@dataclass(frozen=True)
class TableMetadata:
    """One table. `columns` by logical name; companions (columns with AttributeOf) are left out. `primary_name` is the
    column that people see as the record's name; empty where there is none."""

    logical_name: str
    entity_set: str
    primary_id: str
    columns: Mapping[str, Column]
    bulk_create: bool = True  # CreateMultiple is offered for it
    primary_name: str = ""

    @cached_property
    def lookups(self) -> frozenset[str]:
        """The columns that point to one other record."""
        return frozenset(name for name, column in self.columns.items() if column.is_lookup)
