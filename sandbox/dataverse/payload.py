"""Reads a body into the values of one row: columns, bound lookups, rows to insert along with it.

An unknown or wrong-case name refuses the whole request; read-only columns are dropped without a word.
Source: Microsoft Learn, "Create a table row using the Web API", "Associate and disassociate table rows".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sandbox.dataverse.addresses import locate_reference
from sandbox.dataverse.errors import bad_payload, bad_request, undeclared, undeclared_annotated
from sandbox.dataverse.schema import Column, Relationship, Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.values import Reader, reader

_BIND = "@odata.bind"


@dataclass
class Payload:
    """The values of one row by property name; None clears. Inner rows are still bodies."""

    values: dict[str, Any] = field(default_factory=dict)
    parents: list[tuple[Column, Table, dict[str, Any]]] = field(default_factory=list)
    children: list[tuple[Relationship, list[dict[str, Any]]]] = field(default_factory=list)


@lru_cache(maxsize=512)
def _readers(table: Table, creating: bool) -> dict[str, Reader | None]:
    """Property -> its reader; None for what is read-only here. Lookups are written by other names."""
    found: dict[str, Reader | None] = {}
    for name, column in table.properties.items():
        if not column.is_lookup:
            writable = column.can_create if creating else column.can_update
            # A state at creation is judged later, together with its status reason.
            writable = writable or (column.type == "State")
            found[name] = reader(column, table.entity_set) if writable else None
    return found


def read_payload(session: Session, table: Table, body: dict[str, Any], *, creating: bool) -> Payload:
    """Bind a body to the table's properties.

    Raises:
        Refusal: 400 for unknown names and values that do not fit, 404 for a lookup target that does not exist.
    """
    readers = _readers(table, creating)
    payload = Payload()
    values = payload.values
    for name, value in body.items():
        read = readers.get(name)
        if read is not None:
            values[name] = None if value is None else read(value)
        elif name not in readers:
            _read_other(session, table, name, value, payload, creating=creating)
    return payload


def _read_other(session: Session, table: Table, name: str, value: Any, payload: Payload, *, creating: bool) -> None:
    """Everything that is no plain column: annotations, bound lookups, deep inserts, mistakes."""
    if name.endswith(_BIND):
        _bind(session, table, name[: -len(_BIND)], value, payload, creating=creating)
    elif "@" in name:
        return
    elif name in table.properties:
        raise bad_request(
            "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead."
        )
    elif name in table.navigations:
        _nested_parent(session, table, name, value, payload)
    elif name in session.schema.collections.get(table.name, {}):
        payload.children.append((session.schema.collections[table.name][name], _rows_of(table, value)))
    else:
        raise undeclared(table.entity_set, table.name, name)


def _bind(session: Session, table: Table, name: str, value: Any, payload: Payload, *, creating: bool) -> None:
    found = table.navigations.get(name)
    if found is None:
        raise undeclared_annotated(table.entity_set, name)
    column, targets = found
    if not (column.can_create if creating else column.can_update):
        return
    if value is None:
        payload.values |= lookup_values(column, None, "")
        return
    target = locate_reference(session, value)
    if target.table.name not in targets:
        raise bad_payload(
            table.entity_set,
            f"The type 'Microsoft.Dynamics.CRM.{target.table.name}' is not a valid type for property '{name}'.",
        )
    payload.values |= lookup_values(column, target.existing(session), target.table.name)


def lookup_values(column: Column, row_id: str | None, target: str) -> dict[str, Any]:
    """What a row stores for a lookup: the id, and the target's table when there are several to choose from."""
    values: dict[str, Any] = {f"_{column.name}_value": row_id}
    if len(column.navigation) > 1:
        values[f"@{column.name}"] = None if row_id is None else target
    if column.type == "Owner":
        values["_owninguser_value"] = row_id if target == "systemuser" else None
        values["_owningteam_value"] = row_id if target == "team" else None
    return values


def _nested_parent(session: Session, table: Table, name: str, value: Any, payload: Payload) -> None:
    column, targets = table.navigations[name]
    if value is None:
        payload.values |= lookup_values(column, None, "")
        return
    if not isinstance(value, dict) or targets[0] not in session.schema.tables:
        raise bad_payload(
            table.entity_set,
            "An unexpected 'PrimitiveValue' node was found when reading from the JSON reader. "
            "A 'StartObject' node was expected.",
        )
    payload.parents.append((column, session.schema.tables[targets[0]], value))


def _rows_of(table: Table, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise bad_payload(
            table.entity_set,
            "An unexpected 'PrimitiveValue' node was found when reading from the JSON reader. "
            "A 'StartArray' node was expected.",
        )
    return value
