"""Reads JSON as sources write it, where the fast parser would refuse it or change it.

Unpaired surrogates are kept: half an emoji, cut off by some form, is no one's fault, and refusing it would refuse the
prospect and with it the whole file or page. The ledger and the mapping see to them, with a warning on the prospect's
outcome. Integers keep all their digits: a badge number may have more than fit into 64 bits.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

# So many digits may not fit into 64 bits: the fast parser makes a rounded float of them and does not say so.
_LONG_NUMBER = b"0" * 19
_DIGITS_ALIKE = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises json.JSONDecodeError: it is none; NaN and Infinity are no JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        if not (b"\\u" in text if isinstance(text, bytes) else "\\u" in text):
            raise
        return _parse_slowly(text, wrong)
    if _holds_long_number(text):
        return _parse_slowly(text, json.JSONDecodeError("a number is far too long", "", 0))
    return value


def json_bytes(value: Any) -> bytes:
    """JSON with sorted keys, the same for equal values; unpaired surrogates and numbers of any length included."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True).encode("ascii")


def _holds_long_number(text: str | bytes) -> bool:
    """Whether a run of digits may be one. Looked for like this it costs a fraction of the parsing; a pattern, more."""
    content = text if isinstance(text, bytes) else text.encode()
    return _LONG_NUMBER in content.translate(_DIGITS_ALIKE)


def _parse_slowly(text: str | bytes, wrong: json.JSONDecodeError) -> Any:
    """The value by the standard parser. Raises `wrong` when that cannot read it either."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise wrong from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
