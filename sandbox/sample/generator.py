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
    for case, positions in _programme(rng, prospects):
        case.play(stage, [_slot(show, position, prospects) for position in positions])
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


def _programme(rng: Random, prospects: int) -> Iterator[tuple[Case, list[int]]]:
    """Cases with their places in the listing, `prospects` places in all; those of one case lie anywhere, in order."""
    planted = [case for case in PLANTED for _ in range(_scaled(case.per_2000, prospects))]
    rng.shuffle(planted)
    places = list(range(prospects))
    rng.shuffle(places)
    for case in planted:
        if case.size <= len(places):
            yield case, sorted(places.pop() for _ in range(case.size))
    for place in places:
        yield NEW, [place]


def _scaled(per: int, prospects: int) -> int:
    return max(round(per * prospects / _PER), 1) if prospects else 0


def _add_strangers(stage: Stage, number: int) -> None:
    """People the show never met: open, closed, and without an address."""
    tables: tuple[Table, Table] = ("lead", "contact")
    for index in range(number):
        person = stage.cast.person()
        values = {"emailaddress1": None} if index % 8 == 0 else None
        stage.crm.untouched(tables[index % 2], person, values, closed=index % 7 == 3)
