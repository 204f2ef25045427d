"""The demo's visitors: the demo promises that each of them becomes a lead."""

from __future__ import annotations

from sandbox.demo.visitors import capture, visitor
from sandbox.sample import generate


def test_nobody_at_the_booth_is_taken_for_somebody_else() -> None:
    visitors = [visitor() for _ in range(50)] + [capture() for _ in range(50)]
    names = {(person["first_name"], person["last_name"]) for person in visitors}
    emails = {person["email"] for person in visitors}
    known = {(person.get("first_name"), person.get("last_name")) for person in generate().prospects}

    assert (len(names), len(emails)) == (100, 100)
    assert not names & known
