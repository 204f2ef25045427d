"""Reads paths and row addresses: `leads(<guid>)`, `leads(cap_badgeid='A-1')`, `/contacts(<guid>)` in a body.

Source: Microsoft Learn, "Use an alternate key to reference a record", "Compose HTTP requests and handle errors".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sandbox.dataverse.errors import bad_key, bad_request, no_row_by_key, no_segment, no_such_row
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.values import GUID, reader

_SEGMENT = re.compile(r"([^/(]+)(?:\(((?:[^')]|'(?:[^']|'')*')*)\))?(?:/|$)")
_REFERENCE = re.compile(r"(?:https?://[^/]+)?/?(?:api/data/v9\.\d/)?([A-Za-z_]\w*)\((.*)\)", re.DOTALL)
_KEY_PART = re.compile(r"\s*(?:(\w+)\s*=\s*)?(?:'((?:[^']|'')*)'|([^,'\s]+))\s*(?:,|$)")
_DANGEROUS = re.compile(r"[/<>*%&:\\?+]")
_KEYED_BY_OWNER = ("systemuser", "team")
"""Their declared key is `ownerid`, so the primary key cannot be named in an address."""


@dataclass(frozen=True)
class Segment:
    """One piece of a path; `key` is the text inside parentheses, None without them."""

    name: str
    key: str | None


@dataclass(frozen=True)
class Target:
    """What an address names: the id of a row that may or may not exist, or the values of an alternate key.

    `row_id` is None when an alternate key found nothing; `key_values` are property -> value of an alternate key.
    """

    table: Table
    row_id: str | None
    key_values: dict[str, Any]

    def existing(self, session: Session) -> str:
        """The row's id; refuses when there is no such row."""
        if self.row_id is None:
            raise no_row_by_key(self.table.name)
        if self.row_id not in session.store.rows(self.table.name):
            raise no_such_row(self.table.name, self.row_id)
        return self.row_id


def split_path(path: str) -> list[Segment]:
    """The segments of a decoded path relative to the service root."""
    segments, position = [], 0
    while position < len(path):
        match = _SEGMENT.match(path, position)
        if match is None:
            raise no_segment(path)
        segments.append(Segment(match[1], match[2]))
        position = match.end()
    return segments


def locate(session: Session, table: Table, key: str) -> Target:
    """Say which row the text inside the parentheses names.

    Raises:
        Refusal: 400 when the text is neither an id nor the columns of an active alternate key.
    """
    if GUID.fullmatch(key):
        return Target(table, key.lower(), {})
    parts = _key_parts(key, table)
    if list(parts) == [table.primary_id] and table.name not in _KEYED_BY_OWNER:
        row_id = parts[table.primary_id]
        if GUID.fullmatch(row_id):
            return Target(table, row_id.lower(), {})
        raise bad_key(table.name)
    for alternate in table.active_keys:
        names = table.key_properties(alternate)
        if set(names) == set(parts):
            values = {name: _key_value(table, name, parts[name]) for name in names}
            found = session.store.index(table.name, names).find([values[name] for name in names])
            return Target(table, found[0] if found else None, values)
    raise bad_key(table.name)


def _key_parts(key: str, table: Table) -> dict[str, str]:
    parts: dict[str, str] = {}
    position = 0
    while position < len(key):
        match = _KEY_PART.match(key, position)
        if match is None or match[1] is None:
            raise bad_key(table.name)
        if match[2] is not None and (found := _DANGEROUS.search(match[2])):
            raise bad_request(f"A potentially dangerous Request.Path value was detected from the client ({found[0]}).")
        parts[match[1]] = match[3] if match[2] is None else match[2].replace("''", "'")
        position = match.end()
    return parts


def _key_value(table: Table, name: str, text: str) -> Any:
    column = table.properties[name]
    if column.type in ("String", "DateTime", "Uniqueidentifier") or column.is_lookup:
        return reader(column, table.entity_set)(text)
    try:
        return reader(column, table.entity_set)(float(text) if "." in text else int(text))
    except ValueError as fault:
        raise bad_key(table.name) from fault


def locate_reference(session: Session, text: Any) -> Target:
    """The row that a URL inside a body names: relative, absolute, by id or by alternate key."""
    match = _REFERENCE.fullmatch(unquote(text) if isinstance(text, str) and "%" in text else str(text))
    if match is None:
        raise bad_request(f"Invalid resource reference '{text}'.")
    table = session.schema.by_set.get(match[1])
    if table is None:
        raise no_segment(match[1])
    return locate(session, table, match[2])


def key_as_body(session: Session, target: Target) -> dict[str, Any]:
    """The values of an alternate key as the body of a new row would write them; lookups are bound by id."""
    written: dict[str, Any] = {}
    for name, value in target.key_values.items():
        column = target.table.properties[name]
        if column.is_lookup:
            other, navigation = next(iter(column.navigation.items()))
            written[f"{navigation}@odata.bind"] = f"/{session.schema.tables[other].entity_set}({value})"
        else:
            written[name] = value
    return written
