"""Shows a stored row as JSON: the selected properties, annotations when asked for, expanded rows.

Source: Microsoft Learn, "Select columns", "Join tables using OData", "Formatted values".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from sandbox.dataverse.errors import bad_request, no_property
from sandbox.dataverse.schema import CHOICE_TYPES, Column, Relationship, Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import Row
from sandbox.dataverse.values import parse_moment

FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
LOOKUP_NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"

Render = Callable[[Row], dict[str, Any]]


class Projection:
    """What one query wants to see of each row of a table."""

    def __init__(
        self,
        session: Session,
        table: Table,
        select: str | None = None,
        expand: str | None = None,
        annotations: str = "",
    ) -> None:
        self._session = session
        self._table = table
        self._annotations = annotations
        self._names = _selected(table, select)
        self._expands = [_Expand(session, table, item, annotations) for item in split_top(expand or "", ",")]
        shown = [*(select.replace(" ", "").split(",") if select else []), *(e.shown for e in self._expands)]
        self.context = f"{session.state.api}/$metadata#{table.entity_set}" + (f"({','.join(shown)})" if shown else "")

    def __call__(self, row: Row) -> dict[str, Any]:
        """The row as JSON, its etag first."""
        get = row.get
        shown: dict[str, Any] = {"@odata.etag": etag(row)}
        for name in self._names:
            shown[name] = get(name)
        if self._annotations:
            shown = self._annotated(row, shown)
        for expand in self._expands:
            expand.add(row, shown)
        return shown

    def _annotated(self, row: Row, shown: dict[str, Any]) -> dict[str, Any]:
        full: dict[str, Any] = {"@odata.etag": shown["@odata.etag"]}
        for name in self._names:
            full[name] = shown[name]
            if shown[name] is not None:
                for annotation, value in annotate(self._session, self._table.properties[name], row, shown[name]):
                    if wanted(annotation, self._annotations):
                        full[f"{name}@{annotation}"] = value
        return full


def etag(row: Row) -> str:
    """The weak etag of a row's version."""
    return f'W/"{row["versionnumber"]}"'


@lru_cache(maxsize=4096)
def wanted(annotation: str, patterns: str) -> bool:
    """Whether an annotation is among those of `odata.include-annotations`."""
    return any(fnmatchcase(annotation, pattern.strip()) for pattern in patterns.split(","))


@lru_cache(maxsize=1024)
def _selected(table: Table, select: str | None) -> tuple[str, ...]:
    """Selected property names; the primary key is always among them, the currency follows money."""
    if not select or select.strip() == "*":
        return tuple(table.properties)
    names = [name.strip() for name in select.split(",")]
    for name in names:
        if name not in table.properties:
            raise no_property(name, table.name)
    if any(table.properties[name].type == "Money" for name in names):
        names.append("_transactioncurrencyid_value")
    return tuple(dict.fromkeys([*names, table.primary_id]))


def annotate(session: Session, column: Column, row: Row, value: Any) -> list[tuple[str, str]]:
    """The annotations of one value that is not null."""
    if column.is_lookup:
        target = lookup_target(column, row)
        other = session.schema.tables.get(target)
        label = session.store.rows(target).get(value, {}).get(other.primary_name) if other else None
        found = [(LOOKUP_TABLE, target), (LOOKUP_NAVIGATION, column.navigation[target])]
        return [(FORMATTED, label), *found] if label else found
    if column.type in CHOICE_TYPES or column.type == "Boolean":
        label = next((option.label for option in column.options if option.value == int(value)), None)
        return [(FORMATTED, label)] if label else []
    if column.type == "DateTime":
        return [(FORMATTED, _formatted_moment(column, value))]
    if column.type == "Money":
        return [(FORMATTED, f"${value:,.2f}")]
    if column.type in ("Integer", "BigInt"):
        return [(FORMATTED, f"{value:,}")]
    if column.type in ("Decimal", "Double"):
        return [(FORMATTED, f"{value:,.{column.precision or 2}f}")]
    return []


def lookup_target(column: Column, row: Row) -> str:
    """The table a lookup of this row points to."""
    stored = row.get(f"@{column.name}")
    return stored if stored else next(iter(column.navigation))


def _formatted_moment(column: Column, value: str) -> str:
    moment = parse_moment(value if "T" in value else f"{value}T00:00:00Z")
    if moment is None:
        return value
    day = f"{moment.month}/{moment.day}/{moment.year}"
    return day if column.format == "DateOnly" else f"{day} {moment.hour % 12 or 12}:{moment:%M %p}"


def split_top(text: str, mark: str) -> list[str]:
    """Parts of a text separated by a mark that stands outside parentheses and quotes."""
    parts, depth, start, quoted = [], 0, 0, False
    for position, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
        elif character == mark and not depth and not quoted:
            parts.append(text[start:position].strip())
            start = position + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


_EXPAND = re.compile(r"([\w]+)(?:/\$ref)?(?:\((.*)\))?", re.DOTALL)


class _Expand:
    """One item of `$expand`: `campaignid($select=name;$expand=...)`."""

    def __init__(self, session: Session, table: Table, item: str, annotations: str) -> None:
        match = _EXPAND.fullmatch(item)
        if match is None:
            raise bad_request(f"Term '{item}' is not valid in a $select or $expand expression.")
        self._session = session
        self._table = table
        self.name = match[1]
        options = dict(option.split("=", 1) for option in split_top(match[2] or "", ";") if "=" in option)
        if set(options) & {"$top", "$orderby", "$filter"}:
            raise bad_request("Only $select and $expand are supported inside $expand by this organization.")
        self._options = (options.get("$select"), options.get("$expand"), annotations)
        self._projections: dict[str, Projection] = {}
        self._column: Column | None = None
        self._relationship: Relationship | None = None
        if self.name in table.navigations:
            self._column = table.navigations[self.name][0]
            for target in table.navigations[self.name][1]:
                if target in session.schema.tables:
                    self._projection(target)
        elif self.name in session.schema.collections.get(table.name, {}):
            self._relationship = session.schema.collections[table.name][self.name]
            self._projection(self._relationship.table)
        else:
            raise no_property(self.name, table.name)
        self.shown = f"{self.name}({options.get('$select', '')})"

    def _projection(self, table: str) -> Projection:
        if table not in self._projections:
            self._projections[table] = Projection(self._session, self._session.schema.tables[table], *self._options)
        return self._projections[table]

    def add(self, row: Row, shown: dict[str, Any]) -> None:
        if self._relationship is not None:
            shown[self.name] = self._many(row, self._relationship)
            return
        if self._column is None:
            return
        other_id, target = row.get(f"_{self._column.name}_value"), lookup_target(self._column, row)
        other = self._session.store.rows(target).get(other_id) if other_id else None
        matches = other is not None and target in self._table.navigations[self.name][1]
        shown[self.name] = self._projection(target)(other) if other is not None and matches else None

    def _many(self, row: Row, relationship: Relationship) -> list[dict[str, Any]]:
        store = self._session.store
        ids = store.index(relationship.table, (f"_{relationship.column}_value",)).find([row[self._table.primary_id]])
        rows = store.rows(relationship.table)
        project = self._projection(relationship.table)
        return [project(rows[other]) for other in sorted(ids)]
