"""Steps on dates and times. A time keeps the zone it was captured in until the target column decides what it needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from dynamics.core.mapping.coercion import Misfit, read_moment, value_class
from dynamics.core.mapping.transforms.registry import BadArgumentError, Convert, ValueTables, argument_step

_SENTINEL_TIME = datetime(2024, 12, 31, 23, 58, 59, tzinfo=UTC)


@argument_step("date(%d/%m/%Y)", ("04/03/2026", date(2026, 3, 4)))
def day(form: str | None, _: ValueTables) -> Convert:
    """A date of this form (Python's: `%d` day, `%m` month, `%Y` year); without a form, one of ISO 8601. Of a time
    the date where it was captured: an offset it names does not move it to another day."""
    read = _reader(form)

    def convert(value: object, _: str | None) -> object:
        moment = read(value)
        return moment if isinstance(moment, Misfit) else date(moment.year, moment.month, moment.day)

    return convert


@argument_step("datetime(%d.%m.%Y %H:%M)", ("04.03.2026 09:30", datetime(2026, 3, 4, 9, 30)))  # noqa: DTZ001 - names no zone
def moment(form: str | None, _: ValueTables) -> Convert:
    """A date and time of this form; without a form, one of ISO 8601. Where it names no zone it counts as UTC,
    unless `zone` follows."""
    read = _reader(form)
    return lambda value, _: read(value)


@argument_step(
    "zone(Europe/Berlin)",
    ("2026-03-28T23:30:00Z", datetime(2026, 3, 29, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))),
    ("2026-07-01 09:00", datetime(2026, 7, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))),
)
def zone(name: str | None, _: ValueTables) -> Convert:
    """A time in this zone: one that names no zone is meant there, one that does is put there, a date is its midnight
    there. A time that the clocks leave out in spring is taken as if they had not been moved yet; of one that comes
    twice in autumn the first is meant."""
    try:
        there = ZoneInfo(name or "")
    except (KeyError, ValueError, OSError):
        raise BadArgumentError(f"'{name or ''}' is no time zone: write it like zone(Europe/Berlin)") from None

    def convert(value: object, _: str | None) -> object:
        moment = read_moment(value)
        if isinstance(moment, Misfit):
            return moment
        return moment.astimezone(there) if moment.tzinfo else moment.replace(tzinfo=there)

    return convert


def _reader(form: str | None) -> Callable[[object], datetime | Misfit]:
    if form is None:
        return read_moment
    try:
        datetime.strptime(_SENTINEL_TIME.strftime(form), form).replace(tzinfo=UTC)
    except ValueError:
        raise BadArgumentError(f"'{form}' is no date form: write it like %d/%m/%Y") from None

    def read(value: object) -> datetime | Misfit:
        if not isinstance(value, str):
            return read_moment(value)
        try:
            moment = datetime.strptime(value.strip(), form)  # noqa: DTZ007 - the form may hold a zone
        except ValueError:
            return Misfit("not_a_date", value_class(value), f"is no date of the form {form}")
        return read_moment(moment)

    return read
