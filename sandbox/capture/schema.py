"""Says what is wrong with a prospect, by the JSON Schema in `prospect.schema.json`.

Formats (e-mail, date-time) are notes to readers there, as JSON Schema has it, and refuse nothing.
Source: Capture Source API v1, prospect schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from sandbox.capture.wire import Fault, Problem

SCHEMA_FILE = Path(__file__).with_name("prospect.schema.json")


@cache
def _validator(definition: str | None) -> Draft202012Validator:
    schema = orjson.loads(SCHEMA_FILE.read_bytes())
    if definition is not None:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    return Draft202012Validator(schema)


def faults(content: Mapping[str, Any], definition: str | None = None) -> list[Fault]:
    """Everything wrong with a prospect, or with what the schema calls `definition`; texts hold no values."""
    return [
        Fault("/" + "/".join(map(str, error.absolute_path)), str(error.validator), _message(error))
        for error in _validator(definition).iter_errors(content)
    ]


def check(content: Mapping[str, Any], definition: str | None = None, others: Iterable[Fault] = ()) -> None:
    """Raise `Problem` 422 with all faults, `others` included, when there is any."""
    found = [*others, *faults(content, definition)]
    if found:
        raise Problem(422, "validation_failed", f"{len(found)} properties are not valid.", errors=found)


def _message(error: Any) -> str:
    """jsonschema's own messages quote the value, which may be a person's."""
    if error.validator == "anyOf":
        return "Needs an e-mail, or a first and a last name."
    if error.validator in ("required", "additionalProperties"):
        return str(error.message)
    return f"Does not satisfy {error.validator}: {orjson.dumps(error.validator_value).decode()[:200]}"
