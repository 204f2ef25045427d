"""Fault rules: what matches, and when a match fires."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from sandbox.server.faults import Call, Fault, FaultPlan

CALL = Call("PATCH", "/api/data/v9.2/leads(1)", "lead", "Upsert", (0, "org-a"), 8444)


def plan(**rule: object) -> FaultPlan:
    faults = FaultPlan()
    faults.replace([Fault.model_validate({"effect": "status", **rule})])
    return faults


@pytest.mark.parametrize(
    ("match", "fires"),
    [
        ({}, True),
        ({"method": "patch"}, True),
        ({"method": "POST"}, False),
        ({"path": r"leads\(\d\)$"}, True),
        ({"path": "contacts"}, False),
        ({"table": "lead", "operation": "Upsert"}, True),
        ({"table": "contact"}, False),
        ({"organization": 0}, True),
        ({"organization": "ORG-A"}, True),
        ({"organization": 1}, False),
        ({"port": 8443}, False),
        ({"inner": True}, False),
    ],
)
def test_match(match: dict[str, object], fires: bool) -> None:
    assert (plan(match=match).fault_for(CALL) is not None) == fires


def test_nth_fires_once() -> None:
    faults = plan(match={"nth": 3})
    assert [faults.fault_for(CALL) is not None for _ in range(5)] == [False, False, True, False, False]


def test_times_are_used_up_and_shown() -> None:
    faults = plan(times=2)
    assert [faults.fault_for(CALL) is not None for _ in range(3)] == [True, True, False]
    (rule,) = faults.describe()
    assert (rule["matched"], rule["fired"], rule["remaining"]) == (3, 2, 0)


def test_chance_repeats_with_its_seed() -> None:
    def draws(seed: int) -> list[bool]:
        faults = plan(match={"probability": 0.2, "seed": seed})
        return [faults.fault_for(CALL) is not None for _ in range(500)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert 60 <= sum(draws(1)) <= 140


def test_the_first_rule_that_fires_wins() -> None:
    faults = FaultPlan()
    faults.replace([Fault(effect="status", status=502, times=1), Fault(effect="status", status=503)])
    found = [faults.fault_for(CALL) for _ in range(2)]
    assert [fault.status for fault in found if fault] == [502, 503]


def test_inner_rules_are_for_parts_only() -> None:
    faults = plan(match={"inner": True})
    assert faults.has_inner
    assert faults.fault_for(replace(CALL, inner=True)) is not None


def test_an_edit_is_of_the_row_the_request_addresses_unless_it_names_one() -> None:
    row = "0f8fad5b-d9cb-469f-a165-70867728950e"
    call = replace(CALL, path=f"/api/data/v9.2/leads({row})")
    edit = Fault(effect="edit", edit={"values": {"fax": "1"}})
    assert edit.edit_of(call) == {"action": "change", "table": "lead", "id": row, "values": {"fax": "1"}}
    elsewhere = Fault(effect="edit", edit={"action": "delete", "table": "contact", "id": "other"})
    assert elsewhere.edit_of(call) == {"action": "delete", "table": "contact", "id": "other"}


@pytest.mark.parametrize(
    "rule",
    [
        {"effect": "explode"},
        {"effect": "status", "tiems": 1},
        {"match": {"path": "("}},
        {"effect": "edit"},
        {"effect": "schema"},
        {"effect": "edit", "schema_change": {}},
        {"effect": "delay", "edit": {"values": {}}},
    ],
)
def test_a_misspelt_rule_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        plan(**rule)
