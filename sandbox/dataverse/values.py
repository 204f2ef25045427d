"""Checks and converts the value of one column, by a function compiled once for each column.

A reader takes a JSON value that is not null and returns what is stored; an empty text is stored as null. Lengths
count UTF-16 units. Which columns may be written, and what they mean together, is decided in `writes`.
Source: Microsoft Learn, "Column data types", "Web service error codes".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from sandbox.dataverse.errors import (
    Refusal,
    control_character,
    not_an_option,
    out_of_range,
    too_long,
    wrong_literal,
)
from sandbox.dataverse.schema import CHOICE_TYPES, Column

Reader = Callable[[Any], Any]

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FIRST_YEAR = 1753
_INT32 = 2**31
_INT64 = 2**63


def utf16_length(text: str) -> int:
    """Length as Dataverse counts it: characters beyond the basic plane count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def stamp(moment: datetime) -> str:
    """A moment as it travels: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def edm_type(column: Column) -> str:
    """The property's type in the CSDL."""
    if column.is_lookup or column.type == "Uniqueidentifier":
        return "Edm.Guid"
    if column.type == "DateTime":
        return "Edm.Date" if column.behavior == "DateOnly" else "Edm.DateTimeOffset"
    return {
        "Integer": "Edm.Int32",
        "Picklist": "Edm.Int32",
        "State": "Edm.Int32",
        "Status": "Edm.Int32",
        "BigInt": "Edm.Int64",
        "Decimal": "Edm.Decimal",
        "Money": "Edm.Decimal",
        "Double": "Edm.Double",
        "Boolean": "Edm.Boolean",
        "Image": "Edm.Binary",
    }.get(column.type, "Edm.String")


def reader(column: Column, entity_set: str) -> Reader:
    """The function that reads values of this column."""
    if column.type in CHOICE_TYPES:
        return _choice(column, entity_set)
    makers: dict[str, Callable[[Column, str], Reader]] = {
        "Edm.String": _text,
        "Edm.Binary": _text,
        "Edm.Guid": _guid,
        "Edm.Boolean": _boolean,
        "Edm.Int32": _whole,
        "Edm.Int64": _whole,
        "Edm.Decimal": _number,
        "Edm.Double": _number,
        "Edm.Date": _date,
        "Edm.DateTimeOffset": _moment,
    }
    return makers[edm_type(column)](column, entity_set)


def _text(column: Column, entity_set: str) -> Reader:
    name, table, limit = column.name, column.table, column.max_length or _INT32
    surely_short = limit // 2

    def read(value: Any) -> str | None:
        if type(value) is not str:
            raise wrong_literal(entity_set, value, "Edm.String")
        if len(value) > surely_short and utf16_length(value) > limit:
            raise too_long(name, table, limit)
        if not value.isprintable() and (found := _CONTROL.search(value)):
            raise control_character(name, table, found[0])
        return value or None

    return read


def _choice(column: Column, entity_set: str) -> Reader:
    accepted = {option.value for option in column.options}

    def read(value: Any) -> int:
        if type(value) is not int or not -_INT32 <= value < _INT32:
            raise wrong_literal(entity_set, value, "Edm.Int32")
        if value not in accepted:
            raise not_an_option(value, column.name, column.table, sorted(accepted))
        return value

    return read


def _whole(column: Column, entity_set: str) -> Reader:
    edm = edm_type(column)
    bound = _INT64 if edm == "Edm.Int64" else _INT32
    low = -bound if column.minimum is None else max(int(column.minimum), -bound)
    high = bound - 1 if column.maximum is None else min(int(column.maximum), bound - 1)

    def read(value: Any) -> int:
        if type(value) is not int or not -bound <= value < bound:
            raise wrong_literal(entity_set, value, edm)
        if not low <= value <= high:
            raise out_of_range(column.name, column.table, low, high, whole=True)
        return value

    return read


def _number(column: Column, entity_set: str) -> Reader:
    low = -1e11 if column.minimum is None else column.minimum
    high = 1e11 if column.maximum is None else column.maximum
    digits, edm = column.precision, edm_type(column)

    def read(value: Any) -> float:
        if type(value) is not int and type(value) is not float:
            raise wrong_literal(entity_set, value, edm)
        if not low <= value <= high:
            raise out_of_range(column.name, column.table, low, high, whole=False)
        return value if digits is None else round(value, digits)

    return read


def _boolean(_column: Column, entity_set: str) -> Reader:
    def read(value: Any) -> bool:
        if type(value) is not bool:
            raise wrong_literal(entity_set, value, "Edm.Boolean")
        return value

    return read


def _guid(_column: Column, entity_set: str) -> Reader:
    def read(value: Any) -> str:
        if type(value) is not str or GUID.fullmatch(value) is None:
            raise wrong_literal(entity_set, value, "Edm.Guid")
        return value.lower()

    return read


def _date(_column: Column, entity_set: str) -> Reader:
    def read(value: Any) -> str:
        try:
            if type(value) is str and len(value) == 10:
                return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
        raise wrong_literal(entity_set, value, "Edm.Date")

    return read


def _moment(_column: Column, entity_set: str) -> Reader:
    def read(value: Any) -> str:
        moment = parse_moment(value)
        if moment is None:
            raise wrong_literal(entity_set, value, "Edm.DateTimeOffset")
        if moment.year < _FIRST_YEAR:
            text = f"Actual value: {moment:%m/%d/%Y %H:%M:%S}, Minimum value supported: 01/01/1753 00:00:00"
            raise Refusal(400, "0x80040239", f"DateTime is less than minimum value supported by CrmDateTime. {text}")
        return stamp(moment)

    return read


def parse_moment(value: Any) -> datetime | None:
    """A moment with its offset from JSON or a literal, None when it is none."""
    if type(value) is not str or len(value) < 16 or value[10] not in "Tt":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)
