"""Examples of a mapping: a prospect, and per table the new record it makes or the reject it meets; and how they differ.

An example is JSON: {"about": "...", "prospect": {...}, "expected": {"lead": {"record": {...}, "warnings": [...]},
"contact": {"reject": {"column": "lastname", "rule": "required"}}}}. `warnings` may be left out where there are none.
Leaves files to `config`, and how a record comes about to `explaining`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dynamics.core.mapping.explaining import NewRecord

Json = dict[str, Any]
_NAMES = {"about", "prospect", "expected"}
_TABLE_NAMES = {"record", "warnings", "reject"}


def example_fault(content: object) -> str | None:
    """What of it is no example, None when it is one."""
    if not isinstance(content, dict):
        return "it is no JSON object"
    for name, kind in (("about", str), ("prospect", dict), ("expected", dict)):
        if not isinstance(content.get(name), kind):
            return f"'{name}' is missing, or no {'text' if kind is str else 'object'}"
    if content.keys() - _NAMES:
        return f"'{min(content.keys() - _NAMES)}' is no part of an example: {', '.join(sorted(_NAMES))}"
    if not content["expected"]:
        return "'expected' names no table"
    for table, told in content["expected"].items():
        if not isinstance(told, dict) or ("record" in told) == ("reject" in told) or told.keys() - _TABLE_NAMES:
            return f"'expected.{table}' has not one of 'record' and 'reject' (and, if any, 'warnings')"
    return None


def outcome_of(made: NewRecord) -> Json:
    """What became of a prospect, in the form in which an example expects it."""
    if made.reject is not None:
        return {"reject": {"column": made.reject.column, "rule": made.reject.rule}}
    return {"record": made.values} | ({"warnings": list(made.warnings)} if made.warnings else {})


def differences(expected: Json, found: Json) -> list[str]:
    """What is otherwise than expected of one table, a line each; empty when all is as expected.

    Args:
        expected: of an example. found: as `outcome_of` gives it.
    """
    if "reject" in expected and "reject" not in found:
        return [f"expected a reject ({_reject(expected['reject'])}), but the record can be written"]
    if "reject" in found and "reject" not in expected:
        return [f"expected a record, but it is rejected ({_reject(found['reject'])})"]
    if "reject" in expected:
        told = [_reject(each["reject"]) for each in (expected, found)]
        return [] if told[0] == told[1] else [f"expected the reject {told[0]}, found {told[1]}"]
    return [*_columns(expected["record"], found["record"]), *_warnings(expected, found)]


def _columns(expected: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"{name}: expected {_json(expected[name])}, found no value"
        elif name not in expected:
            yield f"{name}: expected no value, found {_json(found[name])}"
        elif not _same(expected[name], found[name]):
            yield f"{name}: expected {_json(expected[name])}, found {_json(found[name])}"


def _same(one: object, other: object) -> bool:
    """Python takes True for 1; a CRM does not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _warnings(expected: Json, found: Json) -> Iterator[str]:
    before, after = expected.get("warnings", []), found.get("warnings", [])
    yield from (f"expected the warning '{text}'" for text in before if text not in after)
    yield from (f"warning not expected: '{text}'" for text in after if text not in before)


def _reject(reject: Mapping[str, object]) -> str:
    return f"{reject.get('column')}: {reject.get('rule')}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
