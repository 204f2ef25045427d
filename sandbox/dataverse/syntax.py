"""The syntax tree of a condition, which `$filter`, FetchXML and SQL are all read into.

Source: OASIS, "OData 4.0 URL Conventions"; Microsoft Learn, "Web API Query Function Reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "Microsoft.Dynamics.CRM."
COMPARISONS = {
    "eq": "Equal",
    "ne": "NotEqual",
    "gt": "GreaterThan",
    "ge": "GreaterThanOrEqual",
    "lt": "LessThan",
    "le": "LessThanOrEqual",
}
"""Operators, with the names that error texts give them."""


@dataclass(frozen=True)
class Literal:
    """A constant; `kind` is string, number, boolean, null, guid, moment, date, enum or list."""

    value: Any
    kind: str


@dataclass(frozen=True)
class Path:
    """A property, with the navigation properties that lead to it."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Junction:
    """`and` or `or` of two or more terms."""

    operator: str
    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    term: Node


@dataclass(frozen=True)
class Call:
    """contains, startswith or endswith."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Special:
    """A query function of Dataverse: the name without its namespace, arguments by name."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Lambda:
    """`path/any(x:body)` or `path/all(x:body)`; any() without a body asks for existence."""

    kind: str
    path: Path
    variable: str
    body: Node | None


Node = Literal | Path | Comparison | Junction | Not | Call | Special | Lambda
