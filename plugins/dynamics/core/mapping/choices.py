"""Decides which option of a choice column a label means, in any of the organisation's languages.

Numbers that need no label are `coercion`'s. Source: Dataverse page "EnumAttributeMetadata"; a yes/no column's options
are 1 and 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from dynamics.core.mapping.coercion import (
    OPTION_TYPES,
    SEVERAL_OPTIONS,
    Coercer,
    Misfit,
    joined_options,
    text_of,
    value_class,
)
from dynamics.core.mapping.rules import Choice
from dynamics.core.metadata import Column
from dynamics.core.normalize import clean_text

LABELLED_TYPES = OPTION_TYPES | {"Boolean"}
_LINES = re.compile(r"[;\n]")


def takes(column: Column, choice: Choice) -> bool:
    """Whether a column takes what this step gives."""
    return column.type == SEVERAL_OPTIONS if choice is Choice.SEVERAL else column.type in LABELLED_TYPES


def chooser(column: Column, choice: Choice) -> Coercer:
    """How a label or number becomes the value of a choice column: an option's number, true or false, or "1,2"."""
    numbers: dict[str, set[int]] = {}
    for number, label in _said(column):
        numbers.setdefault(_folded(label), set()).add(number)

    def choose(value: object) -> object:
        meant = numbers.get(_folded(text_of(value) or ""), set())
        if len(meant) == 1:
            return next(iter(meant))
        if meant:
            return Misfit("ambiguous_label", value_class(value), "is the label of several options")
        return Misfit("not_an_option", value_class(value), "is none of the column's labels or numbers")

    def choose_flag(value: object) -> object:
        chosen = value if isinstance(value, bool) else choose(value)
        return chosen if isinstance(chosen, Misfit) else bool(chosen)

    def choose_several(value: object) -> object:
        items = value if isinstance(value, list) else list(_parts(text_of(value) or "", numbers))
        return joined_options([choose(item) for item in items])

    if choice is Choice.SEVERAL:
        return choose_several
    return choose_flag if column.type == "Boolean" else choose


def _said(column: Column) -> Iterator[tuple[int, str]]:
    """Every word for every option: its number, its label, and the labels of the other languages."""
    for number, label in column.options.items():
        yield number, str(number)
        yield number, label
        yield from ((number, other) for other in column.labels.get(number, ()))


def _parts(text: str, known: dict[str, set[int]]) -> Iterator[str]:
    """The labels in a text; a comma parts them only where it stands in none."""
    if _folded(text) in known:
        yield text
        return
    for line in _LINES.split(text):
        if _folded(line) in known:
            yield line
        else:
            yield from (part for part in line.split(",") if part.strip())


@lru_cache(4096)  # a choice has few labels
def _folded(label: str) -> str:
    return "".join(clean_text(label)[0].casefold().split())
