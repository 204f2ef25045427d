"""Steps that read yes and no, numbers, and words that mean something else in Dynamics."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from dynamics.core.mapping.coercion import Misfit, text_of, to_bool, value_class
from dynamics.core.mapping.transforms.registry import (
    BadArgumentError,
    Convert,
    ValueTables,
    argument_step,
    value_step,
)

EVERYTHING_ELSE = "*"  # in a value table's `from`


@argument_step("bool(ja, nein)", ("Ja", True), ("nein", False), ("yes", True), (0, False))
def boolean(words: str | None, _: ValueTables) -> Convert:
    """True from true, yes, y, on and 1, false from false, no, n, off and 0, whatever the case; with two words of your
    own these too. Anything else does not fit."""
    if words is None:
        return lambda value, _: to_bool(value)
    own = [word.strip().casefold() for word in words.split(",")]
    if len(own) != 2 or not all(own) or own[0] == own[1]:
        raise BadArgumentError("'bool' takes a word for yes and one for no: bool(ja, nein)")

    def convert(value: object, _: str | None) -> object:
        word = value.strip().casefold() if isinstance(value, str) else None
        return word == own[0] if word in own else to_bool(value)

    return convert


@value_step("only_true", (True, True), ("no", None))
def only_true(value: object, _: str | None) -> object:
    """As `bool`, but false is a blank: a wish that is given is passed on, its absence is not, and what stands in the
    CRM stays."""
    wished = to_bool(value)
    return None if wished is False else wished


def _all_of_table(name: str | None, tables: ValueTables) -> tuple[str, ...]:
    return tuple(tables[name or ""].values())


@argument_step("map(industry)", outputs=_all_of_table)
def mapped(name: str | None, tables: ValueTables) -> Convert:
    """What a value table says: `map(industry)` reads `values/industry.csv` (`from,to`). Case and outer blanks do not
    count; `*` in `from` is everything else, an empty `to` a blank. What is not in the table does not fit. Each item of
    a list is looked up."""
    if not name:
        raise BadArgumentError("'map' needs the name of a value table: map(industry) reads values/industry.csv")
    if name not in tables:
        raise BadArgumentError(f"there is no value table '{name}': write values/{name}.csv with from,to")
    exact = dict(tables[name])
    folded = {key.strip().casefold(): to for key, to in exact.items()}

    def look_up(value: object) -> object:
        text = text_of(value)
        if text is not None:
            found = exact.get(text, folded.get(text.strip().casefold(), exact.get(EVERYTHING_ELSE)))
            if found is not None:
                return found
        return Misfit("not_in_value_table", value_class(value), f"is not in the value table '{name}'")

    def convert(value: object, _: str | None) -> object:
        if not isinstance(value, list):
            return look_up(value)
        found = [look_up(item) for item in value]
        return next((item for item in found if isinstance(item, Misfit)), found)

    return convert


_SEPARATORS = {"en": (".", ","), "ch": (".", "'’")} | dict.fromkeys(
    ("de", "at", "es", "fr", "it", "nl", "pt", "pl", "cs", "da", "fi", "nb", "sv", "ru", "tr", "el", "hu", "ro", "uk"),
    (",", ".'’"),
)


@argument_step("number(de)", ("1.234,50 €", Decimal("1234.50")), ("1 234", Decimal(1234)), (7, 7))
def number(locale: str | None, _: ValueTables) -> Convert:
    """A number as people of a country write it, currency signs left out. Without a country a point parts the decimals.
    Thousands are parted in threes or not at all: `1.5` is no German number, and does not fit."""
    if locale is not None and locale not in _SEPARATORS:
        raise BadArgumentError(f"'{locale}' is no number form: one of {', '.join(sorted(_SEPARATORS))}")
    point, groups = _SEPARATORS[locale or "en"]
    # Blanks of any kind may part thousands in every form.
    gap = rf"[{re.escape(groups)}\s]"
    form = re.compile(rf"([+-]?)([0-9]+|[0-9]{{1,3}}(?:{gap}[0-9]{{3}})+)(?:{re.escape(point)}([0-9]+))?", re.UNICODE)

    def convert(value: object, _: str | None) -> object:
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            return value
        text = "".join(char for char in text_of(value) or "" if unicodedata.category(char) != "Sc").strip()
        read = form.fullmatch(text)
        if read is None:
            return Misfit("not_a_number", value_class(value), "is no number in the form asked for")
        sign, whole, part = read.groups()
        return Decimal(f"{sign}{re.sub(gap, '', whole)}.{part or 0}")

    return convert
