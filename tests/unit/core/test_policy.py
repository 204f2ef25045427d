"""From matches and a link to a decision."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from dynamics.core.policy import (
    Check,
    Create,
    CreateRule,
    Decision,
    Hold,
    Match,
    MatchBy,
    Policy,
    Several,
    Skip,
    Update,
    decide,
)

A, B, LINKED = UUID(int=1), UUID(int=2), UUID(int=9)
POLICY = Policy(Check.CONTACTS_THEN_LEADS, MatchBy.EMAIL_OR_NAME, Several.UPDATE_MOST_RECENTLY_UPDATED, CreateRule.LEAD)
UNCHECKED = replace(POLICY, check=Check.NONE)
ONE = Match("contact", (A,), "name")
TWO = Match("lead", (B, A), "email")


@pytest.mark.parametrize(
    ("policy", "match", "linked", "decision"),
    [
        (POLICY, None, None, Create("lead")),
        (replace(POLICY, create=CreateRule.CONTACT), None, None, Create("contact")),
        (replace(POLICY, create=CreateRule.NONE), None, None, Skip("no_action")),
        (POLICY, ONE, None, Update("contact", A, "name", 1)),
        (replace(POLICY, create=CreateRule.NONE), ONE, None, Update("contact", A, "name", 1)),
        (POLICY, TWO, None, Update("lead", B, "email", 2)),
        (replace(POLICY, several=Several.HOLD), ONE, None, Update("contact", A, "name", 1)),
        (replace(POLICY, several=Several.HOLD), TWO, None, Hold("several_matches", "lead", B, "email", 2)),
        (replace(POLICY, several=Several.SKIP), ONE, None, Skip("exists", "contact", A, "name", 1)),
        (replace(POLICY, several=Several.SKIP), TWO, None, Skip("exists", "lead", B, "email", 2)),
        (replace(POLICY, several=Several.SKIP), None, None, Create("lead")),
        # a live link names the record before any match
        (POLICY, TWO, ("lead", LINKED), Update("lead", LINKED, "link")),
        (replace(POLICY, several=Several.HOLD), TWO, ("lead", LINKED), Update("lead", LINKED, "link")),
        (replace(POLICY, several=Several.SKIP), None, ("lead", LINKED), Skip("exists", "lead", LINKED, "link")),
        (replace(POLICY, on_resync="create"), None, ("lead", LINKED), Update("lead", LINKED, "link")),
        # nothing is checked
        (UNCHECKED, None, None, Create("lead")),
        (UNCHECKED, ONE, None, Create("lead")),
        (replace(UNCHECKED, create=CreateRule.NONE), None, None, Skip("no_action")),
        (UNCHECKED, None, ("lead", LINKED), Update("lead", LINKED, "link")),
        (replace(UNCHECKED, on_resync="create"), None, ("lead", LINKED), Create("lead")),
    ],
)
def test_decide(policy: Policy, match: Match | None, linked: tuple[str, UUID] | None, decision: Decision) -> None:
    assert decide(policy, match, linked) == decision


def test_tables_are_asked_in_the_order_of_the_name() -> None:
    assert {check.value: check.tables for check in Check} == {
        "none": (),
        "leads": ("lead",),
        "contacts": ("contact",),
        "leads_then_contacts": ("lead", "contact"),
        "contacts_then_leads": ("contact", "lead"),
    }
