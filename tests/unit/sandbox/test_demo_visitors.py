"""The demo's visitors: the demo promises that each of them becomes a lead."""

from __future__ import annotations

from sandbox.demo.visitors import capture, visitor


def test_nobody_at_the_booth_is_taken_for_somebody_else() -> None:
    people = [visitor() for _ in range(100)] + [capture() for _ in range(100)]

    assert len({(person["first_name"], person["last_name"]) for person in people}) == 200
    assert len({person["email"] for person in people}) == 200
