"""Turns the tree of a `$filter` into a predicate over rows, and into the ids an index can narrow it to.

Logic is two-valued, as the SQL that Dataverse writes: a comparison with a null column is false, its negation true.
Dates are compared as the texts they travel as, which sort like time.
Source: Microsoft Learn, "Filter rows using OData".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

from sandbox.dataverse.collation import Fold, like
from sandbox.dataverse.errors import Refusal, bad_request
from sandbox.dataverse.functions import special_predicate
from sandbox.dataverse.store import Row
from sandbox.dataverse.syntax import COMPARISONS, Call, Comparison, Junction, Lambda, Literal, Node, Not, Path, Special
from sandbox.dataverse.values import parse_moment, stamp

Getter = Callable[[Row], Any]
Predicate = Callable[[Row], bool]

_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_LITERAL_TYPES = {
    "string": {"Edm.String"},
    "number": {"Edm.Int32", "Edm.Int64", "Edm.Decimal", "Edm.Double"},
    "boolean": {"Edm.Boolean"},
    "guid": {"Edm.Guid"},
    "moment": {"Edm.DateTimeOffset"},
    "date": {"Edm.Date", "Edm.DateTimeOffset"},
}
_LITERAL_NAMES = {
    "string": "Edm.String",
    "number": "Edm.Int32",
    "boolean": "Edm.Boolean",
    "guid": "Edm.Guid",
    "moment": "Edm.DateTimeOffset",
    "date": "Edm.Date",
    "enum": "Edm.Enum",
}


class Scope(Protocol):
    """What a filter's names mean."""

    fold: Fold
    now: datetime
    user_id: str

    def getter(self, names: tuple[str, ...]) -> tuple[Getter, str | None]:
        """How to read a property, and its Edm type (None: untyped, anything compares)."""

    def attribute(self, name: str) -> tuple[Getter, str | None]:
        """The same for a column named inside a query function."""

    def related(self, names: tuple[str, ...], variable: str, /) -> tuple[Callable[[Row], Iterable[Row]], Scope]:
        """The rows of a collection, and the scope of a lambda over them."""

    def find(self, names: tuple[str, ...], values: Iterable[Any], /) -> list[str] | None:
        """Ids of the rows that hold one of the values, None when no index serves this property."""


def predicate(node: Node, scope: Scope) -> Predicate:
    """A function that says whether a row passes.

    Raises:
        Refusal: unknown names, operands whose types do not go together.
    """
    match node:
        case Junction("and", terms):
            tests = [predicate(term, scope) for term in terms]
            return lambda row: all(test(row) for test in tests)
        case Junction(_, terms):
            tests = [predicate(term, scope) for term in terms]
            return lambda row: any(test(row) for test in tests)
        case Not(term):
            test = predicate(term, scope)
            return lambda row: not test(row)
        case Comparison():
            return _comparison(node, scope)
        case Call():
            return _text_test(node, scope)
        case Special():
            return special_predicate(node, scope)
        case Lambda():
            return _lambda(node, scope)
        case Path(names):
            get, _ = scope.getter(names)
            return lambda row: get(row) is True
        case Literal(bool() as value, _):
            return lambda _: value
        case _:
            raise bad_request("The $filter expression must evaluate to a single boolean value.")


def candidates(node: Node, scope: Scope) -> list[str] | None:
    """Ids among which every row that passes is found, by the best index; None: all rows must be looked at."""
    match node:
        case Junction("and", terms):
            found = [ids for term in terms if (ids := candidates(term, scope)) is not None]
            return min(found, key=len) if found else None
        case Junction(_, terms):
            every = [candidates(term, scope) for term in terms]
            known = [ids for ids in every if ids is not None]
            return list(dict.fromkeys(i for ids in known for i in ids)) if len(known) == len(every) else None
        case Comparison("eq", Path(names), Literal(value, kind)) if kind in ("string", "guid"):
            return scope.find(names, [value])
        case Special("In", arguments) if isinstance(arguments.get("PropertyValues"), list):
            return scope.find((str(arguments.get("PropertyName")),), arguments["PropertyValues"])
        case _:
            return None


def _operand(node: Node, scope: Scope) -> tuple[Getter, str | None]:
    match node:
        case Path(names):
            return scope.getter(names)
        case Literal(value, kind):
            return (lambda _: value), _LITERAL_NAMES.get(kind)
        case _:
            raise bad_request("A comparison needs a property or a constant on either side.")


def _comparison(node: Comparison, scope: Scope) -> Predicate:
    left, right, name = node.left, node.right, node.operator
    if isinstance(left, Literal) and isinstance(right, Path):
        left, right = right, left
        name = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}.get(name, name)
    if isinstance(left, Path) and isinstance(right, Literal):
        get, edm = scope.getter(left.names)
        return _against_constant(get, name, _constant(right, edm, name), scope.fold)
    first, first_type = _operand(left, scope)
    second, second_type = _operand(right, scope)
    if first_type != second_type:
        raise _incompatible(first_type, second_type, name)
    return _against_other(first, name, second, scope.fold)


def _constant(literal: Literal, edm: str | None, name: str) -> Any:
    kind, value = literal.kind, literal.value
    if edm is None or kind == "null":
        return value
    if edm not in _LITERAL_TYPES.get(kind, set()):
        raise _incompatible(edm, _LITERAL_NAMES[kind], name)
    if edm == "Edm.DateTimeOffset":
        moment = parse_moment(f"{value}T00:00:00Z" if kind == "date" else value)
        if moment is None:
            raise bad_request(f"Unrecognized 'Edm.DateTimeOffset' literal '{value}'.")
        return stamp(moment)
    return value


def _incompatible(first: str | None, second: str | None, name: str) -> Refusal:
    return bad_request(
        f"A binary operator with incompatible types was detected. Found operand types '{first}' and '{second}' for "
        f"operator kind '{COMPARISONS[name]}'."
    )


def _against_constant(get: Getter, name: str, constant: Any, fold: Fold) -> Predicate:
    if constant is None:
        return (lambda row: get(row) is None) if name == "eq" else (lambda row: name == "ne" and get(row) is not None)
    read = get
    if isinstance(constant, str):
        constant, read = fold(constant), _folded(get, fold)
    if name == "eq":
        return lambda row: read(row) == constant
    if name == "ne":
        return lambda row: read(row) != constant
    compare, number = _ORDERINGS[name], isinstance(constant, int | float)

    def test(row: Row) -> bool:
        value = read(row)
        # Columns and constants have one type; members of metadata may have any.
        return value is not None and isinstance(value, int | float) is number and compare(value, constant)

    return test


def _folded(get: Getter, fold: Fold) -> Getter:
    def read(row: Row) -> Any:
        value = get(row)
        return fold(value) if isinstance(value, str) else value

    return read


def _against_other(first: Getter, name: str, second: Getter, fold: Fold) -> Predicate:
    first, second = _folded(first, fold), _folded(second, fold)

    def test(row: Row) -> bool:
        one, other = first(row), second(row)
        if name in ("eq", "ne"):
            return (one == other) is (name == "eq")
        return one is not None and other is not None and _ORDERINGS[name](one, other)

    return test


def _text_test(node: Call, scope: Scope) -> Predicate:
    get, edm = _operand(node.arguments[0], scope)
    part = node.arguments[1]
    if not isinstance(part, Literal) or part.kind != "string" or edm not in (None, "Edm.String"):
        raise bad_request(f"No function signature for the function with name '{node.name}' matches the arguments.")
    fold, name = scope.fold, node.name
    # Trailing blanks of a pattern count, unlike those of a compared value.
    wanted = fold(part.value + "\u0001")[:-1]
    if not set(wanted) & set("%_["):
        tests: dict[str, Callable[[str], bool]] = {
            "contains": lambda text: wanted in text,
            "startswith": lambda text: text.startswith(wanted),
            "endswith": lambda text: text.endswith(wanted),
        }
        matches = tests[name]
    else:
        pattern = like(("" if name == "startswith" else "%") + wanted + ("" if name == "endswith" else "%"))

        def matches(text: str) -> bool:
            return pattern.fullmatch(text) is not None

    def test(row: Row) -> bool:
        value = get(row)
        return value is not None and matches(fold(value))

    return test


def _lambda(node: Lambda, scope: Scope) -> Predicate:
    rows_of, inner = scope.related(node.path.names, node.variable)
    if node.body is None:
        return lambda row: any(True for _ in rows_of(row))
    test = predicate(node.body, inner)
    if node.kind == "any":
        return lambda row: any(test(other) for other in rows_of(row))
    return lambda row: all(test(other) for other in rows_of(row))
