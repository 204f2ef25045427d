"""The registry of transforms: how a step is written, what it does, with examples, and how it goes over a column.

The steps themselves stand beside, by what they work on; `page` makes the reference page of the docs of all this. A step
that cannot read a value gives a `Misfit`, never a guess. Blanks pass every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import getdoc
from typing import Any

from dynamics.core.mapping.coercion import Misfit

ValueTables = Mapping[str, Mapping[str, str]]
Convert = Callable[[object, str | None], object]  # value, region of the prospect -> value or Misfit
Build = Callable[[str | None, ValueTables], Convert]
Outputs = Callable[[str | None, ValueTables], tuple[str, ...]]
Example = tuple[object, object]  # what goes in, what comes out

_TEXT_OR_BLANK = frozenset({str, type(None)})


@dataclass(frozen=True)
class Step:
    """One named step, bound to its argument.

    Attributes:
        on_text: what it does to a text, of steps that change nothing but texts.
        outputs: all that can come out, where the step alone decides that.
        argument: as it was written.
    """

    name: str
    convert: Convert
    on_text: Callable[[str], str] | None = None
    outputs: tuple[str, ...] = ()
    argument: str | None = None

    def __str__(self) -> str:
        """As it stands in the table."""
        return self.name if self.argument is None else f"{self.name}({self.argument})"

    def over(self, cells: Sequence[object], regions: Sequence[str | None]) -> list[object]:
        """The column after this step; blanks and misfits pass, a result of nothing is a blank."""
        if cells.count(None) == len(cells):
            return list(cells)
        if self.on_text is not None and _TEXT_OR_BLANK.issuperset(map(type, cells)):
            function: Callable[[Any], str] = self.on_text
            texts = [None if cell is None else function(cell) for cell in cells]
            return [None if text is None or not text or text.isspace() else text for text in texts]
        convert = self.convert
        return [
            cell if cell is None or isinstance(cell, Misfit) else _or_blank(convert(cell, region))
            for cell, region in zip(cells, regions, strict=True)
        ]


class BadArgumentError(ValueError):
    """A step was given an argument it cannot use; the text says what it wants."""


@dataclass(frozen=True)
class Transform:
    """One entry. `usage` is how it is written, its argument included; `doc` ends without a full stop where it is one
    sentence; `examples` hold for the step as it stands in `usage`."""

    name: str
    usage: str
    doc: str
    examples: tuple[Example, ...]
    build: Callable[[str | None, ValueTables], Step]


REGISTRY: dict[str, Transform] = {}


def build_step(name: str, argument: str | None, tables: ValueTables) -> Step:
    """The step of this name.

    Raises:
        KeyError: there is no such step.
        BadArgumentError: the argument is missing, not wanted, or wrong.
    """
    return replace(REGISTRY[name].build(argument, tables), argument=argument)


# ---------------------------------------------------------------- entering steps


def text_step(name: str, *examples: Example) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Enter a function that changes a text; a list's texts too, and nothing else."""

    def enter(function: Callable[[str], str]) -> Callable[[str], str]:
        def convert(value: object, _: str | None) -> object:
            if isinstance(value, str):
                return function(value)
            if isinstance(value, list):
                return [function(item) if isinstance(item, str) else item for item in value]
            return value

        _enter(name, function, examples, lambda argument, _: Step(_bare(name, argument), convert, function))
        return function

    return enter


def value_step(name: str, *examples: Example) -> Callable[[Convert], Convert]:
    """Enter a function of a value and the prospect's country."""

    def enter(function: Convert) -> Convert:
        _enter(name, function, examples, lambda argument, _: Step(_bare(name, argument), function))
        return function

    return enter


def argument_step(usage: str, *examples: Example, outputs: Outputs = lambda *_: ()) -> Callable[[Build], Build]:
    """Enter a function that makes a step of an argument, which may be None."""
    name = usage.partition("(")[0]

    def enter(function: Build) -> Build:
        def build(argument: str | None, tables: ValueTables) -> Step:
            return Step(name, function(argument, tables), outputs=outputs(argument, tables))

        _enter(usage, function, examples, build)
        return function

    return enter


def _enter(usage: str, function: Callable[..., object], examples: tuple[Example, ...], build: Any) -> None:
    name = usage.partition("(")[0]
    REGISTRY[name] = Transform(name, usage, (getdoc(function) or "").strip(), examples, build)


def _bare(name: str, argument: str | None) -> str:
    if argument is not None:
        raise BadArgumentError(f"'{name}' takes no argument")
    return name


def _or_blank(value: object) -> object:
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    return None if value == [] else value
