"""Finds the handler of a request by its path and method.

Source: Microsoft Learn, "Compose HTTP requests and handle errors", "Use Web API functions", "Use Web API actions".
"""

from __future__ import annotations

from sandbox.dataverse.actions import ACTIONS, BOUND_ACTIONS, BOUND_FUNCTIONS, FUNCTIONS, user_roles
from sandbox.dataverse.addresses import Segment, locate, split_path
from sandbox.dataverse.aggregate import aggregate
from sandbox.dataverse.answers import applied, json_answer, text_answer
from sandbox.dataverse.bulk import bulk
from sandbox.dataverse.csdl import csdl
from sandbox.dataverse.definitions import definitions_request, is_definitions
from sandbox.dataverse.errors import Refusal, bad_request, no_segment
from sandbox.dataverse.fetchxml import fetch
from sandbox.dataverse.odata import parse_arguments
from sandbox.dataverse.query import MOST_ROWS, matching, query_options, run
from sandbox.dataverse.rows import (
    delete_row,
    get_row,
    patch_row,
    post_row,
    property_request,
    reference_request,
    related_row,
)
from sandbox.dataverse.schema import Relationship, Table
from sandbox.dataverse.sql import select
from sandbox.dataverse.state import Session, parse_preferences
from sandbox.dataverse.store import Row
from sandbox.dataverse.syntax import NAMESPACE
from sandbox.dataverse.tracking import changed_count, track
from sandbox.dataverse.wire import Request, Response

_BULK = frozenset({"CreateMultiple", "UpdateMultiple", "UpsertMultiple", "DeleteMultiple"})


def dispatch(session: Session, request: Request) -> Response:
    """Answer one request.

    Raises:
        Refusal: whatever is wrong with it.
    """
    segments = split_path(request.path.strip("/"))
    if not segments:
        return _service_document(session)
    first = segments[0]
    if first.name == "$metadata":
        return text_answer(csdl(session.schema), content_type="application/xml", operation="RetrieveMetadata")
    if is_definitions(first.name):
        return definitions_request(session, segments, request)
    table = session.schema.by_set.get(first.name)
    if table is not None:
        return _table_request(session, table, segments, request)
    if first.name in FUNCTIONS and request.method == "GET":
        arguments = parse_arguments(first.key or "", dict(request.query))
        return FUNCTIONS[first.name](session, arguments)
    if first.name in ACTIONS and request.method == "POST":
        return ACTIONS[first.name](session, request)
    raise no_segment(first.name)


def _service_document(session: Session) -> Response:
    sets = sorted(session.schema.by_set)
    value = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
    return json_answer({"@odata.context": f"{session.state.api}/$metadata", "value": value})


def _table_request(session: Session, table: Table, segments: list[Segment], request: Request) -> Response:
    first, rest = segments[0], segments[1:]
    if first.key is not None:
        return _row_request(session, table, first.key, rest, request)
    if not rest:
        return _collection(session, table, request)
    if len(rest) == 1 and rest[0].name == "$count" and request.method == "GET":
        return _count(session, table, request)
    operation = rest[0].name.removeprefix(NAMESPACE)
    if len(rest) == 1 and rest[0].name.startswith(NAMESPACE) and operation in _BULK and request.method == "POST":
        return bulk(session, table, operation, request)
    raise no_segment(rest[0].name)


def _collection(session: Session, table: Table, request: Request) -> Response:
    if request.method == "POST":
        return post_row(session, table, request)
    if request.method != "GET":
        raise Refusal(405, "0x80060888", f"The requested resource does not support http method '{request.method}'.")
    session.require("Read", table)
    raw = dict(request.query)
    if "fetchXml" in raw:
        return fetch(session, table, raw["fetchXml"], request)
    if "sql" in raw:
        return select(session, table, raw["sql"])
    return _query(session, table, request, None)


def _query(session: Session, table: Table, request: Request, among: list[Row] | None) -> Response:
    preferences = parse_preferences(request.headers.get("prefer", ""))
    options = query_options(request.query)
    if among is None and ("odata.track-changes" in preferences or "$deltatoken" in options):
        return track(session, table, options, preferences, request.path)
    if "$apply" in options:
        body = aggregate(session, table, options)
        return json_answer(body, table=table.name, rows=len(body["value"]), operation="RetrieveMultiple")
    page = run(
        session,
        table,
        options,
        path=request.path,
        page_size=_page_size(preferences),
        annotations=preferences.get("odata.include-annotations", ""),
        among=among,
    )
    headers = applied(preferences, "odata.maxpagesize", "odata.include-annotations")
    return json_answer(page.body, headers=headers, table=table.name, rows=page.rows, operation="RetrieveMultiple")


def _page_size(preferences: dict[str, str]) -> int | None:
    text = preferences.get("odata.maxpagesize")
    if text is None:
        return None
    if not text.isdigit() or not int(text):
        raise bad_request(f"Invalid value '{text}' for the preference odata.maxpagesize.")
    return int(text)


def _count(session: Session, table: Table, request: Request) -> Response:
    session.require("Read", table)
    options = query_options(request.query)
    if "$deltatoken" in options:
        total = changed_count(session, table, options["$deltatoken"])
    else:
        total = len(matching(session, table, options.get("$filter"), options))
    return text_answer(str(min(total, MOST_ROWS)), table=table.name, operation="RetrieveMultiple")


def _row_request(session: Session, table: Table, key: str, rest: list[Segment], request: Request) -> Response:
    if not rest:
        handlers = {"GET": get_row, "PATCH": patch_row, "DELETE": delete_row}
        if request.method not in handlers:
            message = f"The requested resource does not support http method '{request.method}'."
            raise Refusal(405, "0x80060888", message)
        return handlers[request.method](session, table, key, request)
    name, last = rest[0].name, rest[-1].name
    if name.startswith(NAMESPACE):
        return _bound_operation(session, table, key, rest[0], request)
    if last == "$ref":
        return reference_request(session, table, key, name, rest[0].key, request)
    if name in table.navigations and len(rest) == 1:
        return _related_row(session, table, key, name, request)
    collection = session.schema.collections.get(table.name, {}).get(name)
    if collection is not None and len(rest) == 1:
        return _related_rows(session, table, key, collection, request)
    if name == "systemuserroles_association" and request.method == "GET":
        return _query(session, session.schema.tables["role"], request, user_roles(session, table, key))
    if len(rest) == 1 or (len(rest) == 2 and last == "$value"):
        return property_request(session, table, key, name, request, last == "$value")
    raise no_segment(last)


def _bound_operation(session: Session, table: Table, key: str, segment: Segment, request: Request) -> Response:
    name = segment.name.removeprefix(NAMESPACE)
    if request.method == "POST" and (table.name, name) in BOUND_ACTIONS:
        return BOUND_ACTIONS[table.name, name](session, table, key, request)
    if request.method == "GET" and (table.name, name) in BOUND_FUNCTIONS:
        arguments = parse_arguments(segment.key or "", dict(request.query))
        return BOUND_FUNCTIONS[table.name, name](session, table, key, arguments)
    raise no_segment(segment.name)


def _related_row(session: Session, table: Table, key: str, name: str, request: Request) -> Response:
    found = related_row(session, table, key, name)
    if found is None:
        return Response(204, (), b"", table.name, operation="Retrieve")
    target, row_id = found
    return get_row(session, target, row_id, request)


def _related_rows(session: Session, table: Table, key: str, relationship: Relationship, request: Request) -> Response:
    row_id = locate(session, table, key).existing(session)
    child = session.schema.tables[relationship.table]
    if request.method == "POST":
        link = {f"{relationship.navigation}@odata.bind": f"/{table.entity_set}({row_id})"}
        return post_row(session, child, request, link)
    session.require("Read", child)
    rows = session.store.rows(child.name)
    ids = session.store.index(child.name, (f"_{relationship.column}_value",)).find([row_id])
    return _query(session, child, request, [rows[other] for other in ids])
