"""Answers queries on a collection: which rows, in which order, which page of them.

Rows are ordered by the given columns and always by id at the end, so a page begins where the one before it stopped
whatever happened in between. `$top` is ignored when a page size is asked for; counts stop at 5,000.
Source: Microsoft Learn, "Page results", "Order rows", "Count number of rows", "Filter rows using OData".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from sandbox.dataverse.errors import bad_request
from sandbox.dataverse.filter import candidates, predicate
from sandbox.dataverse.odata import parse_filter
from sandbox.dataverse.projection import Projection
from sandbox.dataverse.schema import Table
from sandbox.dataverse.scope import TableScope
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import WRITTEN_AT, Row
from sandbox.dataverse.syntax import Node

MOST_ROWS = 5000
"""Rows in a page and in a count, at most."""

_OPTIONS = frozenset(
    {"$select", "$filter", "$orderby", "$top", "$count", "$expand", "$apply", "$skiptoken", "$deltatoken"}
)
_PLAIN = "(),'/$@="
"""Characters a link shows as they are."""

_ORDER = re.compile(r"([\w/]+)(?:\s+(asc|desc))?")
_COOKIE = re.compile(r'pagenumber="(\d+)" pagingcookie="([^"]*)"')


@dataclass(frozen=True)
class OrderKey:
    """One column to sort by."""

    get: Callable[[Row], Any]
    descending: bool

    def of(self, row: Row) -> tuple[bool, Any]:
        """A sortable value: null before everything."""
        value = self.get(row)
        return (value is not None, value.casefold() if isinstance(value, str) else value)


def query_options(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The query options by name, aliases included; options Dataverse does not have are refused."""
    options: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith("$") and name not in _OPTIONS:
            raise bad_request(f"The query parameter {name} is not supported")
        options[name] = value
    return options


def matching(session: Session, table: Table, text: str | None, options: dict[str, str]) -> list[Row]:
    """The rows of a table that pass a `$filter`, in no particular order."""
    return meeting(session, table, None if text is None else parse_filter(text, options))


def meeting(session: Session, table: Table, node: Node | None) -> list[Row]:
    """The rows of a table that meet a condition, in no particular order; rows written just now may be missed."""
    rows = session.store.rows(table.name)
    found: Iterable[Row] = rows.values()
    if node is not None:
        scope = TableScope(session, table)
        test, ids = predicate(node, scope), candidates(node, scope)
        found = [row for row in (found if ids is None else (rows[i] for i in ids)) if test(row)]
        if lag_s := session.state.settings.filter_lag_s:
            latest = session.now.timestamp() - lag_s
            found = [row for row in found if row.get(WRITTEN_AT, 0.0) <= latest]
    if table.name == "sdkmessagefilter":
        off = session.state.settings.bulk_disabled
        found = [row for row in found if row["primaryobjecttypecode"] not in off]
    return list(found)


def order_keys(session: Session, table: Table, text: str | None) -> list[OrderKey]:
    """The columns of an `$orderby`."""
    keys = []
    scope = TableScope(session, table)
    for part in (text or "").split(","):
        match = _ORDER.fullmatch(part.strip())
        if match is None:
            if text is None or not part.strip():
                continue
            raise bad_request(f"Syntax error at position {text.find(part)} in '{text}'.")
        get, _ = scope.getter(tuple(match[1].split("/")))
        keys.append(OrderKey(get, match[2] == "desc"))
    return keys


def sort_rows(rows: list[Row], keys: list[OrderKey], primary_id: str) -> list[Row]:
    """Sort in place by the keys, then by id."""
    rows.sort(key=lambda row: row[primary_id])
    for key in reversed(keys):
        rows.sort(key=key.of, reverse=key.descending)
    return rows


@dataclass(frozen=True)
class Page:
    """One answer to a collection query, not yet JSON."""

    body: dict[str, Any]
    rows: int


def run(
    session: Session,
    table: Table,
    options: dict[str, str],
    *,
    path: str,
    page_size: int | None = None,
    annotations: str = "",
    among: Iterable[Row] | None = None,
) -> Page:
    """Answer a GET on a collection.

    Args:
        path: the path asked for, which next links repeat.
        page_size: `odata.maxpagesize`.
        annotations: `odata.include-annotations`.
        among: restricts the rows (a collection-valued navigation property).
    """
    project = Projection(session, table, options.get("$select"), options.get("$expand"), annotations)
    rows = matching(session, table, options.get("$filter"), options)
    if among is not None:
        allowed = {id(row) for row in among}
        rows = [row for row in rows if id(row) in allowed]
    total = len(rows)
    keys = order_keys(session, table, options.get("$orderby"))
    rows = sort_rows(rows, keys, table.primary_id)
    number = 1
    if "$skiptoken" in options:
        number, last = _read_token(options["$skiptoken"])
        rows = _after(rows, keys, table.primary_id, last)
    top = None if page_size else _top(options.get("$top"))
    size = min(page_size or MOST_ROWS, MOST_ROWS)
    shown = rows[: size if top is None else min(size, top)]
    body: dict[str, Any] = {"@odata.context": project.context}
    _add_count(body, options, total, annotations)
    body["value"] = [project(row) for row in shown]
    if len(rows) > len(shown) and top is None:
        token = _write_token(number + 1, shown[-1], keys, table.primary_id)
        body["@odata.nextLink"] = next_link(session, path, options, "$skiptoken", token)
    return Page(body, len(shown))


def next_link(session: Session, path: str, options: dict[str, str], name: str, token: str) -> str:
    """The URL asked for, with one option replaced."""
    pairs = [(key, value) for key, value in options.items() if key not in ("$skiptoken", "$deltatoken")]
    query = "&".join(f"{key}={quote(value, safe=_PLAIN)}" for key, value in [*pairs, (name, token)])
    return f"{session.state.api}/{quote(path, safe=_PLAIN)}?{query}"


def _add_count(body: dict[str, Any], options: dict[str, str], total: int, annotations: str) -> None:
    counted = options.get("$count", "").lower() == "true"
    if counted:
        body["@odata.count"] = min(total, MOST_ROWS)
    if annotations:
        body["@Microsoft.Dynamics.CRM.totalrecordcount"] = min(total, MOST_ROWS) if counted else -1
        body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] = counted and total > MOST_ROWS


def _top(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise bad_request(f"Invalid value '{text}' for $top query option found.")
    return int(text)


def _write_token(number: int, row: Row, keys: list[OrderKey], primary_id: str) -> str:
    last = [[key.of(row) for key in keys], row[primary_id]]
    cookie = base64.urlsafe_b64encode(orjson.dumps(last)).decode()
    return f'<cookie pagenumber="{number}" pagingcookie="{cookie}" istracking="False" />'


def _read_token(token: str) -> tuple[int, list[Any]]:
    match = _COOKIE.search(token)
    try:
        if match is not None:
            return int(match[1]), orjson.loads(base64.urlsafe_b64decode(match[2]))
    except ValueError:
        pass
    raise bad_request("Malformed XML in the Paging Cookie")


def _after(rows: list[Row], keys: list[OrderKey], primary_id: str, last: list[Any]) -> list[Row]:
    """The rows that sort behind the one a token remembers."""
    values = [tuple(value) for value in last[0]]

    def is_behind(row: Row) -> bool:
        for key, value in zip(keys, values, strict=True):
            own = key.of(row)
            if own != value:
                return (own < value) if key.descending else (own > value)
        return bool(row[primary_id] > last[1])

    return [row for row in rows if is_behind(row)]
