"""Answers `GET <set>?sql=SELECT ...` over one table: columns, TOP, WHERE, ORDER BY.

Source: the requests of Microsoft's Dataverse SDK for Python; conditions mean what FetchXML's do.
"""

from __future__ import annotations

import re

from sandbox.dataverse.answers import json_answer
from sandbox.dataverse.errors import Refusal, bad_request
from sandbox.dataverse.fetchxml import condition
from sandbox.dataverse.projection import Projection
from sandbox.dataverse.query import MOST_ROWS, meeting, order_keys, sort_rows
from sandbox.dataverse.schema import Column, Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.syntax import Junction, Node, Not
from sandbox.dataverse.wire import Response

_SELECT = re.compile(
    r"\s*SELECT\s+(?:TOP\s+\(?(?P<top>\d+)\)?\s+)?(?P<columns>[\w\s,.\[\]]+?)\s+FROM\s+(?P<table>\w+)"
    r"(?:\s+(?:AS\s+)?(?!WHERE\b|ORDER\b)(?P<alias>\w+))?"
    r"(?:\s+WHERE\s+(?P<where>.+?))?(?:\s+ORDER\s+BY\s+(?P<order>[\w\s,.\[\]]+?))?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(r"\s*(?:N?'((?:[^']|'')*)'|(<>|!=|<=|>=|[=<>(),])|([\w.\[\]-]+))")
_OPERATORS = {"=": "eq", "<>": "ne", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def select(session: Session, table: Table, text: str) -> Response:
    """Answer one SELECT; whatever goes beyond one table is refused."""
    match = _SELECT.fullmatch(text)
    if match is None or match["table"].lower() != table.name:
        raise Refusal(501, "0x80041100", "The sandbox answers SELECT ... FROM one table [WHERE ...] [ORDER BY ...].")
    found = meeting(session, table, _Where(table, match["where"]).tree() if match["where"] else None)
    order = ",".join(_ordered(table, part) for part in match["order"].split(",")) if match["order"] else None
    found = sort_rows(found, order_keys(session, table, order), table.primary_id)
    names = ",".join(_property(table, name) for name in match["columns"].split(","))
    project = Projection(session, table, names)
    page = found[: min(int(match["top"] or MOST_ROWS), MOST_ROWS)]
    body = {"@odata.context": project.context, "value": [project(row) for row in page]}
    return json_answer(body, table=table.name, rows=len(page), operation="RetrieveMultiple")


def _find(table: Table, name: str) -> Column:
    plain = name.strip().strip("[]").rpartition(".")[2].strip("[]").lower()
    column = table.columns.get(plain) or table.properties.get(plain)
    if column is None or column.property_name is None:
        raise bad_request(f"Invalid column name '{name.strip()}'.", "0x80041103")
    return column


def _property(table: Table, name: str) -> str:
    column = _find(table, name)
    return column.property_name or column.name


def _ordered(table: Table, part: str) -> str:
    name, _, direction = part.strip().partition(" ")
    return f"{_property(table, name)} {direction.strip().lower() or 'asc'}"


class _Where:
    """Recursive descent over a WHERE clause."""

    def __init__(self, table: Table, text: str) -> None:
        self._table = table
        self._words: list[tuple[str, bool]] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise bad_request(f"Incorrect syntax near '{text[position:].strip()}'.")
            quoted = match[1] is not None
            self._words.append((match[1].replace("''", "'") if quoted else match[2] or match[3], quoted))
            position = match.end()
        self._next = 0

    def tree(self) -> Node:
        node = self._any()
        if self._next < len(self._words):
            raise self._fault()
        return node

    def _fault(self) -> Refusal:
        near = self._words[min(self._next, len(self._words) - 1)][0]
        return bad_request(f"Incorrect syntax near '{near}'.")

    def _take(self, *words: str) -> bool:
        span = self._words[self._next : self._next + len(words)]
        if [word.upper() for word, quoted in span if not quoted] == list(words):
            self._next += len(words)
            return True
        return False

    def _value(self) -> str:
        if self._next >= len(self._words):
            raise self._fault()
        self._next += 1
        return self._words[self._next - 1][0]

    def _any(self) -> Node:
        terms = [self._all()]
        while self._take("OR"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else Junction("or", tuple(terms))

    def _all(self) -> Node:
        terms = [self._one()]
        while self._take("AND"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else Junction("and", tuple(terms))

    def _one(self) -> Node:
        if self._take("NOT"):
            return Not(self._one())
        if self._take("("):
            inner = self._any()
            if not self._take(")"):
                raise self._fault()
            return inner
        column = _find(self._table, self._value())
        if self._take("IS", "NOT", "NULL"):
            return condition(column, "not-null", None, [])
        if self._take("IS", "NULL"):
            return condition(column, "null", None, [])
        negated = self._take("NOT")
        if self._take("IN"):
            node = condition(column, "in", None, self._list())
        elif self._take("LIKE"):
            node = condition(column, "like", self._value(), [])
        elif self._take("BETWEEN"):
            low = self._value()
            if not self._take("AND"):
                raise self._fault()
            node = condition(column, "between", None, [low, self._value()])
        else:
            operator = _OPERATORS.get(self._value())
            if operator is None:
                raise self._fault()
            node = condition(column, operator, self._value(), [])
        return Not(node) if negated else node

    def _list(self) -> list[str]:
        if not self._take("("):
            raise self._fault()
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        if not self._take(")"):
            raise self._fault()
        return values
