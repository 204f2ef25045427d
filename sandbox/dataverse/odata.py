"""Reads OData expressions (`$filter`, function arguments) into a syntax tree; what a tree means is decided elsewhere.

Source: OASIS, "OData 4.0 URL Conventions"; Microsoft Learn, "Filter rows using OData" for what Dataverse takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.dataverse.errors import Refusal, bad_request
from sandbox.dataverse.syntax import (
    COMPARISONS,
    NAMESPACE,
    Call,
    Comparison,
    Junction,
    Lambda,
    Literal,
    Node,
    Not,
    Path,
    Special,
)

_TEXT_FUNCTIONS = frozenset({"contains", "startswith", "endswith"})


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<guid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})(?![\w-])
    | (?P<moment>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[zZ]|[+-]\d\d:\d\d)?)
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<enum>[A-Za-z_][\w.]*'(?:[^']|'')*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<alias>@\w+)
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<mark>[(),/:=\[\]$])
    )""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"('(?:[^']|'')*')")
_DECODER = json.JSONDecoder()
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def parse_filter(text: str, aliases: Mapping[str, str]) -> Node:
    """The tree of a `$filter`.

    Args:
        aliases: query options by name, from which `@p1` is filled in.
    Raises:
        Refusal: 400 with the position of the first fault.
    """
    parser = _Parser(text, aliases)
    node = parser.expression()
    parser.end()
    return node


def parse_arguments(text: str, aliases: Mapping[str, str]) -> dict[str, Any]:
    """The arguments `Name=value,...` of a function call, as plain values; an empty text has none."""
    parser = _Parser(text, aliases)
    arguments = parser.named_arguments() if text.strip() else {}
    parser.end()
    return arguments


def argument_value(text: str, aliases: Mapping[str, str]) -> Any:
    """One argument by itself, as an alias holds it: a literal, a list, or an object in single or double quotes."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            return _relaxed_object(text)
    parser = _Parser(text, aliases)
    value = parser.argument()
    parser.end()
    return value


def _relaxed_object(text: str) -> Any:
    """An object whose names and texts stand in single quotes, as Dataverse's own samples write them."""
    parts = (json.dumps(p[1:-1].replace("''", "'")) if p[:1] == "'" else p for p in _QUOTED.split(text))
    try:
        return json.loads("".join(parts))
    except ValueError as fault:
        raise bad_request(f"Syntax error in '{text}'.") from fault


class _Parser:
    """Recursive descent over one text; one token of look-ahead."""

    def __init__(self, text: str, aliases: Mapping[str, str]) -> None:
        self._text = text
        self._aliases = aliases
        self._position = 0
        self._advance()

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            rest = self._text[self._position :].strip()
            if rest.startswith("'"):
                raise bad_request(f"There is an unterminated literal at position {len(self._text)} in '{self._text}'.")
            if rest:
                raise self._fault()
            self._kind, self._word = "end", ""
            return
        self._kind = match.lastgroup or "end"
        self._word = match[self._kind]
        self._start = match.start(self._kind)
        self._position = match.end()

    def _fault(self) -> Refusal:
        return bad_request(f"Syntax error at position {self._position} in '{self._text}'.")

    def _take(self, token: str) -> bool:
        if self._kind in ("name", "mark") and self._word == token:
            self._advance()
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise self._fault()

    def _name(self) -> str:
        if self._kind != "name":
            raise self._fault()
        name = self._word
        self._advance()
        return name

    def end(self) -> None:
        if self._kind != "end":
            raise self._fault()

    def expression(self) -> Node:
        return self._junction("or", lambda: self._junction("and", self._unary))

    def _junction(self, operator: str, term: Callable[[], Node]) -> Node:
        terms = [term()]
        while self._take(operator):
            terms.append(term())
        return terms[0] if len(terms) == 1 else Junction(operator, tuple(terms))

    def _unary(self) -> Node:
        if self._take("not"):
            return Not(self._unary())
        left = self._operand()
        if self._kind == "name" and self._word in COMPARISONS:
            operator = self._word
            self._advance()
            return Comparison(operator, left, self._operand())
        return left

    def _operand(self) -> Node:
        if self._take("("):
            inner = self.expression()
            self._need(")")
            return inner
        if self._kind == "name" and self._word not in _WORDS:
            return self._named()
        if self._kind == "alias":
            return parse_filter(self._alias(), self._aliases)
        return self._literal()

    def _alias(self) -> str:
        value = self._aliases.get(self._word)
        if value is None:
            raise bad_request(f"The value for the parameter alias '{self._word}' was not found.")
        self._advance()
        return value

    def _literal(self) -> Literal:
        kind, token = self._kind, self._word
        if kind not in ("guid", "moment", "date", "number", "string", "enum", "name") or (
            kind == "name" and token not in _WORDS
        ):
            raise self._fault()
        self._advance()
        if kind == "number":
            return Literal(float(token) if set(token) & set(".eE") else int(token), kind)
        if kind in ("string", "enum"):
            return Literal(token[token.index("'") + 1 : -1].replace("''", "'"), kind)
        if kind == "name":
            value = _WORDS[token]
            return Literal(value, "null" if value is None else "boolean")
        return Literal(token.lower() if kind == "guid" else token.upper(), kind)

    def _named(self) -> Node:
        name = self._name()
        if self._kind == "mark" and self._word == "(":
            return self._call(name)
        names = [name]
        while self._take("/"):
            name = self._name() if self._kind == "name" else self._dollar()
            if name in ("any", "all") and self._kind == "mark" and self._word == "(":
                return self._lambda(name, Path(tuple(names)))
            names.append(name)
        return Path(tuple(names))

    def _dollar(self) -> str:
        self._need("$")
        return f"${self._name()}"

    def _call(self, name: str) -> Node:
        self._need("(")
        if name.startswith(NAMESPACE):
            arguments = {} if self._word == ")" and self._kind == "mark" else self.named_arguments()
            self._need(")")
            return Special(name[len(NAMESPACE) :], arguments)
        if name not in _TEXT_FUNCTIONS:
            raise bad_request(
                f"An unknown function with name '{name}' was found. This may also be a function import or a key "
                "lookup on a navigation property, which is not allowed."
            )
        text = self._operand()
        self._need(",")
        part = self._operand()
        self._need(")")
        return Call(name, (text, part))

    def _lambda(self, kind: str, path: Path) -> Lambda:
        self._need("(")
        if self._take(")"):
            return Lambda(kind, path, "", None)
        variable = self._name()
        self._need(":")
        body = self.expression()
        self._need(")")
        return Lambda(kind, path, variable, body)

    def named_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        while True:
            name = self._name()
            self._need("=")
            arguments[name] = self.argument()
            if not self._take(","):
                return arguments

    def argument(self) -> Any:
        if self._kind == "alias":
            return argument_value(self._alias(), self._aliases)
        if self._kind == "mark" and self._word == "[":
            return self._list()
        return self._literal().value

    def _list(self) -> list[Any]:
        try:
            values, self._position = _DECODER.raw_decode(self._text, self._start)
        except ValueError:
            return self._list_of_literals()
        self._advance()
        return list(values)

    def _list_of_literals(self) -> list[Any]:
        self._need("[")
        values = []
        while not self._take("]"):
            values.append(self._literal().value)
            if not self._take(","):
                self._need("]")
                break
        return values
