"""Answers `$apply`: grouping, counting, sums, smallest and largest values.

Source: Microsoft Learn, "Aggregate data using OData".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.dataverse.errors import Refusal, bad_request
from sandbox.dataverse.projection import split_top
from sandbox.dataverse.query import matching
from sandbox.dataverse.schema import Table
from sandbox.dataverse.scope import TableScope
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import Row

_GROUP = re.compile(r"groupby\(\(([\w,\s/]+)\)(?:,aggregate\((.*)\))?\)|aggregate\((.*)\)")
_MEASURE = re.compile(r"(?:\$count|([\w/]+)\s+with\s+(sum|min|max|average|countdistinct))\s+as\s+(\w+)")
MOST_AGGREGATED = 50_000


def aggregate(session: Session, table: Table, options: dict[str, str]) -> dict[str, Any]:
    """The body of a `$apply` query: `filter(...)/groupby((a,b),aggregate($count as n))`, or one aggregate.

    Raises:
        Refusal: 0x8004e023 over 50,000 rows; 400 for anything else than the two forms.
    """
    text, condition = options["$apply"].strip(), options.get("$filter")
    if text.startswith("filter("):
        end = _closing(text)
        condition, text = text[len("filter(") : end], text[end + 1 :].lstrip("/")
    rows = matching(session, table, condition, options)
    if len(rows) > MOST_AGGREGATED:
        raise Refusal(400, "0x8004e023", "The maximum record limit is exceeded. Reduce the number of records.")
    match = _GROUP.fullmatch(text)
    if match is None:
        raise bad_request(f"The $apply expression '{text}' is not supported.")
    scope = TableScope(session, table)
    by = [name.strip() for name in (match[1] or "").split(",") if name.strip()]
    getters = [scope.getter((name,))[0] for name in by]
    groups: dict[tuple[Any, ...], list[Row]] = {} if by else {(): []}
    for row in rows:
        groups.setdefault(tuple(get(row) for get in getters), []).append(row)
    measures = [_measure(part, scope) for part in split_top(match[2] or match[3] or "", ",")]
    value = [
        dict(zip(by, key, strict=True)) | {name: compute(members) for name, compute in measures}
        for key, members in groups.items()
    ]
    return {"@odata.context": f"{session.state.api}/$metadata#{table.entity_set}", "value": value}


def _closing(text: str) -> int:
    """Position at which the first parenthesis of a text closes."""
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == ")" and not depth:
            return position
    raise bad_request(f"Syntax error at position {len(text)} in '{text}'.")


def _measure(text: str, scope: TableScope) -> tuple[str, Callable[[list[Row]], Any]]:
    match = _MEASURE.fullmatch(text)
    if match is None:
        raise bad_request(f"The aggregate expression '{text}' is not supported.")
    if match[1] is None:
        return match[3], len
    get, _ = scope.getter(tuple(match[1].split("/")))
    compute: dict[str, Callable[[list[Any]], Any]] = {
        "sum": sum,
        "min": lambda values: min(values, default=None),
        "max": lambda values: max(values, default=None),
        "average": lambda values: sum(values) / len(values) if values else None,
        "countdistinct": lambda values: len(set(values)),
    }
    return match[3], lambda rows: compute[match[2]]([v for row in rows if (v := get(row)) is not None])
