"""Answers requests on one row: read, create, conditional update and upsert, delete, single properties, references.

Source: Microsoft Learn, "Perform conditional operations using the Web API", "Upsert a table row", "Retrieve a table
row", "Associate and disassociate table rows".
"""

from __future__ import annotations

from sandbox.dataverse.addresses import Target, key_as_body, locate, locate_reference
from sandbox.dataverse.answers import applied, body_of, entity_headers, json_answer, no_content, text_answer
from sandbox.dataverse.duplicates import refuse_duplicates
from sandbox.dataverse.errors import (
    bad_payload,
    bad_request,
    duplicate_id,
    no_property,
    no_row_by_key,
    no_segment,
    no_such_row,
    stale_version,
)
from sandbox.dataverse.payload import lookup_values
from sandbox.dataverse.projection import Projection, etag, lookup_target
from sandbox.dataverse.query import query_options
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session, parse_preferences
from sandbox.dataverse.store import Row
from sandbox.dataverse.values import GUID
from sandbox.dataverse.wire import Request, Response
from sandbox.dataverse.writes import change, create, delete, update


def post_row(session: Session, table: Table, request: Request, link: dict[str, str] | None = None) -> Response:
    """Create: 204 with the address, or 201 with the row and no address; `link` binds it to the row it was added to."""
    session.require("Create", table)
    row_id = create(session, table, {**body_of(request, table.entity_set), **(link or {})})
    refuse_duplicates(session, table, row_id, request)
    preferences = parse_preferences(request.headers.get("prefer", ""))
    if "return" in preferences:
        return _representation(session, table, row_id, request, preferences, 201, "Create")
    return no_content(table.name, headers=entity_headers(session, table, row_id), rows=1, operation="Create")


def get_row(session: Session, table: Table, key: str, request: Request) -> Response:
    """Read one row by id or alternate key."""
    session.require("Read", table)
    row = session.store.rows(table.name)[locate(session, table, key).existing(session)]
    preferences = parse_preferences(request.headers.get("prefer", ""))
    options = query_options(request.query)
    annotations = preferences.get("odata.include-annotations", "")
    tag = etag(row)
    if request.headers.get("if-none-match") == tag and not annotations and "$expand" not in options:
        return Response(304, (("ETag", tag),), b"", table.name, operation="Retrieve")
    project = Projection(session, table, options.get("$select"), options.get("$expand"), annotations)
    body = {"@odata.context": f"{project.context}/$entity", **project(row)}
    headers = (("ETag", tag), *applied(preferences, "odata.include-annotations"))
    return json_answer(body, headers=headers, table=table.name, rows=1, operation="Retrieve")


def patch_row(session: Session, table: Table, key: str, request: Request) -> Response:
    """Update or create: unconditionally an upsert, `If-Match` forbids creating, `If-None-Match: *` updating."""
    target = locate(session, table, key)
    row = session.store.rows(table.name).get(target.row_id or "")
    body = body_of(request, table.entity_set)
    preferences = parse_preferences(request.headers.get("prefer", ""))
    match = request.headers.get("if-match")
    if row is None:
        if match is not None:
            raise no_row_by_key(table.name) if target.row_id is None else no_such_row(table.name, target.row_id)
        session.require("Create", table)
        row_id = create(session, table, {**key_as_body(session, target), **body}, target.row_id)
    else:
        if request.headers.get("if-none-match") == "*":
            raise duplicate_id()
        session.require("Write", table)
        check_version(row, match)
        row_id = row[table.primary_id]
        update(session, table, row_id, {n: v for n, v in body.items() if n not in target.key_values})
    refuse_duplicates(session, table, row_id, request)
    operation = "Upsert" if match is None else "Update"
    if "return" in preferences:
        status = 201 if row is None else 200
        return _representation(session, table, row_id, request, preferences, status, operation)
    headers = entity_headers(session, table, key if target.key_values else row_id)
    return no_content(table.name, headers=headers, rows=1, operation=operation)


def check_version(row: Row, match: str | None) -> None:
    """Refuse when an `If-Match` etag is not the row's."""
    if match is not None and match.strip() != "*" and match.strip() != etag(row):
        raise stale_version()


def delete_row(session: Session, table: Table, key: str, request: Request) -> Response:
    """Delete one row."""
    session.require("Delete", table)
    row_id = locate(session, table, key).existing(session)
    check_version(session.store.rows(table.name)[row_id], request.headers.get("if-match"))
    delete(session, table, row_id)
    return no_content(table.name, rows=1, operation="Delete")


def _representation(
    session: Session,
    table: Table,
    row_id: str,
    request: Request,
    preferences: dict[str, str],
    status: int,
    operation: str,
) -> Response:
    """The written row; `$expand` is honoured for creations only."""
    options = query_options(request.query)
    expand = options.get("$expand") if status == 201 else None
    annotations = preferences.get("odata.include-annotations", "")
    project = Projection(session, table, options.get("$select"), expand, annotations)
    row = session.store.rows(table.name)[row_id]
    body = {"@odata.context": f"{project.context}/$entity", **project(row)}
    headers = (("ETag", etag(row)), *applied(preferences, "return", "odata.include-annotations"))
    return json_answer(body, status=status, headers=headers, table=table.name, rows=1, operation=operation)


def property_request(session: Session, table: Table, key: str, name: str, request: Request, raw: bool) -> Response:
    """GET, PUT or DELETE of one column."""
    column = table.properties.get(name)
    if column is None:
        raise no_property(name, table.name)
    row_id = locate(session, table, key).existing(session)
    row = session.store.rows(table.name)[row_id]
    if request.method == "GET":
        session.require("Read", table)
        value = row.get(name)
        if value is None:
            return no_content(table.name, operation="Retrieve")
        if raw:
            return text_answer(str(value), table=table.name, operation="Retrieve")
        context = f"{session.state.api}/$metadata#{table.entity_set}({row_id})/{name}"
        return json_answer({"@odata.context": context, "value": value}, table=table.name, rows=1, operation="Retrieve")
    session.require("Write", table)
    check_version(row, request.headers.get("if-match"))
    if request.method == "DELETE":
        update(session, table, row_id, {name: None})
    elif request.method == "PUT":
        body = body_of(request, table.entity_set)
        if "value" not in body:
            raise bad_payload(table.entity_set, "The property with name 'value' was not found.")
        update(session, table, row_id, {name: body["value"]})
    else:
        raise bad_request(f"The HTTP method {request.method} is not supported for a property.")
    return no_content(table.name, rows=1, operation="Update")


def reference_request(
    session: Session, table: Table, key: str, name: str, member: str | None, request: Request
) -> Response:
    """`.../<navigation>/$ref`: set and clear a lookup, add to and remove from a collection."""
    row_id = locate(session, table, key).existing(session)
    if name in table.navigations:
        session.require("Write", table)
        column, targets = table.navigations[name]
        if request.method == "DELETE":
            change(session, table, row_id, lookup_values(column, None, ""))
        else:
            other = _referenced(session, table, request)
            if other.table.name not in targets:
                raise no_property(name, other.table.name)
            change(session, table, row_id, lookup_values(column, other.existing(session), other.table.name))
        return no_content(table.name, rows=1, operation="Associate")
    relationship = session.schema.collections.get(table.name, {}).get(name)
    if relationship is None:
        raise no_segment(name)
    child = session.schema.tables[relationship.table]
    session.require("Write", child)
    column = child.columns[relationship.column]
    if request.method == "DELETE":
        other = _member(session, child, member, request)
        change(session, child, other.existing(session), lookup_values(column, None, ""))
    else:
        other = _referenced(session, table, request)
        change(session, child, other.existing(session), lookup_values(column, row_id, table.name))
    return no_content(child.name, rows=1, operation="Associate")


def _referenced(session: Session, table: Table, request: Request) -> Target:
    body = body_of(request, table.entity_set)
    if "@odata.id" not in body:
        raise bad_payload(table.entity_set, "An entity reference link needs an '@odata.id'.")
    return locate_reference(session, body["@odata.id"])


def _member(session: Session, child: Table, member: str | None, request: Request) -> Target:
    if member is not None and GUID.fullmatch(member):
        return Target(child, member.lower(), {})
    return locate_reference(session, dict(request.query).get("$id", ""))


def related_row(session: Session, table: Table, key: str, name: str) -> tuple[Table, str] | None:
    """The row a single-valued navigation property of a row points to, None when it is empty."""
    row = session.store.rows(table.name)[locate(session, table, key).existing(session)]
    column, targets = table.navigations[name]
    target = lookup_target(column, row)
    other_id = row.get(f"_{column.name}_value")
    if other_id is None or target not in targets or other_id not in session.store.rows(target):
        return None
    return session.schema.tables[target], other_id
