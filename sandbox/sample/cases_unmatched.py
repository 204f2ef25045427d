"""Cases in which the CRM knows nobody: a lead is created, or the prospect is skipped, deferred or rejected.

Near misses belong here: records that look alike and are somebody else by the rules (accents, curly quotes, plus tags,
closed records). They must stay untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sandbox.sample.booth import Slot, with_alias_country
from sandbox.sample.crm import Table
from sandbox.sample.people import folded
from sandbox.sample.stage import Case, Stage

Json = dict[str, Any]


def _new(stage: Stage, slots: Sequence[Slot]) -> None:
    """Somebody new, with all the mess there is."""
    rng, person = stage.rng, stage.cast.person()
    if rng.random() < 0.01:
        person = replace(person, first=f"{person.first} 🌟")
    roll = rng.random()
    email: str | None = person.email
    if roll < 0.05:
        email = person.email.title()
    elif roll < 0.09:
        email = person.email.replace("@", "+flow@")
    elif roll < 0.15:
        email = None
    prospect = stage.booth.prospect(person, slots[0], email=email)
    _created(stage, with_alias_country(prospect) if rng.random() < 0.1 else prospect, "new")


def _scanned_often(stage: Stage, slots: Sequence[Slot]) -> None:
    """One prospect with several complete captures."""
    prospect = stage.booth.prospect(stage.cast.person(), slots[0])
    for number in range(stage.rng.randint(1, 3)):
        earlier = slots[0].updated_at - timedelta(minutes=30 * (number + 1))
        prospect["submissions"].append(stage.booth.submission(prospect["id"], earlier, slots[0].event))
    _created(stage, _created_with_first_capture(prospect), "scanned_often")


def _held_after_complete(stage: Stage, slots: Sequence[Slot]) -> None:
    """The newest capture waits, an older one is complete: that is enough."""
    prospect = stage.booth.prospect(stage.cast.person(), slots[0])
    later = slots[0].updated_at - timedelta(seconds=2)
    held = stage.booth.submission(prospect["id"], later, slots[0].event, state="on_hold")
    prospect["submissions"].append(held)
    _created(stage, prospect, "held_after_complete")


def _accents_differ(stage: Stage, slots: Sequence[Slot]) -> None:
    """José is not Jose."""
    person = stage.cast.person("ES", "BR", "FR")
    while folded(person.first) == person.first.casefold():
        person = stage.cast.person("ES", "BR", "FR")
    stage.crm.untouched("contact", replace(person, first=folded(person.first).title()), {"emailaddress1": None})
    _created(stage, stage.booth.prospect(person, slots[0]), "accents_differ")


def _quote_differs(stage: Stage, slots: Sequence[Slot]) -> None:
    """O'Brien with a typewriter's apostrophe is not O’Brien with a printer's."""
    person = stage.cast.person("IE", "IT", "FR")
    while "'" not in person.last:
        person = stage.cast.person("IE", "IT", "FR")
    stage.crm.untouched("lead", replace(person, last=person.last.replace("'", "’")), {"emailaddress1": None})
    _created(stage, stage.booth.prospect(person, slots[0]), "quote_differs")


def _plus_differs(stage: Stage, slots: Sequence[Slot]) -> None:
    """A plus tag is another mailbox."""
    person, other = stage.cast.person(), stage.cast.person()
    stage.crm.untouched("contact", replace(other, email=person.email))
    _created(stage, stage.booth.prospect(person, slots[0], email=person.email.replace("@", "+show@")), "plus_differs")


def _half_a_name(stage: Stage, slots: Sequence[Slot]) -> None:
    """The CRM has the same last name and no first name: a lone last name matches nobody."""
    person = stage.cast.person()
    stage.crm.untouched("lead", person, {"firstname": None, "emailaddress1": None})
    _created(stage, stage.booth.prospect(person, slots[0]), "half_a_name")


def _closed(table: Table, per_2000: int) -> Case:
    """Known by e-mail in a closed record only."""
    name = f"closed_{table}"

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        person = stage.cast.person()
        stage.crm.untouched(table, person, closed=True)
        _created(stage, stage.booth.prospect(person, slots[0]), name)

    return Case(name, per_2000, 1, play)


def _turned_away(name: str, outcome: str, per_2000: int, arrange: Callable[[Json], None]) -> Case:
    """Never synced in its present state; the CRM may know the person, and must not change for it."""

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        person = stage.cast.person()
        if stage.rng.random() < 0.5:
            stage.crm.untouched(stage.rng.choice(("lead", "contact")), person)
        prospect = stage.booth.prospect(person, slots[0])
        arrange(prospect)
        stage.add(prospect, name, outcome, reason=name)

    return Case(name, per_2000, 1, play)


def _restricted(prospect: Json) -> None:
    prospect["privacy"] = {"processing_restricted": True, "region_rule": "gdpr"}


def _recycled(prospect: Json) -> None:
    prospect["status"] = "recycled"


def _waiting(state: str) -> Callable[[Json], None]:
    def arrange(prospect: Json) -> None:
        submission = prospect["submissions"][0]
        submission |= {"state": state, "hold_reason": state.replace("_", " ")}
        if state == "on_hold":
            prospect["status"] = "on_hold"

    return arrange


def _rejected(column: str, change: Callable[[Json], Json], per_2000: int = 2) -> Case:
    """Too long for the column it is mapped to, or missing where Dynamics wants it."""
    name = f"rejected_{column}"

    def play(stage: Stage, slots: Sequence[Slot]) -> None:
        prospect = stage.booth.prospect(stage.cast.person(), slots[0])
        values = {key: value for key, value in (prospect | change(prospect)).items() if value is not None}
        stage.add(values, name, "rejected", table="lead", error_column=column)

    return Case(name, per_2000, 1, play)


def _part(group: str, name: str, value: str) -> Callable[[Json], Json]:
    return lambda prospect: {group: prospect[group] | {name: value}}


def _address(name: str, value: str) -> Callable[[Json], Json]:
    return lambda prospect: {"addresses": [prospect["addresses"][0] | {name: value}]}


def _created_with_first_capture(prospect: Json) -> Json:
    captured = min(submission["captured_at"] for submission in prospect["submissions"])
    return {**prospect, "created_at": captured}


def _created(stage: Stage, prospect: Json, case: str) -> None:
    stage.add(prospect, case, "created", table="lead")


NEW = Case("new", 0, 1, _new)

UNMATCHED = (
    Case("scanned_often", 60, 1, _scanned_often),
    Case("held_after_complete", 10, 1, _held_after_complete),
    Case("accents_differ", 10, 1, _accents_differ),
    Case("quote_differs", 5, 1, _quote_differs),
    Case("plus_differs", 5, 1, _plus_differs),
    Case("half_a_name", 5, 1, _half_a_name),
    _closed("lead", 25),
    _closed("contact", 15),
    _turned_away("processing_restricted", "skipped", 15, _restricted),
    _turned_away("recycled", "skipped", 12, _recycled),
    _turned_away("on_hold", "deferred", 12, _waiting("on_hold")),
    _turned_away("awaiting_transcription", "deferred", 10, _waiting("awaiting_transcription")),
    _turned_away("awaiting_reconciliation", "deferred", 8, _waiting("awaiting_reconciliation")),
    _rejected("jobtitle", lambda _: {"job_title": "Deputy Vice President of Valves and Everything Near Them, " * 2}),
    _rejected("firstname", lambda p: {"first_name": "-".join([p["first_name"]] * 12)[:70].ljust(70, "a")}),
    _rejected("companyname", _part("company", "name", "Gesellschaft für Ventile, Pumpen und Dichtungen " * 3)),
    _rejected("mobilephone", lambda _: {"phones": [{"raw": "ask Kim at reception 2", "kind": "mobile"}]}),
    _rejected("address1_postalcode", _address("postal_code", "see the back of the card")),
    _rejected(
        "address1_stateorprovince", _address("region", "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch")
    ),
    _rejected("emailaddress1", lambda p: {"email": f"{'very.' * 18}{p['email']}"}),
    # A lead needs a last name, and nobody invents one.
    _rejected("lastname", lambda _: {"first_name": None, "last_name": None}, per_2000=8),
)
