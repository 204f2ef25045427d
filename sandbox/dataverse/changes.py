"""Changes of the schema through the Web API: new tables, columns, keys, lookups, and their removal.

Source: Microsoft Learn, "Create and update table definitions using the Web API", "Work with alternate keys".
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandbox.dataverse.answers import an_object, body_of, json_answer, no_content, objects
from sandbox.dataverse.errors import Refusal, bad_request, no_segment
from sandbox.dataverse.schema import Column, Key, Option, Relationship, Schema, Table
from sandbox.dataverse.shipped import companions
from sandbox.dataverse.state import Session
from sandbox.dataverse.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.dataverse.addresses import Segment

Json = dict[str, Any]
_KIND = re.compile(r"#?Microsoft\.Dynamics\.CRM\.(?:Complex)?(\w*?)(?:AttributeMetadata|EntityMetadata)")
_FIRST_CUSTOM_CODE = 10_000


def create_entities(session: Session, request: Request) -> Response:
    """The CreateEntities action: several tables with their columns at once."""
    ids = []
    for entity in objects(body_of(request, "CreateEntities").get("Entities")):
        table = _new_table(session.schema, entity)
        session.schema.put(table)
        ids.append(table.metadata_id)
    context = f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.CreateEntitiesResponse"
    return json_answer({"@odata.context": context, "EntityIds": ids}, operation="CreateEntities")


def change_definitions(session: Session, segments: list[Segment], request: Request) -> Response:
    """Answer a POST, PUT or DELETE on metadata."""
    first, rest = segments[0], segments[1:]
    if first.name == "RelationshipDefinitions":
        return _relationships(session, first, request)
    if first.name != "EntityDefinitions":
        raise no_segment(first.name)
    if first.key is None:
        if request.method != "POST":
            raise Refusal(405, "0x80060888", f"The requested resource does not support http method '{request.method}'.")
        table = _new_table(session.schema, body_of(request, first.name))
        session.schema.put(table)
        return _created(session, f"EntityDefinitions({table.metadata_id})", "CreateEntity")
    table = table_by_key(session.schema, first.key)
    if not rest and request.method == "DELETE":
        session.schema.remove(table.name)
        session.store.forget(table.name)
        return no_content(operation="DeleteEntity")
    if rest and rest[0].name == "Attributes":
        return _attributes(session, table, segments, request)
    if rest and rest[0].name == "Keys":
        return _keys(session, table, segments, request)
    raise no_segment(rest[0].name if rest else first.name)


def table_by_key(schema: Schema, key: str) -> Table:
    """The table that `LogicalName='lead'` or a metadata id names."""
    wanted = key.removeprefix("LogicalName=").strip("'").lower()
    for table in schema.tables.values():
        if wanted in (table.name, table.metadata_id):
            return table
    raise Refusal(404, "0x80060888", f"Could not find an entity with the specified entity key {key}.")


def column_by_key(table: Table, key: str) -> Column:
    """The column that `LogicalName='subject'` or a metadata id names."""
    wanted = key.removeprefix("LogicalName=").strip("'").lower()
    for column in table.columns.values():
        if wanted in (column.name, column.metadata_id):
            return column
    raise Refusal(404, "0x80060888", f"Could not find an attribute with the specified entity key {key}.")


def _created(session: Session, address: str, operation: str) -> Response:
    return no_content(headers=(("OData-EntityId", f"{session.state.api}/{address}"),), operation=operation)


def _text(label: Any) -> str | None:
    labels = objects(an_object(label).get("LocalizedLabels"))
    return str(labels[0].get("Label")) if labels else None


def _new_table(schema: Schema, entity: Json) -> Table:
    schema_name = str(entity.get("SchemaName") or "")
    name = schema_name.lower()
    if not name or name in schema.tables:
        raise bad_request(f"A table with the name {name} already exists, or has none.", "0x80044363")
    primary_id = f"{name}id"
    id_name = f"{schema_name}Id"
    columns = [Column(name, primary_id, id_name, "Uniqueidentifier", required="SystemRequired", can_update=False)]
    primary_name = primary_id
    for attribute in objects(entity.get("Attributes")):
        column = _new_column(name, attribute)
        columns.append(column)
        if attribute.get("IsPrimaryName"):
            primary_name = column.name
    columns += _system_columns(schema.tables["annotation"], name)
    codes = [table.object_type_code for table in schema.tables.values()]
    return Table(
        name=name,
        schema_name=schema_name,
        entity_set=f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s",
        object_type_code=max(_FIRST_CUSTOM_CODE, *codes) + 1,
        primary_id=primary_id,
        primary_name=primary_name,
        is_owned=True,
        has_bulk=True,
        is_tracked=True,
        columns={column.name: column for column in (*columns, *companions(columns))},
        label=_text(entity.get("DisplayName")),
    )


def _system_columns(like: Table, name: str) -> list[Column]:
    """Owner, stamps and version as every owned table has them, and a state."""
    shared = ("createdby", "createdon", "modifiedby", "modifiedon", "versionnumber", "ownerid")
    owning = ("owningbusinessunit", "owninguser", "owningteam")
    columns = [replace(like.columns[each], table=name) for each in (*shared, *owning)]
    state = (Option(0, "Active", 1), Option(1, "Inactive", 2))
    status = (Option(1, "Active", 0), Option(2, "Inactive", 1))
    return [
        *columns,
        Column(name, "statecode", "statecode", "State", required="SystemRequired", can_create=False, options=state),
        Column(name, "statuscode", "statuscode", "Status", options=status),
    ]


def _new_column(table: str, attribute: Json) -> Column:
    match = _KIND.fullmatch(str(attribute.get("@odata.type") or ""))
    schema_name = str(attribute.get("SchemaName") or "")
    if match is None or not match[1] or not schema_name:
        raise bad_request("A column needs '@odata.type' and 'SchemaName'.", "0x80044363")
    style = attribute.get("Format") or an_object(attribute.get("FormatName")).get("Value") or ""
    longest, digits = _number(attribute, "MaxLength"), _number(attribute, "Precision")
    return Column(
        table=table,
        name=schema_name.lower(),
        schema_name=schema_name,
        type=match[1],
        max_length=None if longest is None else int(longest),
        required=str(an_object(attribute.get("RequiredLevel")).get("Value") or "None"),
        options=_options(an_object(attribute.get("OptionSet"))),
        minimum=_number(attribute, "MinValue"),
        maximum=_number(attribute, "MaxValue"),
        precision=None if digits is None else int(digits),
        behavior=str(an_object(attribute.get("DateTimeBehavior")).get("Value") or "UserLocal"),
        format="" if style == "None" else str(style),
        default=0 if match[1] == "Boolean" else None,
        label=_text(attribute.get("DisplayName")),
    )


def _number(described: Json, name: str) -> float | None:
    value = described.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise bad_request(f"The value of '{name}' is no number.", "0x80048d19")
    return value


def _options(option_set: Json) -> tuple[Option, ...]:
    listed = objects(option_set.get("Options"))
    if not listed:
        listed = [an_object(option) for name in ("FalseOption", "TrueOption") if (option := option_set.get(name))]
    return tuple(Option(int(_number(each, "Value") or 0), _text(each.get("Label")) or "") for each in listed)


def _put(session: Session, table: Table) -> None:
    session.schema.put(table)
    session.store.drop_indexes(table.name)


def _attributes(session: Session, table: Table, segments: list[Segment], request: Request) -> Response:
    parent, segment = segments[:2]
    if segment.key is None:
        column = _new_column(table.name, body_of(request, "Attributes"))
        if column.name in table.columns:
            raise bad_request(f"An attribute with the name {column.name} already exists.", "0x80044363")
        _put(session, replace(table, columns={**table.columns, **{c.name: c for c in (column, *companions([column]))}}))
        # An address names the table the way the request did.
        address = f"EntityDefinitions({parent.key})/Attributes({column.metadata_id})"
        return _created(session, address, "CreateAttribute")
    found = column_by_key(table, segment.key)
    if request.method == "DELETE":
        _put(session, table.without_column(found.name))
        return no_content(operation="DeleteAttribute")
    body = body_of(request, "Attributes")
    new = _new_column(table.name, {**body, "SchemaName": found.schema_name})
    kept = new.options or found.options
    _put(session, table.with_column(replace(new, options=kept, default=found.default, navigation=found.navigation)))
    return no_content(operation="UpdateAttribute")


def _listed(body: Json, name: str) -> list[Any]:
    value = body.get(name)
    return value if isinstance(value, list) else []


def _keys(session: Session, table: Table, segments: list[Segment], request: Request) -> Response:
    parent, segment = segments[:2]
    if request.method == "POST":
        body = body_of(request, "Keys")
        columns = tuple(str(name).lower() for name in _listed(body, "KeyAttributes"))
        unknown = [name for name in columns if name not in table.columns]
        if unknown or not columns:
            raise bad_request(f"The key attributes {unknown} do not exist on {table.name}.", "0x80060890")
        key = new_key(session, table, str(body.get("SchemaName")), columns)
        _put(session, replace(table, keys=(*table.keys, key)))
        return _created(session, f"EntityDefinitions({parent.key})/Keys({table.key_id(key)})", "CreateKey")
    kept = tuple(key for key in table.keys if table.key_id(key) != (segment.key or "").lower())
    if len(kept) == len(table.keys):
        raise Refusal(404, "0x80060888", f"Could not find a key with the id {segment.key}.")
    _put(session, replace(table, keys=kept))
    return no_content(operation="DeleteKey")


def new_key(session: Session, table: Table, name: str, columns: tuple[str, ...]) -> Key:
    """A key whose index was built at once: Active, or Failed when rows already hold equal values."""
    key = Key(name, columns)
    index = session.store.index(table.name, table.key_properties(key))
    rows = session.store.rows(table.name).values()
    properties = table.key_properties(key)
    values = ([row.get(each) for each in properties] for row in rows)
    clash = any(None not in value and len(index.find(value)) > 1 for value in values)
    return replace(key, status="Failed") if clash else key


def _relationships(session: Session, segment: Segment, request: Request) -> Response:
    if request.method == "DELETE":
        wanted = (segment.key or "").lower()
        for each in session.schema.relationships:
            if each.metadata_id == wanted:
                _put(session, session.schema.tables[each.table].without_column(each.column))
                return no_content(operation="DeleteRelationship")
        raise Refusal(404, "0x80060888", f"Could not find a relationship with the id {segment.key}.")
    body = body_of(request, "RelationshipDefinitions")
    if "Lookup" not in body:
        raise Refusal(501, "0x80060888", "Only one-to-many relationships can be created here.")
    table = table_by_key(session.schema, str(body.get("ReferencingEntity")))
    target = table_by_key(session.schema, str(body.get("ReferencedEntity")))
    lookup = {**an_object(body["Lookup"]), "@odata.type": "Microsoft.Dynamics.CRM.LookupAttributeMetadata"}
    column = _new_column(table.name, lookup)
    name = str(body.get("SchemaName"))
    column = replace(column, navigation={target.name: column.schema_name}, relationship=name)
    _put(session, table.with_column(column))
    made = Relationship(name, table.name, column.name, target.name, column.schema_name)
    return _created(session, f"RelationshipDefinitions({made.metadata_id})", "CreateRelationship")
