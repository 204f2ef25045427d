"""A Dataverse table's columns, as far as mapping and checking need them. Filled by `dataverse.metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RequiredLevel(StrEnum):
    """Dataverse's own words; only SystemRequired is enforced by the Web API, ApplicationRequired by its forms."""

    NONE = "None"
    RECOMMENDED = "Recommended"
    APPLICATION = "ApplicationRequired"
    SYSTEM = "SystemRequired"


@dataclass(frozen=True)
class Column:
    """One column. `type` is Dataverse's AttributeType, with MultiSelectPicklist told apart from Virtual."""

    logical_name: str
    type: str
    required: RequiredLevel = RequiredLevel.NONE
    creatable: bool = True
    updatable: bool = True
    max_length: int | None = None  # UTF-16 units
    minimum: float | None = None
    maximum: float | None = None
    precision: int | None = None
    date_only: bool = False  # behaviour DateOnly: travels as YYYY-MM-DD
    options: Mapping[int, str] = field(default_factory=dict)  # value -> label, choice columns


@dataclass(frozen=True)
class TableMetadata:
    """One table. `columns` by logical name; companions (columns with AttributeOf) are left out."""

    logical_name: str
    entity_set: str
    primary_id: str
    columns: Mapping[str, Column]
    bulk_create: bool = True  # CreateMultiple is offered for it
