"""Turns a batch of values into one parameter, mostly JSON, which a statement unfolds with `json_to_recordset`.

One statement per batch, whatever its size; dataclasses go in as they are. Text that PostgreSQL cannot hold is made
holdable here: U+0000 is removed, an unpaired surrogate becomes U+FFFD. In prospects both become U+001A, a control
character that the mapping removes with a warning: what was lost here must not be lost in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

_ESCAPED_NUL = b"\\u0000"  # how orjson writes U+0000; JSON text that merely spells it out is cleaned in vain, unharmed
_LARGEST_INTEGER = 2**64
_SURROGATE = re.compile("[\ud800-\udfff]")
SUBSTITUTE = "\x1a"


def rows_json(rows: Sequence[object], marked: bool = False) -> str:
    """A JSON array of `rows`: dataclasses or mappings of JSON values, UUIDs, aware datetimes and string enums.

    With `marked` SUBSTITUTE stands where a character could not be kept.
    """
    try:
        document = orjson.dumps(rows, default=_plain)
    except TypeError:  # a surrogate, or a number beyond 64 bits
        document = orjson.dumps(_storable(rows, marked), default=_plain)
    if _ESCAPED_NUL in document:
        document = orjson.dumps(_storable(rows, marked), default=_plain)
    return document.decode()


def bigints(numbers: Iterable[int]) -> str:
    """A `bigint[]` as PostgreSQL writes it: the driver would take longer over a list of them than the statement."""
    return "{" + ",".join(map(str, numbers)) + "}"


def storable_text(text: str, marked: bool = False) -> str:
    """`text` as PostgreSQL can hold it."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")  # two halves are one
    return _SURROGATE.sub(SUBSTITUTE if marked else "\ufffd", joined).replace("\0", SUBSTITUTE if marked else "")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON value: {type(value).__name__}")


def _storable(value: Any, marked: bool) -> Any:
    if isinstance(value, str):
        return storable_text(value, marked)
    if isinstance(value, Mapping):
        return {storable_text(str(name), marked): _storable(item, marked) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item, marked) for item in value]
    if is_dataclass(value):
        return {field.name: _storable(getattr(value, field.name), marked) for field in fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) >= _LARGEST_INTEGER // 2:
        return orjson.Fragment(str(value).encode())
    return value
