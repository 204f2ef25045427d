"""Cases in which the CRM knows the person: the record that must be updated, or must be found equal.

Source: design part 3 (table order, match by, several, which records).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from sandbox.sample.booth import Slot
from sandbox.sample.crm import Table, wire_time
from sandbox.sample.people import Person
from sandbox.sample.stage import Case, Stage

Spelling = Callable[[str], str]


def same(text: str) -> str:
    return text


def blanks_around(text: str) -> str:
    return f"  {text} "


def upper_name(person: Person) -> Person:
    return replace(person, first=person.first.upper(), last=person.last.upper())


def with_initial(person: Person) -> Person:
    return replace(person, first=f"{person.first} J.")


def messy_name(person: Person) -> Person:
    """With its initial, blanks around and within, accents as separate characters: the same name by the rules."""
    apart = unicodedata.normalize("NFD", person.first)
    return replace(person, first=f"  {apart}   J.", last=f"{person.last} ")


def as_it_is(person: Person) -> Person:
    return person


def by_email(
    table: Table, *, written: Spelling = same, stored: Spelling = same, name: str = "", per_2000: int, times: int = 1
) -> Case:
    """The CRM knows the address, `times` over; the newest change wins."""
    label = name or f"email_{table}"

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        person = stage.cast.person()
        record_id = _several(stage, table, replace(person, email=stored(person.email)), times)
        prospect = stage.booth.prospect(person, slots[0], email=written(person.email))
        _updated(stage, prospect, label, table, record_id, "email", times)

    return Case(label, per_2000, 1, play)


def by_name(
    table: Table,
    *,
    name: str,
    per_2000: int,
    times: int = 1,
    stored_email: str | None = None,
    stored: Callable[[Person], Person] = as_it_is,
    written: Callable[[Person], Person] = as_it_is,
    with_email: bool = True,
    countries: tuple[str, ...] = (),
) -> Case:
    """The CRM knows the name and not the prospect's address, if there is one."""

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        person = stage.cast.person(*countries)
        address = stored_email and f"{stage.rng.getrandbits(40):x}@{stored_email}"
        record_id = _several(stage, table, stored(person), times, {"emailaddress1": address})
        prospect = stage.booth.prospect(written(person), slots[0], email=person.email if with_email else None)
        _updated(stage, prospect, name, table, record_id, "name", times)

    return Case(name, per_2000, 1, play)


def email_tie(table: Table, per_2000: int) -> Case:
    """Three records changed in the same second: the smallest id wins. An older fourth with a smaller id does not."""
    name = f"email_tie_{table}"

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        person, crm = stage.cast.person(), stage.crm
        changed = crm.moment()
        times = {"createdon": wire_time(changed - timedelta(days=9)), "modifiedon": wire_time(changed)}
        older = {name: wire_time(changed - timedelta(days=10)) for name in times}
        smallest, *others = sorted(crm.record_id() for _ in range(4))
        crm.known(table, person, {f"{table}id": smallest, **older})
        for record_id in reversed(others):
            crm.known(table, person, {f"{table}id": record_id, **times})
        _updated(stage, stage.booth.prospect(person, slots[0]), name, table, others[0], "email", 4)

    return Case(name, per_2000, 1, play)


def equal(table: Table, per_2000: int) -> Case:
    """The record holds already what the mapping makes of the prospect."""
    name = f"equal_{table}"

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        privacy = {"do_not_phone": stage.rng.random() < 0.3, "processing_restricted": False}
        prospect = stage.booth.prospect(stage.cast.person(), slots[0], plain=True, privacy=privacy)
        record_id = stage.crm.equal(table, prospect)
        facts = {"table": table, "record_id": record_id, "matched_by": "email", "duplicates_found": 1}
        stage.add(prospect, name, "unchanged", **facts)

    return Case(name, per_2000, 1, play)


def _contact_before_lead(stage: Stage, slots: Sequence[Slot]) -> None:
    """Known as both: contacts come first, the lead stays as it is."""
    person = stage.cast.person()
    stage.crm.untouched("lead", person)
    record_id = stage.crm.known("contact", person)
    _updated(stage, stage.booth.prospect(person, slots[0]), "contact_before_lead", "contact", record_id, "email", 1)


def _email_before_name(stage: Stage, slots: Sequence[Slot]) -> None:
    """A lead by e-mail counts for more than a contact by name, although contacts come first."""
    person = stage.cast.person()
    stage.crm.untouched("contact", person, {"emailaddress1": None})
    record_id = stage.crm.known("lead", person, {"firstname": None, "lastname": f"{person.last} (web)"})
    _updated(stage, stage.booth.prospect(person, slots[0]), "email_before_name", "lead", record_id, "email", 1)


def _closed_contact_open_lead(stage: Stage, slots: Sequence[Slot]) -> None:
    """An inactive contact does not count, so the open lead decides."""
    person = stage.cast.person()
    stage.crm.untouched("contact", person, closed=True)
    record_id = stage.crm.known("lead", person)
    prospect = stage.booth.prospect(person, slots[0])
    _updated(stage, prospect, "closed_contact_open_lead", "lead", record_id, "email", 1)


def _one_open_of_three(stage: Stage, slots: Sequence[Slot]) -> None:
    """Closed leads are neither updated nor counted."""
    person = stage.cast.person()
    record_id = stage.crm.known("lead", person)
    for _ in range(2):
        stage.crm.untouched("lead", person, closed=True)
    _updated(stage, stage.booth.prospect(person, slots[0]), "one_open_of_three", "lead", record_id, "email", 1)


def _renamed(stage: Stage, slots: Sequence[Slot]) -> None:
    """The address is the same, the name is not: the address decides."""
    person, renamed = stage.cast.person(), stage.cast.person()
    record_id = stage.crm.known("contact", person)
    prospect = stage.booth.prospect(replace(renamed, email=person.email), slots[0])
    _updated(stage, prospect, "renamed", "contact", record_id, "email", 1)


def _email_only(stage: Stage, slots: Sequence[Slot]) -> None:
    """Nothing but an address: blanks do not overwrite the name the CRM has."""
    person = stage.cast.person()
    record_id = stage.crm.known("contact", person)
    prospect = stage.booth.prospect(person, slots[0], first_name=None, last_name=None)
    _updated(stage, prospect, "email_only_known", "contact", record_id, "email", 1)


def _idn(stage: Stage, slots: Sequence[Slot]) -> None:
    """The domain in its own letters here, in ASCII form there."""
    person = stage.cast.person("DE")
    local = person.email.partition("@")[0]
    domain = f"müller-{stage.rng.getrandbits(32):x}.example"
    record_id = stage.crm.known("lead", replace(person, email=f"{local}@{domain.encode('idna').decode()}"))
    prospect = stage.booth.prospect(replace(person, email=f"{local}@{domain}"), slots[0])
    _updated(stage, prospect, "email_idn", "lead", record_id, "email", 1)


def _several(
    stage: Stage, table: Table, person: Person, times: int, values: dict[str, str | None] | None = None
) -> str:
    """Add the person so many times; returns the record changed last, which was not created last."""
    last = stage.crm.moment()
    found = ""
    for age in range(times):
        changed = last - timedelta(days=age)
        created = changed - timedelta(days=400 - age * 50)
        moments: dict[str, str | None] = {"createdon": wire_time(created), "modifiedon": wire_time(changed)}
        record_id = stage.crm.known(table, person, moments | (values or {}))
        found = found or record_id
    return found


def _updated(
    stage: Stage, prospect: dict[str, object], case: str, table: Table, record_id: str, by: str, times: int
) -> None:
    facts = {"table": table, "record_id": record_id, "matched_by": by, "duplicates_found": times}
    stage.add(prospect, case, "updated", **facts)


MATCHED = (
    by_email("contact", per_2000=80),
    by_email("lead", per_2000=100),
    by_email("contact", name="email_upper_case_in_crm", stored=str.upper, per_2000=20),
    by_email("lead", name="email_upper_case_captured", written=str.upper, per_2000=20),
    by_email("lead", name="email_blanks_around", written=blanks_around, per_2000=12),
    Case("email_idn", 4, 1, _idn),
    by_email("contact", name="several_contacts", times=2, per_2000=20),
    by_email("lead", name="several_leads", times=4, per_2000=20),
    email_tie("lead", 8),
    email_tie("contact", 8),
    by_name("contact", name="name_contact", per_2000=30),
    by_name("lead", name="name_lead", per_2000=40),
    by_name("lead", name="name_no_email_captured", per_2000=25, with_email=False, stored_email="old.example"),
    by_name("contact", name="name_other_email", per_2000=10, stored_email="former.example"),
    by_name("contact", name="several_names", times=3, per_2000=10),
    by_name("lead", name="name_upper_case", per_2000=10, written=upper_name, countries=("GB", "FR", "PL", "GR", "UA")),
    by_name(
        "contact",
        name="name_messy",
        per_2000=10,
        stored=with_initial,
        written=messy_name,
        countries=("FR", "ES", "BR", "KR"),
    ),
    Case("contact_before_lead", 15, 1, _contact_before_lead),
    Case("email_before_name", 10, 1, _email_before_name),
    Case("closed_contact_open_lead", 10, 1, _closed_contact_open_lead),
    Case("one_open_of_three", 8, 1, _one_open_of_three),
    Case("renamed", 8, 1, _renamed),
    Case("email_only_known", 10, 1, _email_only),
    equal("contact", 30),
    equal("lead", 30),
)
