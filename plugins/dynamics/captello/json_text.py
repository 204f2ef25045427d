"""Reads JSON as sources write it, unpaired surrogates included: half an emoji, cut off by some form, is no one's fault.

The fast parser refuses them, which would refuse the prospect and with it the whole file or page. They are kept here;
the ledger and the mapping see to them, with a warning on the prospect's outcome.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises json.JSONDecodeError: it is none; NaN and Infinity are no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        if not (b"\\u" in text if isinstance(text, bytes) else "\\u" in text):
            raise
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise wrong from None


def json_bytes(value: Any) -> bytes:
    """JSON with sorted keys, the same for equal values; unpaired surrogates and numbers of any length included."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True).encode("ascii")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
