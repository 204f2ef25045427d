"""Cases in which several prospects of one run are one person: the oldest capture leads, the others join it.

The members lie anywhere in the listing, half of the groups not in the order of their captures: somebody edited the
oldest one last. Source: design part 3, two of one person in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.sample.booth import Slot
from sandbox.sample.crm import Table
from sandbox.sample.people import Person
from sandbox.sample.show import instant
from sandbox.sample.stage import Case, Stage

Json = dict[str, Any]
# How a person appears in each of several prospects; None for the e-mail leaves it out.
Guises = Callable[[Stage, Person], Sequence[tuple[Person, str | None]]]


def _joined(name: str, per_2000: int, size: int, guises: Guises, known_in: Table | None = None) -> Case:
    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        person = stage.cast.person()
        facts: Json = {"table": "lead"}
        if known_in is not None:
            record_id = stage.crm.known(known_in, person)
            facts = {"table": known_in, "record_id": record_id, "matched_by": "email", "duplicates_found": 1}
        members = [
            stage.booth.prospect(guise, slot, email=email)
            for slot, (guise, email) in zip(slots, guises(stage, person), strict=True)
        ]
        if stage.rng.random() < 0.5:
            members.reverse()
        first, *others = _captured_in_order(members, slots[0].updated_at)
        leader = stage.add(first, name, "created" if known_in is None else "updated", **facts)
        for member in others:
            stage.add(member, name, "unchanged", reason="joined", leader=leader, **facts)

    return Case(name, per_2000, size, play)


def _captured_in_order(members: Sequence[Json], before: datetime) -> list[Json]:
    """The members with their only captures moved ten minutes apart, the first one's first."""
    return [
        _captured(member, before - timedelta(minutes=10 * (len(members) - order)))
        for order, member in enumerate(members)
    ]


def _captured(prospect: Json, moment: datetime) -> Json:
    captured = {"captured_at": instant(moment), "received_at": instant(moment)}
    (submission,) = prospect["submissions"]
    return prospect | {"created_at": instant(moment), "submissions": [submission | captured]}


def _other_spellings(_: Stage, person: Person) -> list[tuple[Person, str | None]]:
    """A second form made a second prospect, with the address in capitals."""
    return [(person, person.email), (person, person.email.upper())]


def _three_spellings(_: Stage, person: Person) -> list[tuple[Person, str | None]]:
    return [(person, f" {person.email}"), (person, person.email.upper()), (person, person.email)]


def _names_alone(_: Stage, person: Person) -> list[tuple[Person, str | None]]:
    return [(person, None), (replace(person, last=f"{person.last} "), None)]


def _name_and_address(_: Stage, person: Person) -> list[tuple[Person, str | None]]:
    return [(person, None), (person, person.email)]


def _two_addresses(stage: Stage, person: Person) -> list[tuple[Person, str | None]]:
    """Work and private address. Under `email_or_name` equal names are one person: a documented choice."""
    return [(person, person.email), (person, f"{stage.rng.getrandbits(40):x}@home.example")]


def _chain(_: Stage, person: Person) -> list[tuple[Person, str | None]]:
    """Two share the address, the third only the name."""
    return [(person, person.email.upper()), (person, None), (person, person.email)]


JOINED = (
    _joined("pair_by_email", 25, 2, _other_spellings),
    _joined("three_by_email", 5, 3, _three_spellings),
    _joined("pair_known_contact", 5, 2, _other_spellings, "contact"),
    _joined("pair_known_lead", 5, 2, _other_spellings, "lead"),
    _joined("pair_by_name", 6, 2, _names_alone),
    _joined("pair_name_and_email", 4, 2, _name_and_address),
    _joined("pair_two_emails", 3, 2, _two_addresses),
    _joined("chain", 2, 3, _chain),
)
