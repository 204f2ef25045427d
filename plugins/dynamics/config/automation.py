"""The automation of a sync action as frozen types: when it runs, which prospects it takes, how far it looks back.

What a condition means is decided in `core.where`, which prospects are due in `store.due`. Source: design part 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter  # type: ignore[import-untyped]
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from dynamics.core import where as rules

Text = Annotated[str, Field(min_length=1, max_length=250)]
ConsentState = Literal["granted", "denied", "withdrawn", "requested", "unknown"]
Period = Literal["day", "week", "month"]
MOST_MISSED = 10_000
PERIODS: dict[Period, str] = {"day": "0 0 * * *", "week": "0 0 * * 1", "month": "0 0 1 * *"}  # as cron, UTC
_SOME_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - cron's own, naive time; a leap year


def _listed(written: Any) -> Any:
    """One value stands for a list of one."""
    if written is None or isinstance(written, dict):
        raise ValueError("should be a value, or a list of values")
    return written if isinstance(written, (list, tuple)) else (written,)


def _plain(written: Any) -> Any:
    values = tuple(_listed(written))
    if not values or not all(isinstance(value, (str, int, float)) for value in values):
        raise ValueError("should be a value, or a list of values: texts, numbers, true or false; dates in quotes")
    return values


Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
States = Annotated[tuple[ConsentState, ...], BeforeValidator(_listed), Field(min_length=1)]
Answers = Annotated[tuple[Any, ...], BeforeValidator(_plain)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Where(_Settings):
    """Which prospects an automation takes: all conditions hold, and of the values of one any one will do."""

    event_id: Texts = ()
    form_id: Texts = ()
    owner_id: Texts = ()
    tags: Texts = ()
    answers: dict[Text, Answers] = {}
    consent: dict[Text, States] = {}

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the conditions that nobody wrote: written down, an empty one is a fault."""
        return {name: value for name, value in dump(self).items() if value}

    def rule(self) -> rules.Where:
        """What `core.where` decides by."""
        return rules.Where(
            event_ids=self.event_id,
            form_ids=self.form_id,
            owner_ids=self.owner_id,
            tags=self.tags,
            answers=self.answers,
            consent={purpose: tuple(states) for purpose, states in self.consent.items()},
        )


class Automation(_Settings):
    """On a schedule of five cron fields, read in `timezone`.

    `since`: prospects that have not changed since then are left to backfills. `overlap_hours`: how late the source may
    bring in a prospect with an earlier time. `source`: the connection of the Captello account. `workers`: tasks that
    share a run's work. `backfill_every`: the intervals of the action's backfill DAG.
    """

    schedule: Text
    timezone: Text = "UTC"
    where: Where = Where()
    since: AwareDatetime | None = None
    overlap_hours: float = Field(7.0, ge=0, le=168)
    source: Text = "captello_default"
    workers: int = Field(2, ge=1, le=16, strict=True)
    backfill_every: Period = "month"

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, text: str) -> str:
        if len(text.split()) != 5:
            raise ValueError('should have five cron fields, such as "*/5 * * * *"')
        try:
            croniter(text, _SOME_DAY).get_next()
        except CroniterError:
            raise ValueError('should be a schedule in cron\'s words that comes round, such as "*/5 * * * *"') from None
        return " ".join(text.split())

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("should be a time zone such as UTC or Europe/Berlin") from None
        return name

    @field_validator("since", mode="before")
    @classmethod
    def _whole_day(cls, written: Any) -> Any:
        """A date means its midnight, and a time without a zone is in UTC."""
        if isinstance(written, datetime):
            return written if written.tzinfo else written.replace(tzinfo=UTC)
        return datetime.combine(written, time(), UTC) if isinstance(written, date) else written

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.overlap_hours)

    def missed(self, since: datetime, now: datetime) -> int:
        """How many runs the schedule asked for between two moments, counted up to `MOST_MISSED`."""
        moments: Iterator[datetime] = croniter(self.schedule, since.astimezone(ZoneInfo(self.timezone))).all_next(
            datetime
        )
        return sum(1 for _ in takewhile(lambda moment: moment <= now, islice(moments, MOST_MISSED)))
