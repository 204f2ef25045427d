"""Makes a sample: how often each case is played, in which order, and the strangers around it.

What a case is stands in `cases`. Pure: the same arguments give the same sample, and no clock is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from sandbox.sample.booth import Booth, Slot
from sandbox.sample.cases import NEW, PLANTED
from sandbox.sample.crm import Crm, Table
from sandbox.sample.model import Sample
from sandbox.sample.people import Cast
from sandbox.sample.show import Show, fields, forms, users
from sandbox.sample.stage import Case, Stage

SHOW_ENDS = datetime(2026, 3, 5, 18, tzinfo=UTC)
_PER = 2000  # `Case.per_2000` refers to it
_STRANGERS_PER = 500
# Prospects of one person never stand on both sides of a hundred: whoever works in chunks of whole hundreds, in the
# order of the listing, sees them together.
_TOGETHER = 100


def generate(seed: int = 1, prospects: int = 2000, now: datetime = SHOW_ENDS) -> Sample:
    """Invent a trade show and the CRM it meets.

    Args:
        seed: another seed gives other people.
        prospects: how many, up to 500,000. Every case is planted from some 200 on.
        now: aware; the second event ended on the last day that was over by then.
    Raises:
        ValueError: a negative number, or a time without a zone.
    """
    if prospects < 0:
        raise ValueError(f"prospects: {prospects} is below 0")
    if now.tzinfo is None:
        raise ValueError("now: needs a time zone")
    rng, show = Random(seed), Show(now.astimezone(UTC))  # noqa: S311 - invents people, guards nothing
    crm = Crm(rng, before=show.opening(0))
    stage = Stage(rng, Cast(rng), Booth(rng, show), crm)
    position = 0
    for case in _order(rng, prospects):
        slots = [_slot(show, position + offset, prospects) for offset in range(case.size)]
        case.play(stage, slots)
        position += case.size
    _add_strangers(stage, _scaled(_STRANGERS_PER, prospects))
    for rows in crm.tables.values():
        rng.shuffle(rows)
    return Sample(
        prospects=sorted(stage.prospects, key=lambda p: (p["updated_at"], p["id"])),
        events=show.events(),
        forms=forms(),
        users=users(),
        fields=fields(),
        crm=crm.tables,
        strangers=crm.strangers,
        expected=stage.expected,
    )


def _slot(show: Show, position: int, prospects: int) -> Slot:
    return Slot(*show.moment(position / prospects))


def _order(rng: Random, prospects: int) -> Iterator[Case]:
    """The cases in the order of the listing, `prospects` in all, groups kept within a hundred."""
    planted = [case for case in PLANTED for _ in range(_scaled(case.per_2000, prospects))]
    rng.shuffle(planted)
    room = prospects
    chosen = [case for case in planted if (room := room - case.size) >= 0]
    chosen += [NEW] * (prospects - sum(case.size for case in chosen))
    rng.shuffle(chosen)
    return _kept_together(chosen)


def _kept_together(cases: list[Case]) -> Iterator[Case]:
    """The cases in their order; a group that would cross a hundred lets others go first, while there are others."""
    position = 0
    waiting: list[Case] = []
    for case in cases:
        waiting.append(case)
        while (fits := next((c for c in waiting if position % _TOGETHER + c.size <= _TOGETHER), None)) is not None:
            waiting.remove(fits)
            yield fits
            position += fits.size
    yield from waiting


def _scaled(per: int, prospects: int) -> int:
    return max(round(per * prospects / _PER), 1) if prospects else 0


def _add_strangers(stage: Stage, number: int) -> None:
    """People the show never met: open, closed, and without an address."""
    tables: tuple[Table, Table] = ("lead", "contact")
    for index in range(number):
        person = stage.cast.person()
        values = {"emailaddress1": None} if index % 8 == 0 else None
        stage.crm.untouched(tables[index % 2], person, values, closed=index % 10 == 3)
