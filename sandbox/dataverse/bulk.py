"""CreateMultiple, UpdateMultiple and UpsertMultiple on standard tables: all or nothing, no index in the error.

Only CreateMultiple answers ids, in the order of its targets. A row that UpdateMultiple names twice takes its first
target's values only; UpsertMultiple refuses that.
Source: Microsoft Learn, "Use bulk operation messages".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.dataverse.addresses import Target, key_as_body, locate_reference
from sandbox.dataverse.answers import body_of, json_answer, no_content
from sandbox.dataverse.errors import Refusal, bad_key, bad_payload, bad_request, deadlock, no_such_rows
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.values import GUID
from sandbox.dataverse.wire import Request, Response
from sandbox.dataverse.writes import create, update

Rows = list[dict[str, Any]]


def bulk(session: Session, table: Table, operation: str, request: Request) -> Response:
    """Answer one bulk message."""
    settings = session.state.settings
    if operation == "DeleteMultiple":
        raise Refusal(501, "0x80040800", "DeleteMultiple has not yet been implemented.")
    if not table.has_bulk or table.name in settings.bulk_disabled:
        raise Refusal(400, "0x80040800", f"{operation} is not enabled on the entity {table.name}.")
    targets = _targets(table, body_of(request, table.entity_set))
    if settings.deadlock_probability and session.state.deadlocks.random() < settings.deadlock_probability:
        raise deadlock()
    messages: dict[str, Callable[[Session, Table, Rows], Response]] = {
        "CreateMultiple": _create_multiple,
        "UpdateMultiple": _update_multiple,
        "UpsertMultiple": _upsert_multiple,
    }
    return messages[operation](session, table, targets)


def _targets(table: Table, body: dict[str, Any]) -> Rows:
    targets = body.get("Targets")
    if not isinstance(targets, list) or len(body) != 1:
        raise bad_payload(table.entity_set, "The parameter 'Targets' is missing, or is not the only one.")
    if not targets:
        raise bad_request("The Targets parameter must hold at least one entity.", "0x80040203")
    plain, hashed = f"Microsoft.Dynamics.CRM.{table.name}", f"#Microsoft.Dynamics.CRM.{table.name}"
    for target in targets:
        kind = target.get("@odata.type") if isinstance(target, dict) else None
        if kind not in (plain, hashed):
            raise bad_payload(
                table.entity_set,
                "A type named '' could not be resolved by the model. When a model is available, each type name must "
                "resolve to a valid type."
                if kind is None
                else f"The type '{kind}' is not assignable to the expected type '{plain}'.",
            )
    return targets


def _create_multiple(session: Session, table: Table, targets: Rows) -> Response:
    session.require("Create", table)
    ids = []
    for target in targets:
        if "@odata.id" in target:
            raise _key_beside_id(table)
        ids.append(create(session, table, target))
    context = f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse"
    body = {"@odata.context": context, "Ids": ids}
    return json_answer(body, table=table.name, rows=len(ids), operation="CreateMultiple")


def _update_multiple(session: Session, table: Table, targets: Rows) -> Response:
    session.require("Write", table)
    done: set[str] = set()
    for target in targets:
        row_id = _target(session, table, target)
        if row_id.row_id is None or row_id.row_id not in session.store.rows(table.name):
            raise no_such_rows(table.schema_name, row_id.row_id or "")
        if row_id.row_id not in done:
            done.add(row_id.row_id)
            update(session, table, row_id.row_id, target)
    return no_content(table.name, rows=len(targets), operation="UpdateMultiple")


def _upsert_multiple(session: Session, table: Table, targets: Rows) -> Response:
    session.require("Create", table)
    session.require("Write", table)
    found = [_target(session, table, target) for target in targets]
    fold = session.store.fold
    names = [t.row_id or tuple(fold(v) if isinstance(v, str) else v for v in t.key_values.values()) for t in found]
    if len(set(names)) < len(names):
        raise bad_request("Duplicate keys found in the Targets of UpsertMultiple.", "0x80040237")
    for target, body in zip(found, targets, strict=True):
        if target.row_id is not None and target.row_id in session.store.rows(table.name):
            update(session, table, target.row_id, {n: v for n, v in body.items() if n not in target.key_values})
        elif target.key_values:
            if not target.key_values.keys().isdisjoint(body):
                raise _key_beside_id(table)
            create(session, table, {**body, **key_as_body(session, target)})
        else:
            create(session, table, body, target.row_id)
    return no_content(table.name, rows=len(targets), operation="UpsertMultiple")


def _target(session: Session, table: Table, body: dict[str, Any]) -> Target:
    """The row a target means: `@odata.id`, or its primary key property."""
    if "@odata.id" in body:
        target = locate_reference(session, body["@odata.id"])
        if target.table is not table:
            raise bad_key(table.name)
        return target
    row_id = body.get(table.primary_id)
    if not isinstance(row_id, str) or GUID.fullmatch(row_id) is None:
        raise bad_request(
            f"The primary key '{table.primary_id}' or an '@odata.id' is needed in each target.", "0x80040203"
        )
    return Target(table, row_id.lower(), {})


def _key_beside_id(table: Table) -> Refusal:
    return bad_payload(
        table.entity_set, "An alternate key column may be given in '@odata.id' or as a property, not as both."
    )
