"""Creates, updates and deletes single rows: what a valid set of values means for a table.

Every write goes through the store's undo log; whoever handles the request decides about rolling back.
Source: Microsoft Learn, "Create a table row", "Update and delete table rows using the Web API".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sandbox.dataverse.derived import derive
from sandbox.dataverse.errors import (
    Refusal,
    bad_state,
    duplicate_id,
    duplicate_key,
    no_such_row,
    required_missing,
)
from sandbox.dataverse.payload import Payload, lookup_values, read_payload
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import Row
from sandbox.dataverse.values import parse_moment, stamp

_CASCADES = {
    "annotation": {"objectid"},
    "activityparty": {"activityid"},
    "listmember": {"entityid", "listid"},
}
"""Rows that go with the row they point to; every other lookup to a deleted row becomes null."""


def create(session: Session, table: Table, body: dict[str, Any], row_id: str | None = None) -> str:
    """Create a row from a body, with the rows nested in it.

    Args:
        row_id: id from the address; otherwise the body's primary key, otherwise a new one.
    Returns:
        the id of the outer row.
    """
    payload = read_payload(session, table, body, creating=True)
    return insert(session, table, payload, row_id)


def insert(session: Session, table: Table, payload: Payload, row_id: str | None = None) -> str:
    """Create a row from values that were read already."""
    values = payload.values
    for column, target, inner in payload.parents:
        session.require("Create", target)
        values |= lookup_values(column, create(session, target, inner), target.name)
    own_id = values.pop(table.primary_id, None)
    row_id = row_id or own_id or session.state.new_id()
    if row_id in session.store.rows(table.name):
        raise duplicate_id()
    row = {**session.template(table), **values}
    row[table.primary_id] = row_id
    if "statecode" in values or "statuscode" in values:
        _choose_state(session, table, row, values)
    if values.get("overriddencreatedon"):
        moment = parse_moment(values["overriddencreatedon"])
        row |= {"createdon": moment and stamp(moment), "overriddencreatedon": session.stamp}
    for name in _required(table):
        if row.get(name) is None:
            raise required_missing(table.properties[name].name, table.name)
    _save(session, table, row_id, row, values, "create")
    for relationship, rows in payload.children:
        child = session.schema.tables[relationship.table]
        session.require("Create", child)
        link = lookup_values(child.columns[relationship.column], row_id, table.name)
        for inner in rows:
            part = read_payload(session, child, inner, creating=True)
            part.values |= link
            insert(session, child, part)
    return row_id


def update(session: Session, table: Table, row_id: str, body: dict[str, Any]) -> None:
    """Change the columns a body names, nothing else."""
    before = session.store.rows(table.name).get(row_id)
    if before is None:
        raise no_such_row(table.name, row_id)
    payload = read_payload(session, table, body, creating=False)
    if payload.children:
        raise Refusal(400, "0x80048d19", "Deep update of collection-valued navigation properties is not supported.")
    values = payload.values
    values.pop(table.primary_id, None)
    for column, target, inner in payload.parents:
        values |= lookup_values(column, create(session, target, inner), target.name)
    change(session, table, row_id, values)


def change(session: Session, table: Table, row_id: str, values: dict[str, Any]) -> None:
    """Set values that were read already; None clears."""
    row = {**session.store.rows(table.name)[row_id], **values, **session.marks(table)}
    if "statecode" in values or "statuscode" in values:
        _change_state(table, row, values)
    for name in _required(table):
        if name in values and values[name] is None:
            raise required_missing(table.properties[name].name, table.name)
    _save(session, table, row_id, row, values, "update")


def delete(session: Session, table: Table, row_id: str) -> None:
    """Delete a row; rows that belong to it go too, other lookups to it become null."""
    if row_id not in session.store.rows(table.name):
        raise no_such_row(table.name, row_id)
    session.store.drop(table.name, row_id)
    for relationship in session.schema.relationships:
        if relationship.target == table.name and session.store.rows(relationship.table):
            _unlink(session, relationship.table, relationship.column, row_id)


def _unlink(session: Session, table_name: str, column_name: str, row_id: str) -> None:
    table = session.schema.tables[table_name]
    column = table.columns[column_name]
    if column.type == "Owner" or not column.property_name:
        return
    for other in list(session.store.index(table_name, (column.property_name,)).find([row_id])):
        if column_name in _CASCADES.get(table_name, ()):
            delete(session, table, other)
        else:
            row = {**session.store.rows(table_name)[other], **lookup_values(column, None, "")}
            row["versionnumber"] = session.store.next_version()
            session.store.put(table_name, other, {name: value for name, value in row.items() if value is not None})


def _save(session: Session, table: Table, row_id: str, row: Row, values: dict[str, Any], event: str) -> None:
    if None in row.values():
        row = {name: value for name, value in row.items() if value is not None}
    derive(table, row, values, session.state.currency_id)
    if table.active_keys:
        check_keys(session, table, row_id, row, values)
    for plugin in session.state.plugins:
        if plugin.table == table.name and plugin.event == event and plugin.refuses(row):
            raise Refusal(400, "0x80040265", plugin.message)
    row["versionnumber"] = session.store.next_version()
    session.store.put(table.name, row_id, row)


def check_keys(session: Session, table: Table, row_id: str, row: Row, names: Iterable[str]) -> None:
    """Refuse values of an active alternate key that another row holds; a null among them is never a duplicate."""
    for key in table.active_keys:
        properties = table.key_properties(key)
        values = [row.get(name) for name in properties]
        if None in values or not any(name in names for name in properties):
            continue
        for other in session.store.index(table.name, properties).find(values):
            if other != row_id:
                raise duplicate_key(key.name, key.columns, other)


@lru_cache(maxsize=256)
def _required(table: Table) -> tuple[str, ...]:
    """Properties that may never be null and that no default or the platform fills."""
    filled = {table.primary_id, "ownerid", "statecode", "statuscode"}
    return tuple(
        name
        for name, column in table.properties.items()
        if column.required == "SystemRequired" and column.name not in filled and column.can_create
    )


@lru_cache(maxsize=256)
def states(table: Table) -> tuple[dict[int, int | None], dict[int, int | None], dict[int, str]]:
    """State -> default status, status -> state, state -> "LeadState.Open"."""
    state, status = table.columns["statecode"], table.columns["statuscode"]
    return (
        {option.value: option.linked for option in state.options},
        {option.value: option.linked for option in status.options},
        {option.value: f"{table.schema_name}State.{option.label.replace(' ', '')}" for option in state.options},
    )


def _choose_state(session: Session, table: Table, row: Row, values: dict[str, Any]) -> None:
    """State of a new row. Strictly, only status reasons of the first state may be given at creation."""
    if session.state.settings.strict_create_state:
        first = table.columns["statecode"].options[0].value
        asked = values.get("statecode")
        if "statuscode" not in values and asked is not None:
            values["statuscode"] = row["statuscode"] = states(table)[0].get(asked)
        values.pop("statecode", None)
        row["statecode"] = first
        _check_state(table, row)
    else:
        _change_state(table, row, values)


def _change_state(table: Table, row: Row, values: dict[str, Any]) -> None:
    """A state without a status reason takes its default one; a status reason must belong to the row's state."""
    default_status, _, _ = states(table)
    if values.get("statecode") is not None and values.get("statuscode") is None:
        row["statuscode"] = default_status.get(values["statecode"])
    _check_state(table, row)


def _check_state(table: Table, row: Row) -> None:
    _, owner, names = states(table)
    state, status = row.get("statecode"), row.get("statuscode")
    if not isinstance(state, int) or not isinstance(status, int):
        raise required_missing("statecode" if state is None else "statuscode", table.name)
    if owner.get(status) != state:
        raise bad_state(status, names[state], table.name)
