"""The named steps of a mapping table's `transform` column: what each does to a value that is no blank.

Leaves lengths, types and `truncate` to the target column. A step that cannot read a value gives a `Misfit`, never a
guess; text steps work on each item of a list and leave numbers alone. Source: design part 4.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser

from dynamics.core.countries import country_name
from dynamics.core.mapping.coercion import Misfit, text_of, to_bool, to_moment, value_class
from dynamics.core.normalize import phone

ValueTables = Mapping[str, Mapping[str, str]]
Convert = Callable[[object, str | None], object]  # value, region of the prospect -> value or Misfit
EVERYTHING_ELSE = "*"  # in a value table's `from`

_SENTINEL_TIME = datetime(2024, 12, 31, 23, 58, 59, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """One named step, bound to its argument. `outputs`: all that can come out, where the step alone decides that."""

    name: str
    convert: Convert
    outputs: tuple[str, ...] = ()

    def over(self, cells: Sequence[object], regions: Sequence[str | None]) -> list[object]:
        """The column after this step; blanks and misfits pass, a result of nothing is a blank."""
        convert = self.convert
        return [
            cell if cell is None or isinstance(cell, Misfit) else _or_blank(convert(cell, region))
            for cell, region in zip(cells, regions, strict=True)
        ]


class BadArgumentError(ValueError):
    """A step was given an argument it cannot use; the text says what it wants."""


def build_step(name: str, argument: str | None, tables: ValueTables) -> Step:
    """The step of this name.

    Raises:
        KeyError: there is no such step.
        BadArgumentError: the argument is missing, not wanted, or wrong.
    """
    if name in _PLAIN:
        if argument is not None:
            raise BadArgumentError(f"'{name}' takes no argument")
        return Step(name, _PLAIN[name])
    convert = _WITH_ARGUMENT[name](argument, tables)
    return Step(name, convert, tuple(tables[argument].values()) if name == "map" and argument else ())


# ---------------------------------------------------------------- text


def _on_text(function: Callable[[str], str]) -> Convert:
    def convert(value: object, _: str | None) -> object:
        if isinstance(value, str):
            return function(value)
        if isinstance(value, list):
            return [function(item) if isinstance(item, str) else item for item in value]
        return value

    return convert


_SHOUTED_OR_WHISPERED = re.compile(r"[^\W\d_]{2,}")


def _title(text: str) -> str:
    """Capitals at word starts, when the text has one case only: `McDonald` and `van Dyck` know better than we do."""
    if text not in (text.upper(), text.lower()):
        return text
    return _SHOUTED_OR_WHISPERED.sub(lambda word: word[0].capitalize(), text)


class _TextOnly(HTMLParser):
    """Collects what a reader would see; a line for each block."""

    blocks = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "ul", "ol", "table"})
    hidden = frozenset({"script", "style"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.muted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.muted += tag in self.hidden
        if tag in self.blocks:
            self.seen.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden and self.muted:
            self.muted -= 1
        if tag in self.blocks:
            self.seen.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.muted:
            self.seen.append(data)


def _strip_html(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    parser = _TextOnly()
    parser.feed(text)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.seen).split("\n"))
    return "\n".join(line for line in lines if line)


# ---------------------------------------------------------------- other plain steps


def _phone(value: object, region: str | None) -> object:
    text = text_of(value)
    return value if text is None else phone(text, region)


def _text(value: object, _: str | None) -> object:
    text = text_of(value)
    return Misfit("not_text", value_class(value), "cannot be written as text") if text is None else text


def _first(value: object, _: str | None) -> object:
    return value[0] if isinstance(value, list) and value else value


def _bool(value: object, _: str | None) -> object:
    return to_bool(value)


def _only_true(value: object, _: str | None) -> object:
    """A wish that is given is passed on, its absence is not: what stands in the CRM stays."""
    wished = to_bool(value)
    return None if wished is False else wished


_PLAIN: dict[str, Convert] = {
    "trim": _on_text(str.strip),
    "lower": _on_text(str.lower),
    "upper": _on_text(str.upper),
    "title": _on_text(_title),
    "strip_html": _on_text(_strip_html),
    "country": _on_text(country_name),
    "text": _text,
    "phone": _phone,
    "first": _first,
    "bool": _bool,
    "only_true": _only_true,
}


# ---------------------------------------------------------------- steps with an argument


def _join(separator: str | None, _: ValueTables) -> Convert:
    glue = "; " if separator is None else separator.replace("\\n", "\n")

    def convert(value: object, _: str | None) -> object:
        if not isinstance(value, list):
            return value
        texts = [text_of(item) for item in value]
        if None in texts:
            return Misfit("not_text", value_class(value), "holds what cannot be written as text")
        return glue.join(text for text in texts if text)

    return convert


def _map(name: str | None, tables: ValueTables) -> Convert:
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


def _date(form: str | None, _: ValueTables) -> Convert:
    read = _moment_reader(form)

    def convert(value: object, _: str | None) -> object:
        moment = read(value)
        return moment if isinstance(moment, Misfit) else date(moment.year, moment.month, moment.day)

    return convert


def _datetime(form: str | None, _: ValueTables) -> Convert:
    read = _moment_reader(form)
    return lambda value, _: read(value)


def _moment_reader(form: str | None) -> Callable[[object], datetime | Misfit]:
    if form is None:
        return to_moment
    try:
        datetime.strptime(_SENTINEL_TIME.strftime(form), form).replace(tzinfo=UTC)
    except ValueError:
        raise BadArgumentError(f"'{form}' is no date form: write it like %d/%m/%Y") from None

    def read(value: object) -> datetime | Misfit:
        if not isinstance(value, str):
            return to_moment(value)
        try:
            moment = datetime.strptime(value.strip(), form)  # noqa: DTZ007 - the form may hold a zone
        except ValueError:
            return Misfit("not_a_date", value_class(value), f"is no date of the form {form}")
        return to_moment(moment)

    return read


_SEPARATORS = {"en": (".", ","), "ch": (".", "'’")} | dict.fromkeys(
    ("de", "at", "es", "fr", "it", "nl", "pt", "pl", "cs", "da", "fi", "nb", "sv", "ru", "tr", "el", "hu", "ro", "uk"),
    (",", ".'’"),
)


def _number(locale: str | None, _: ValueTables) -> Convert:
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


_WITH_ARGUMENT: dict[str, Callable[[str | None, ValueTables], Convert]] = {
    "join": _join,
    "map": _map,
    "date": _date,
    "datetime": _datetime,
    "number": _number,
}

TRUNCATE = "truncate"  # done by the target column, which alone knows its length
LOOKUP = "lookup"  # done by whoever holds the answers of the CRM
STEP_NAMES = (*_PLAIN, *_WITH_ARGUMENT, TRUNCATE)


def _or_blank(value: object) -> object:
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    return None if value == [] else value
