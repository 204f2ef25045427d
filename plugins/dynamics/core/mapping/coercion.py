"""Decides what a value becomes in a Dataverse column of a given type, or why it does not fit.

Leaves shortening and choosing to `transforms`. Nothing is invented on the way: no text is cut, no number guessed.
Source: Dataverse pages "Column types", "AttributeMetadata" and "Behavior and format of the date and time column".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from dynamics.core.lookup import parse_lookup
from dynamics.core.metadata import Column, DateBehavior
from dynamics.core.normalize import utf16_length

TEXT_TYPES = frozenset({"String", "Memo"})
NUMBER_TYPES = frozenset({"Decimal", "Double", "Money"})
OPTION_TYPES = frozenset({"Picklist", "State", "Status"})
SEVERAL_OPTIONS = "MultiSelectPicklist"  # travels as text: 1,2
LIST_SEPARATOR = "; "
YEARS = range(1753, 9999)  # that Dataverse stores, whatever the time zone
MAX_DIGITS = 40  # of a number written as text; beyond any column's range
MAX_NUMBER = Decimal(10) ** 15  # beyond the range of money, the widest type

_TEXT_OR_BLANK = frozenset({str, type(None)})
_TRUE = frozenset({"true", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "no", "n", "0", "off"})
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Misfit:
    """A value that cannot be written (now). Says what kind of value it was and what is wrong, never the value."""

    rule: str
    value_class: str
    problem: str
    passing: bool = False  # a later run may find it fitting: the prospect waits

    def __str__(self) -> str:
        return f"{self.value_class} {self.problem}"


Coercer = Callable[[object], object]


def coercer(column: Column) -> Coercer | None:
    """How a value that is no blank becomes one of this column: a JSON value, or a Misfit. None: type not supported."""
    if column.type in TEXT_TYPES:
        return _text_coercer(column)
    if column.type in NUMBER_TYPES:
        return _number_coercer(column)
    if column.type == "Integer":
        return _whole_coercer(column)
    if column.type in OPTION_TYPES:
        return _option_coercer(column)
    if column.is_lookup:
        return _reference_coercer(column)
    if column.type == SEVERAL_OPTIONS:
        return _options_coercer(column)
    if column.type == "DateTime":
        return _MOMENTS[column.behavior]
    return {"Boolean": to_bool, "Uniqueidentifier": _unique_id}.get(column.type)


def fits_as_it_is(column: Column, cells: Sequence[object]) -> bool:
    """Whether all of a text column are blanks and texts that need no second look: so most are, and at once."""
    if column.type not in TEXT_TYPES or not _TEXT_OR_BLANK.issuperset(map(type, cells)):
        return False
    longest = max(map(len, filter(None, cells)), default=0)  # type: ignore[arg-type]
    return column.max_length is None or 2 * longest <= column.max_length


def value_class(value: object) -> str:
    """What kind of value it is, in words that tell nothing about a person."""
    if isinstance(value, str):
        return f"text of {utf16_length(value)} characters"
    if isinstance(value, bool):
        return "a yes/no value"
    if isinstance(value, (int, float, Decimal)):
        return "a number"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "a date" if isinstance(value, date) else "a structured value"


def text_of(value: object) -> str | None:
    """A value as people write it; None for a structured value, which has no one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value if (whole := _integral(value)) is None else whole)
    if isinstance(value, list):
        texts = [text_of(item) for item in value]
        return None if None in texts else LIST_SEPARATOR.join(text for text in texts if text)
    if isinstance(value, datetime):
        return _utc_text(value)
    return value.isoformat() if isinstance(value, date) else None


def to_bool(value: object) -> object:
    """True or False from yes/no, true/false, on/off, 1/0; else a Misfit."""
    if isinstance(value, bool):
        return value
    word = (text_of(value) or "").strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    return Misfit("not_a_boolean", value_class(value), "is neither yes nor no")


def to_moment(value: object) -> datetime | Misfit:
    """As `read_moment`, aware: what says no zone counts as UTC."""
    moment = read_moment(value)
    return moment if isinstance(moment, Misfit) or moment.tzinfo else moment.replace(tzinfo=UTC)


def read_moment(value: object) -> datetime | Misfit:
    """A date and time in the zone it was captured in, from a date, a time or ISO 8601 text; a lone date's midnight.

    Naive when it says no zone. Nothing is moved here, so that a date stays the date that people saw.
    """
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    elif isinstance(value, date) and not isinstance(value, datetime):
        moment = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a date has no zone
    if not isinstance(moment, datetime):
        return Misfit("not_a_date", value_class(value), "is no date or time in ISO form")
    if moment.year not in YEARS:
        return Misfit("out_of_range", "a date", f"is not between {YEARS.start} and {YEARS.stop - 1}")
    return moment


def rounded(number: Decimal, precision: int | None) -> Decimal:
    """A number as a column of this precision stores it."""
    if precision is None:
        return number
    return number.quantize(Decimal(1).scaleb(-precision), rounding=ROUND_HALF_UP)


# ---------------------------------------------------------------- one per kind of column


def _text_coercer(column: Column) -> Coercer:
    limit = column.max_length

    def fit(value: object) -> object:
        text = value if isinstance(value, str) else text_of(value)
        if text is None:
            return Misfit("not_text", value_class(value), "cannot be written as text")
        # Twice the code points bound the UTF-16 length: most texts need no second look.
        if limit is not None and 2 * len(text) > limit and utf16_length(text) > limit:
            return Misfit("too_long", value_class(text), f"does not fit into {limit}")
        return text

    return fit


def _whole_coercer(column: Column) -> Coercer:
    outside = _range_of(column)

    def fit(value: object) -> object:
        number = _whole(value)
        if number is None:
            return Misfit("not_a_whole_number", value_class(value), "is no whole number")
        return outside(number) or number

    return fit


def _option_coercer(column: Column) -> Coercer:
    def fit(value: object) -> object:
        number = _whole(value)
        if number is None or number not in column.options:
            return Misfit("not_an_option", value_class(value), "is none of the column's option values")
        return number

    return fit


def _reference_coercer(column: Column) -> Coercer:
    def fit(value: object) -> object:
        try:
            table, _ = parse_lookup(value if isinstance(value, str) else "")
        except ValueError:
            return Misfit("not_a_reference", value_class(value), "names no record")
        if table not in column.navigation:
            return Misfit("not_a_reference", value_class(value), f"names a record of {table}")
        return value

    return fit


def _options_coercer(column: Column) -> Coercer:
    one = _option_coercer(column)

    def fit(value: object) -> object:
        items = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
        return joined_options([one(item) for item in items])

    return fit


def joined_options(numbers: list[object]) -> object:
    """Options as they travel, each once, in order of their numbers; the first misfit instead where there is one."""
    misfit = next((number for number in numbers if isinstance(number, Misfit)), None)
    return misfit or ",".join(str(number) for number in sorted({int(str(number)) for number in numbers}))


def _number_coercer(column: Column) -> Coercer:
    outside = _range_of(column)

    def fit(value: object) -> object:
        number = _decimal(value)
        if number is None:
            return Misfit("not_a_number", value_class(value), "is no number")
        # Range first: rounding needs as many digits as the number has.
        return outside(number) or float(rounded(number, column.precision))

    return fit


def _date_and_time(value: object) -> object:
    moment = to_moment(value)
    return moment if isinstance(moment, Misfit) else _utc_text(moment)


def _date_only(value: object) -> object:
    """The date where it was captured: an offset does not move it to another day."""
    moment = read_moment(value)
    return moment if isinstance(moment, Misfit) else moment.date().isoformat()


def _wall_clock(value: object) -> object:
    """The time that people saw on the wall where it was captured; the Z it travels with means nothing."""
    moment = read_moment(value)
    return moment if isinstance(moment, Misfit) else _utc_text(moment.replace(tzinfo=UTC))


def _unique_id(value: object) -> object:
    try:
        return str(UUID(str(value).strip()))
    except ValueError:
        return Misfit("not_an_id", value_class(value), "is no GUID")


_MOMENTS: dict[DateBehavior, Coercer] = {
    DateBehavior.USER_LOCAL: _date_and_time,
    DateBehavior.DATE_ONLY: _date_only,
    DateBehavior.ZONELESS: _wall_clock,
}


# ---------------------------------------------------------------- pieces


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if len(text) <= MAX_DIGITS and _WHOLE.fullmatch(text) else None
    return _integral(value) if isinstance(value, (int, float, Decimal)) else None


def _integral(value: int | float | Decimal) -> int | None:
    """The whole number this is, if it is one; infinities are none."""
    if isinstance(value, int):  # of any length: no float could tell
        return value
    return int(value) if math.isfinite(value) and value == int(value) else None


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, str):
        text = value.strip()
        return Decimal(text) if len(text) <= MAX_DIGITS and _NUMBER.fullmatch(text) else None
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return Decimal(str(value))
    return None


def _range_of(column: Column) -> Callable[[int | Decimal], Misfit | None]:
    low = -MAX_NUMBER if column.minimum is None else Decimal(str(column.minimum))
    high = MAX_NUMBER if column.maximum is None else Decimal(str(column.maximum))
    outside = Misfit("out_of_range", "a number", f"is not between {low:f} and {high:f}")
    return lambda number: None if low <= number <= high else outside


def _utc_text(moment: datetime) -> str:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"
