"""Decides which columns of an existing record are sent: what is new, what differs, and what a person keeps.

Three versions meet: what the prospect says now, what stands in the record, and what we settled there last. Leaves blank
values out of account: they are absent here, None means "clear". Source: design part 3; Dataverse page "Update".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from dynamics.core.identity import value_hash
from dynamics.core.mapping.coercion import NUMBER_TYPES, OPTION_TYPES, SEVERAL_OPTIONS, TEXT_TYPES, rounded, to_moment
from dynamics.core.mapping.rules import WriteMode
from dynamics.core.metadata import Column, TableMetadata
from dynamics.core.normalize import utf16_length

__all__ = ["changed_values", "merge_members", "same_value"]

_NUMERIC = NUMBER_TYPES | OPTION_TYPES | {"Integer", "BigInt"}


def merge_members(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One set of values for prospects that go to one record: per column the newest that says something wins.

    Args:
        members: 1..n mapped values, oldest to newest; None is "clear" and yields to any value.
    """
    merged: dict[str, Any] = {}
    for values in members:
        for column, value in values.items():
            if value is not None or column not in merged:
                merged[column] = value
    return merged


def changed_values(
    wanted: Mapping[str, Any],
    current: Mapping[str, Any],
    settled: Mapping[str, str] | None,
    modes: Mapping[str, WriteMode],
    metadata: TableMetadata,
    placeholders: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """The columns to send, with their values; empty when the record need not change.

    A column that we settled with this very value before, and that differs now, was changed by a person: it is theirs.

    Args:
        wanted: mapped values.
        current: the record as read; an absent column counts as blank.
        settled: column -> value hash of what we last settled in this record; None when we never did.
        modes: column -> write mode; always where absent.
        metadata: of the record's table.
        placeholders: column -> the mapping's default. Where it stands there it is no value: a real one takes its place,
            whatever the write mode.
    """
    changes: dict[str, Any] = {}
    for name, value in wanted.items():
        mode = modes.get(name, WriteMode.ALWAYS)
        column = metadata.columns[name]
        there = current.get(name)
        if mode is WriteMode.CREATE_ONLY or same_value(column, value, there):
            continue
        if settled is not None and settled.get(name) == value_hash(value):
            continue
        replaced = mode is WriteMode.ALWAYS or _is_placeholder(column, there, placeholders)
        if there is None or _blank(there) or replaced:
            changes[name] = value
        elif mode is WriteMode.APPEND and value is not None:
            longer = _appended(there, value)
            if longer != there and _fits(column, longer):
                changes[name] = longer
    return changes


def same_value(column: Column, ours: Any, theirs: Any) -> bool:
    """Whether a record's value says what ours says: numbers by value, times to the second, text exactly.

    Line ends do not count, and a text of blanks is a blank.
    """
    if _blank(ours) or _blank(theirs):
        return _blank(ours) and _blank(theirs)
    if column.type in _NUMERIC:
        return rounded(Decimal(str(ours)), column.precision) == rounded(Decimal(str(theirs)), column.precision)
    if column.type == "DateTime":
        return _to_the_second(ours, column) == _to_the_second(theirs, column)
    if column.type == "Uniqueidentifier":
        return str(ours).lower() == str(theirs).lower()
    if column.type == SEVERAL_OPTIONS:
        return set(str(ours).split(",")) == set(str(theirs).split(","))
    if column.type in TEXT_TYPES:
        return _lines(ours) == _lines(theirs)
    return bool(ours == theirs)


def _is_placeholder(column: Column, there: Any, placeholders: Mapping[str, Any]) -> bool:
    default = placeholders.get(column.logical_name)
    return default is not None and same_value(column, default, there)


def _appended(there: str, value: str) -> str:
    """The lines of `value` that do not stand in `there` yet, below it. Notes that grew are not told twice."""
    known = set(_lines(there).split("\n"))
    if _lines(value) in _lines(there):
        return there
    return "\n".join([there, *(line for line in _lines(value).split("\n") if line not in known)])


def _fits(column: Column, text: str) -> bool:
    return column.max_length is None or utf16_length(text) <= column.max_length


def _lines(text: Any) -> str:
    return str(text).replace("\r\n", "\n").replace("\r", "\n")


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _to_the_second(value: Any, column: Column) -> object:
    moment = to_moment(value)
    if not isinstance(moment, datetime):
        return value
    return moment.date() if column.date_only else moment.replace(microsecond=0)
