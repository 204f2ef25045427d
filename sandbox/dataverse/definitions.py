"""Answers metadata queries: EntityDefinitions with casts and expansions, relationships, global choices.

Source: Microsoft Learn, "Query table definitions using the Web API".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sandbox.dataverse import changes
from sandbox.dataverse.addresses import Segment
from sandbox.dataverse.answers import an_object, json_answer, objects, text_answer
from sandbox.dataverse.collation import Fold, fold_case
from sandbox.dataverse.describe import (
    describe_column,
    describe_key,
    describe_option_set,
    describe_relationship,
    describe_table,
    is_global,
    metadata_kind,
)
from sandbox.dataverse.errors import Refusal, bad_request, no_property, no_segment
from sandbox.dataverse.filter import Getter, predicate
from sandbox.dataverse.odata import argument_value, parse_filter
from sandbox.dataverse.projection import split_top
from sandbox.dataverse.schema import Column, Relationship, Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import Row
from sandbox.dataverse.syntax import NAMESPACE
from sandbox.dataverse.wire import Request, Response

Json = dict[str, Any]
_SETS = ("EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions", "RetrieveMetadataChanges")
_NAMED = re.compile(r"(?:LogicalName|SchemaName|Name)='([^']*)'")
_ITEM = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_TABLE_COLLECTIONS = (
    "Attributes",
    "Keys",
    "ManyToOneRelationships",
    "OneToManyRelationships",
    "ManyToManyRelationships",
)


class _MetadataScope:
    """Names in a metadata filter are members of JSON objects; any value may be compared with any other."""

    fold: Fold = staticmethod(fold_case)
    user_id = ""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def getter(self, names: tuple[str, ...]) -> tuple[Getter, str | None]:
        def read(row: Row) -> Any:
            value: Any = row
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            return value

        return read, None

    def attribute(self, name: str) -> tuple[Getter, str | None]:
        return self.getter((name,))

    def related(self, names: tuple[str, ...], _variable: str, /) -> Any:
        raise no_property(names[-1], "EntityMetadata")

    def find(self, _names: tuple[str, ...], _values: Iterable[Any], /) -> list[str] | None:
        return None


def is_definitions(name: str) -> bool:
    """Whether a path begins in the metadata."""
    return name in _SETS


def definitions_request(session: Session, segments: list[Segment], request: Request) -> Response:
    """Answer a request on metadata; writes are handed on."""
    if request.method != "GET":
        return changes.change_definitions(session, segments, request)
    first, options = segments[0], dict(request.query)
    if first.name == "RetrieveMetadataChanges":
        return _metadata_changes(session, options)
    if first.name == "RelationshipDefinitions":
        described = [describe_relationship(each, session.schema) for each in listed(session.schema.relationships)]
        return _set(session, first, described, options, "OneToManyRelationshipMetadata")
    if first.name == "GlobalOptionSetDefinitions":
        columns = [c for t in session.schema.tables.values() for c in t.columns.values() if is_global(c)]
        return _set(session, first, [s for c in columns if (s := describe_option_set(c))], options, "OptionSetMetadata")
    if first.key is None:
        tables = [_with_collections(session, table, options) for table in session.schema.tables.values()]
        return _collection(session, tables, options, "EntityMetadata")
    return _table(session, changes.table_by_key(session.schema, first.key), segments[1:], options)


def listed(relationships: Iterable[Relationship]) -> list[Relationship]:
    """An owner column is listed once, although it points to users and teams."""
    seen: dict[tuple[str, str, str], Relationship] = {}
    for each in relationships:
        seen.setdefault((each.table, each.column, each.navigation), each)
    return list(seen.values())


def _table(session: Session, table: Table, rest: list[Segment], options: dict[str, str]) -> Response:
    if not rest:
        return _one(session, _with_collections(session, table, options), options, "EntityMetadata")
    name = rest[0].name
    if name == "Attributes":
        return _attributes(session, table, rest, options)
    if name == "Keys" and rest[0].key is not None:
        for key in table.keys:
            if rest[0].key in (table.key_id(key), f"LogicalName='{key.logical_name}'"):
                return _one(session, describe_key(table, key), options, "EntityKeyMetadata")
        raise no_segment(rest[0].key)
    if name in _TABLE_COLLECTIONS:
        return _collection(session, _members(session, table, name), options, _member_kind(name))
    described = describe_table(table)
    if name not in described:
        raise no_segment(name)
    if rest[-1].name == "$value":
        return text_answer(str(described[name]), operation="RetrieveMetadata")
    return json_answer({"@odata.context": _context(session), "value": described[name]}, operation="RetrieveMetadata")


def _member_kind(name: str) -> str:
    return {"Keys": "EntityKeyMetadata", "Attributes": "AttributeMetadata"}.get(name, "OneToManyRelationshipMetadata")


def _members(session: Session, table: Table, name: str) -> list[Json]:
    schema = session.schema
    if name == "Attributes":
        return [_column(table, column, uncast=True) for column in table.columns.values()]
    if name == "Keys":
        return [describe_key(table, key) for key in table.keys]
    if name == "ManyToManyRelationships":
        return []
    mine = "table" if name == "ManyToOneRelationships" else "target"
    own = (each for each in listed(schema.relationships) if getattr(each, mine) == table.name)
    return [describe_relationship(each, schema) for each in own]


def _column(table: Table, column: Column, *, uncast: bool = False) -> Json:
    """A column with its option sets where a cast makes them expandable."""
    described = describe_column(table, column)
    if not uncast and (options := describe_option_set(column)):
        described |= {"OptionSet": options, "GlobalOptionSet": options if is_global(column) else None}
    return described


def _attributes(session: Session, table: Table, rest: list[Segment], options: dict[str, str]) -> Response:
    cast = rest[1].name.removeprefix(NAMESPACE) if len(rest) > 1 and rest[1].name.startswith(NAMESPACE) else None
    key = rest[0].key
    if key is not None:
        column = changes.column_by_key(table, key)
        if cast is not None and metadata_kind(column) != cast:
            raise no_segment(rest[1].name)
        last = rest[-1].name
        if last in ("OptionSet", "GlobalOptionSet"):
            described = _column(table, column).get(last)
            return _one(session, described or {}, options, "OptionSetMetadata")
        return _one(session, _column(table, column, uncast=cast is None), options, cast or "AttributeMetadata")
    columns = [c for c in table.columns.values() if cast is None or metadata_kind(c) == cast]
    described_all = [_column(table, column, uncast=cast is None) for column in columns]
    return _collection(session, described_all, options, cast or "AttributeMetadata")


def _with_collections(session: Session, table: Table, options: dict[str, str]) -> Json:
    """A table with those of its collections that `$expand` names."""
    described = describe_table(table)
    for item in split_top(options.get("$expand", ""), ","):
        match = _ITEM.fullmatch(item)
        if match is None or match[1] not in _TABLE_COLLECTIONS:
            raise no_property(item, "EntityMetadata")
        described[match[1]] = _members(session, table, match[1])
    return described


def _shape(session: Session, described: list[Json], options: dict[str, str], kind: str) -> list[Json]:
    """Apply `$filter`, `$select` and `$expand` to metadata objects."""
    if "$filter" in options:
        test = predicate(parse_filter(options["$filter"], options), _MetadataScope(session.now))
        described = [each for each in described if test(each)]
    inner: dict[str, dict[str, str]] = {}
    for item in split_top(options.get("$expand", ""), ","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise bad_request(f"Term '{item}' is not valid in a $select or $expand expression.")
        inner[match[1]] = dict(part.split("=", 1) for part in split_top(match[2] or "", ";") if "=" in part)
    select = [name.strip() for name in options["$select"].split(",")] if options.get("$select") else None
    return [_shaped(session, each, select, inner, kind) for each in described]


def _shaped(
    session: Session, each: Json, select: list[str] | None, inner: dict[str, dict[str, str]], kind: str
) -> Json:
    navigations = {"OptionSet", "GlobalOptionSet", *_TABLE_COLLECTIONS}
    for name in select or ():
        if name not in each or (kind == "AttributeMetadata" and name in _SPECIFIC):
            raise no_property(name, kind)
    kept = {"MetadataId", *(select or each)} - navigations
    shown = {name: value for name, value in each.items() if name in kept or name == "@odata.type"}
    for name, options in inner.items():
        value = each.get(name)
        if isinstance(value, list):
            shown[name] = _shape(session, value, options, _member_kind(name))
        elif name in each:
            shown[name] = _shape(session, [value], options, "OptionSetMetadata")[0] if value else None
        elif name not in navigations or kind == "AttributeMetadata":
            raise no_property(name, kind)
    return shown


_SPECIFIC = frozenset({"MaxLength", "FormatName", "MinValue", "MaxValue", "Precision", "Targets", "DateTimeBehavior"})
"""What only a cast makes selectable."""


def _context(session: Session, name: str = "EntityDefinitions") -> str:
    return f"{session.state.api}/$metadata#{name}"


def _set(session: Session, first: Segment, described: list[Json], options: dict[str, str], kind: str) -> Response:
    if first.key is None:
        return _collection(session, described, options, kind)
    match = _NAMED.fullmatch(first.key)
    wanted = match[1] if match else first.key.lower()
    for each in described:
        if wanted in (each["MetadataId"], each.get("SchemaName"), each.get("Name")):
            return _one(session, each, options, kind)
    raise Refusal(404, "0x80060888", f"Could not find a metadata item with the key {first.key}.")


def _one(session: Session, described: Json, options: dict[str, str], kind: str) -> Response:
    plain = {name: value for name, value in options.items() if name != "$filter"}
    shaped = _shape(session, [described], plain, kind)[0]
    body = {"@odata.context": f"{_context(session)}/$entity", **shaped}
    return json_answer(body, rows=1, operation="RetrieveMetadata")


def _collection(session: Session, described: list[Json], options: dict[str, str], kind: str) -> Response:
    value = _shape(session, described, options, kind)
    return json_answer({"@odata.context": _context(session), "value": value}, operation="RetrieveMetadata")


def _metadata_changes(session: Session, options: dict[str, str]) -> Response:
    """RetrieveMetadataChanges with a query by table and column name; there are no stamps to start from."""
    query = an_object(argument_value(options.get("@p1") or "{}", options))
    tables = [
        {
            "MetadataId": table.metadata_id,
            "LogicalName": table.name,
            "Attributes": [
                described
                for column in table.columns.values()
                if _meets(described := describe_column(table, column), an_object(query.get("AttributeQuery")))
            ],
        }
        for table in session.schema.tables.values()
        if _meets(describe_table(table), query)
    ]
    kind = "Microsoft.Dynamics.CRM.RetrieveMetadataChangesResponse"
    body = {"@odata.context": _context(session, kind), "EntityMetadata": tables, "ServerVersionStamp": "1"}
    return json_answer(body, operation="RetrieveMetadataChanges")


def _meets(described: Json, query: Json) -> bool:
    conditions = objects(an_object(query.get("Criteria")).get("Conditions"))
    return all(described.get(str(c.get("PropertyName"))) == an_object(c.get("Value")).get("Value") for c in conditions)
