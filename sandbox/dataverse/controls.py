"""What happens behind a client's back: an administrator changes the schema, a colleague edits rows.

Nothing here is a Dataverse request; the sandbox's control API calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from sandbox.dataverse.changes import new_key
from sandbox.dataverse.errors import no_such_row
from sandbox.dataverse.payload import read_payload
from sandbox.dataverse.sales import merge_rows
from sandbox.dataverse.schema import Column, Option, Table
from sandbox.dataverse.shipped import companions
from sandbox.dataverse.state import Plugin, Session
from sandbox.dataverse.tenant_drift import drifted
from sandbox.dataverse.writes import change, delete, states

Change = Mapping[str, Any]
_NUMBERS = ("Integer", "BigInt", "Decimal", "Double", "Money")
ADDABLE = ("String", "Memo", *_NUMBERS, "Boolean", "DateTime", "Picklist", "MultiSelectPicklist")


def change_schema(session: Session, asked: Change) -> None:
    """Do one change of the schema.

    Args:
        asked: `action`, `table`, usually `column`, and what the action needs: `to`, `value`, `label`, `type`,
            `max_length`, `target`, `columns`, `status`, `event`, `probability`, `seed`, `message`.
    Raises:
        ValueError: an unknown action, table, column or option.
    """
    table = session.schema.tables.get(str(asked.get("table")))
    action = _SCHEMA_ACTIONS.get(str(asked.get("action")))
    if table is None or action is None:
        raise ValueError(f"no schema action {asked.get('action')!r} on table {asked.get('table')!r}")
    changed = action(session, table, asked)
    if changed is not None:
        session.schema.put(changed)
        session.store.drop_indexes(changed.name)


def _column(table: Table, asked: Change) -> Column:
    column = table.columns.get(str(asked.get("column")))
    if column is None:
        raise ValueError(f"table {table.name} has no column {asked.get('column')!r}")
    return column


def _drop_column(session: Session, table: Table, asked: Change) -> Table:
    column = _column(table, asked)
    _rewrite(session, table, {column.property_name or column.name: None})
    return table.without_column(column.name)


def _rename_column(session: Session, table: Table, asked: Change) -> Table:
    column = _column(table, asked)
    renamed = replace(column, name=str(asked["to"]), schema_name=str(asked["to"]))
    _rewrite(session, table, {column.property_name or column.name: renamed.property_name})
    return table.without_column(column.name).with_column(renamed)


def _rewrite(session: Session, table: Table, names: dict[str, str | None]) -> None:
    """Rename stored values, or drop those renamed to nothing."""
    rows = session.store.rows(table.name)
    for row_id, row in list(rows.items()):
        if not names.keys().isdisjoint(row):
            renamed = ((names.get(name, name), value) for name, value in row.items())
            session.store.put(table.name, row_id, {name: value for name, value in renamed if name is not None})


def _drop_option(_session: Session, table: Table, asked: Change) -> Table:
    column = _column(table, asked)
    kept = tuple(option for option in column.options if option.value != asked.get("value"))
    if len(kept) == len(column.options):
        raise ValueError(f"column {column.name} has no option {asked.get('value')!r}")
    return table.with_column(replace(column, options=kept))


def _rename_option(_session: Session, table: Table, asked: Change) -> Table:
    column = _column(table, asked)
    renamed = tuple(
        replace(option, label=str(asked["label"])) if option.value == asked.get("value") else option
        for option in column.options
    )
    return table.with_column(replace(column, options=renamed))


def _add_option(_session: Session, table: Table, asked: Change) -> Table:
    column = _column(table, asked)
    option = Option(int(asked["value"]), str(asked["label"]), asked.get("state"))
    return table.with_column(replace(column, options=(*column.options, option)))


def _add_column(_session: Session, table: Table, asked: Change) -> Table:
    name, kind, options = str(asked["column"]), str(asked.get("type", "String")), asked.get("options") or []
    if name.lower() in table.columns:
        raise ValueError(f"{table.name} has a column {name.lower()} already")
    if kind not in ADDABLE:
        raise ValueError(f"type is one of {', '.join(ADDABLE)}, not {kind!r}")
    if not isinstance(options, list) or not all(isinstance(each, dict) for each in options):
        raise ValueError('options is a list such as [{"value": 100000000, "label": "Hot"}]')
    column = Column(
        table=table.name,
        name=name.lower(),
        schema_name=name,
        type=kind,
        max_length=asked.get("max_length", 100),
        required=str(asked.get("required", "None")),
        options=tuple(Option(int(each["value"]), str(each["label"])) for each in options),
    )
    return _added(table, column)


def _add_lookup(_session: Session, table: Table, asked: Change) -> Table:
    schema_name, target = str(asked["column"]), str(asked["target"])
    column = Column(table.name, schema_name.lower(), schema_name, "Lookup", navigation={target: schema_name})
    return _added(table, column)


def _added(table: Table, column: Column) -> Table:
    for each in (column, *companions([column])):
        table = table.with_column(each)
    return table


def _require_column(_session: Session, table: Table, asked: Change) -> Table:
    return table.with_column(replace(_column(table, asked), required=str(asked.get("level", "SystemRequired"))))


def _set_max_length(_session: Session, table: Table, asked: Change) -> Table:
    return table.with_column(replace(_column(table, asked), max_length=int(asked["max_length"])))


def _tenant_drift(_session: Session, table: Table, _asked: Change) -> Table:
    if table.name != "lead":
        raise ValueError(f"there is no drifted {table.name}, only a drifted lead")
    return drifted(table)


def _add_key(session: Session, table: Table, asked: Change) -> Table:
    columns = tuple(str(name) for name in asked["columns"])
    key = new_key(session, table, str(asked["name"]), columns)
    return replace(table, keys=(*table.keys, replace(key, status=str(asked.get("status", key.status)))))


def _set_key_status(_session: Session, table: Table, asked: Change) -> Table:
    """Pending, InProgress, Active or Failed, for the key of that name or for all."""
    keys = tuple(
        replace(key, status=str(asked["status"])) if asked.get("name", key.name) == key.name else key
        for key in table.keys
    )
    return replace(table, keys=keys)


def _install_plugin(session: Session, table: Table, asked: Change) -> None:
    session.state.plugins.append(
        Plugin(
            table=table.name,
            event=str(asked.get("event", "create")),
            message=str(asked.get("message", "Refused by a plug-in.")),
            probability=float(asked.get("probability", 1.0)),
            draw=Random(asked.get("seed", 0)),  # noqa: S311 - drawn for drills
            column=asked.get("column"),
            value=asked.get("value"),
        )
    )


def _remove_plugin(session: Session, table: Table, asked: Change) -> None:
    event = asked.get("event")
    session.state.plugins[:] = [
        plugin
        for plugin in session.state.plugins
        if plugin.table != table.name or (event is not None and plugin.event != event)
    ]


_SCHEMA_ACTIONS: dict[str, Callable[[Session, Table, Change], Table | None]] = {
    "drop_column": _drop_column,
    "rename_column": _rename_column,
    "drop_option": _drop_option,
    "rename_option": _rename_option,
    "add_option": _add_option,
    "add_column": _add_column,
    "add_lookup": _add_lookup,
    "require_column": _require_column,
    "set_max_length": _set_max_length,
    "add_key": _add_key,
    "set_key_status": _set_key_status,
    "tenant_drift": _tenant_drift,
    "install_plugin": _install_plugin,
    "remove_plugin": _remove_plugin,
}


def edit(session: Session, asked: Change) -> None:
    """Do to one row what a person would.

    Args:
        asked: `action`, `table`, `id`, for some actions `values` or `master`.
    Raises:
        ValueError: an unknown action or table.
        Refusal: values that do not fit the columns, a row that is not there.
    """
    table, row_id = session.schema.tables.get(str(asked.get("table"))), str(asked.get("id")).lower()
    if table is None:
        raise ValueError(f"no table {asked.get('table')!r}")
    if row_id not in session.store.rows(table.name):
        raise no_such_row(table.name, row_id)
    match asked.get("action"):
        case "change":
            change(session, table, row_id, read_payload(session, table, dict(asked["values"]), creating=False).values)
        case "merge":
            merge_rows(session, table, str(asked["master"]).lower(), row_id)
        case "deactivate" | "disqualify":
            _close(session, table, row_id, asked, max(states(table)[0]))
        case "qualify":
            _close(session, table, row_id, asked, 1)
        case "delete":
            delete(session, table, row_id)
        case other:
            raise ValueError(f"no edit action {other!r}")


def _close(session: Session, table: Table, row_id: str, asked: Change, state: int) -> None:
    status = (asked.get("values") or {}).get("statuscode", states(table)[0][state])
    change(session, table, row_id, {"statecode": state, "statuscode": status})
