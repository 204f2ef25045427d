"""Decides what a template says of one prospect, some of whose values may be blank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dynamics.core.mapping.coercion import Misfit, text_of, value_class
from dynamics.core.mapping.rules import Template


def filled(template: Template, values: Sequence[object]) -> str | Misfit | None:
    """The template with its values, each without outer blanks; None when all are blank.

    What stands between two values needs both. Words at the outer ends always stay, punctuation there goes with the
    value it stands next to: `{company.name} ({event.name})` without an event is the company alone.
    """
    texts = []
    for value in values:
        text = "" if value is None else text_of(value)
        if text is None:
            return Misfit("not_text", value_class(value), "cannot be written as text")
        texts.append(text.strip())
    if all(texts):  # as they mostly are
        return template.between % tuple(texts)
    return "".join(_parts(template.literals, texts)) if any(texts) else None


def _parts(literals: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
    if texts[0] or _has_words(literals[0]):
        yield literals[0]
    begun = False
    for number, text in enumerate(texts):
        if text:
            if begun:
                yield literals[number]
            yield text
            begun = True
    if texts[-1] or _has_words(literals[-1]):
        yield literals[-1]


def _has_words(literal: str) -> bool:
    return any(char.isalnum() for char in literal)
