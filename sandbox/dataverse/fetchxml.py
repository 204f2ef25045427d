"""Answers FetchXML over one table: attributes, nested filters, orders, pages. Joins and aggregates are refused.

Conditions become the same syntax tree as a `$filter`, so both mean the same.
Source: Microsoft Learn, "Query data using FetchXml", "FetchXml reference".
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from sandbox.dataverse.answers import json_answer
from sandbox.dataverse.errors import Refusal, bad_request
from sandbox.dataverse.projection import Projection, wanted
from sandbox.dataverse.query import MOST_ROWS, meeting, order_keys, sort_rows
from sandbox.dataverse.schema import Column, Table
from sandbox.dataverse.state import Session, parse_preferences
from sandbox.dataverse.syntax import Call, Comparison, Junction, Literal, Node, Not, Path, Special
from sandbox.dataverse.values import edm_type
from sandbox.dataverse.wire import Request, Response

_COMPARED = {"eq": "eq", "ne": "ne", "neq": "ne", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le"}
_DEFAULT_ORDER = "asc"


def fetch(session: Session, table: Table, text: str, request: Request) -> Response:
    """Answer `GET <set>?fetchXml=...`."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - a sandbox for trusted callers
    except ElementTree.ParseError as fault:
        raise bad_request("Invalid XML in the fetchXml query.", "0x80041100") from fault
    entity = root.find("entity")
    if entity is None or entity.get("name") != table.name:
        raise bad_request("The entity of the fetchXml query is not that of the address.", "0x80041102")
    if root.get("aggregate") == "true" or entity.find("link-entity") is not None:
        raise Refusal(501, "0x80041100", "The sandbox answers FetchXML over one table, without aggregates.")
    rows = _rows(session, table, entity)
    page, size = int(root.get("page") or 1), min(int(root.get("top") or root.get("count") or MOST_ROWS), MOST_ROWS)
    shown = rows[(page - 1) * size : page * size]
    annotations = parse_preferences(request.headers.get("prefer", "")).get("odata.include-annotations", "")
    project = Projection(session, table, _select(table, entity), None, annotations)
    more = len(rows) > page * size and root.get("top") is None
    body: dict[str, Any] = {"@odata.context": project.context, "value": [project(row) for row in shown]}
    if wanted("Microsoft.Dynamics.CRM.morerecords", annotations):
        body["@Microsoft.Dynamics.CRM.morerecords"] = more
    if more and wanted("Microsoft.Dynamics.CRM.fetchxmlpagingcookie", annotations):
        body["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"] = _cookie(page + 1, shown[-1][table.primary_id])
    return json_answer(body, table=table.name, rows=len(shown), operation="RetrieveMultiple")


def _cookie(page: int, last_id: str) -> str:
    inner = quote(quote(f'<cookie page="{page - 1}"><id last="{{{last_id}}}" /></cookie>', safe=""), safe="")
    return f'<cookie pagenumber="{page}" pagingcookie="{escape(inner)}" istracking="False" />'


def _select(table: Table, entity: ElementTree.Element) -> str | None:
    names = [_column(table, each.get("name") or "").property_name for each in entity.findall("attribute")]
    return ",".join(name for name in names if name) or None


def _column(table: Table, name: str) -> Column:
    column = table.columns.get(name)
    if column is None or column.property_name is None:
        raise bad_request(
            f"'{table.name}' entity doesn't contain attribute with Name = '{name}' and NameMapping = 'Logical'.",
            "0x80041103",
        )
    return column


def _rows(session: Session, table: Table, entity: ElementTree.Element) -> list[dict[str, Any]]:
    filters = [_filter(table, each) for each in entity.findall("filter")]
    rows = meeting(session, table, Junction("and", tuple(filters)) if filters else None)
    orders = ",".join(
        f"{_column(table, each.get('attribute') or '').property_name} "
        f"{'desc' if each.get('descending') == 'true' else _DEFAULT_ORDER}"
        for each in entity.findall("order")
    )
    return sort_rows(rows, order_keys(session, table, orders), table.primary_id)


def _filter(table: Table, element: ElementTree.Element) -> Node:
    terms = [_filter(table, each) if each.tag == "filter" else _condition(table, each) for each in element]
    if not terms:
        return Literal(True, "boolean")
    return terms[0] if len(terms) == 1 else Junction(element.get("type") or "and", tuple(terms))


def _condition(table: Table, element: ElementTree.Element) -> Node:
    column = _column(table, element.get("attribute") or "")
    return condition(column, element.get("operator") or "", element.get("value"), [v.text or "" for v in element])


def condition(column: Column, name: str, value: str | None, values: list[str]) -> Node:
    """The tree of one condition, shared with SQL queries.

    Args:
        name: the FetchXML operator.
        value: its operand as text; `values` those of `in` and `between`.
    """
    path = Path((column.property_name or column.name,))
    if name in ("null", "not-null"):
        return Comparison("eq" if name == "null" else "ne", path, Literal(None, "null"))
    if name in _COMPARED:
        return Comparison(_COMPARED[name], path, _literal(column, value or ""))
    if name in ("in", "not-in", "between", "not-between"):
        special = {"in": "In", "not-in": "NotIn", "between": "Between", "not-between": "NotBetween"}[name]
        return Special(special, {"PropertyName": column.name, "PropertyValues": values})
    texts = {"begins-with": "startswith", "ends-with": "endswith"}
    if name in texts:
        return Call(texts[name], (path, Literal(value, "string")))
    if name in ("like", "not-like"):
        matched = _like(path, value or "")
        return matched if name == "like" else Not(matched)
    raise Refusal(501, "0x80041100", f"The sandbox does not know the condition operator '{name}'.")


def _like(path: Path, pattern: str) -> Node:
    """A LIKE pattern: what stands at its ends must be matched at the ends."""
    if pattern.startswith("%") and pattern.endswith("%"):
        return Call("contains", (path, Literal(pattern.strip("%"), "string")))
    ends = []
    if not pattern.startswith("%"):
        ends.append(Call("startswith", (path, Literal(pattern.removesuffix("%"), "string"))))
    if not pattern.endswith("%"):
        ends.append(Call("endswith", (path, Literal(pattern.removeprefix("%"), "string"))))
    return ends[0] if len(ends) == 1 else Junction("and", tuple(ends))


def _literal(column: Column, text: str) -> Literal:
    edm = edm_type(column)
    try:
        if edm in ("Edm.Int32", "Edm.Int64"):
            return Literal(int(text), "number")
        if edm in ("Edm.Decimal", "Edm.Double"):
            return Literal(float(text), "number")
    except ValueError as fault:
        raise bad_request(f"The value '{text}' is no number.", "0x80040203") from fault
    if edm == "Edm.Boolean":
        return Literal(text.lower() in ("1", "true"), "boolean")
    if edm == "Edm.Guid":
        return Literal(text.strip("{}").lower(), "guid")
    if edm in ("Edm.DateTimeOffset", "Edm.Date"):
        return Literal(text.upper(), "date" if len(text) == 10 else "moment")
    return Literal(text, "string")
