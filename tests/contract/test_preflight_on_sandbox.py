"""Preflight against a live organisation: what is missing is told at once, and nothing is claimed."""

from __future__ import annotations

import pytest

from dynamics.clock import SystemClock
from dynamics.core.mapping import parse_mapping
from dynamics.core.policy import Check, CreateRule, MatchBy, Policy, Several
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.errors import AccessError, ConfigurationError
from dynamics.sync.preflight import preflight
from sandbox.process import SandboxProcess
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger
from tests.unit.sync.test_engine import COLUMNS, HEADER

ROWS = {"lead": ("subject,{first_name} {last_name},,,,,", *COLUMNS), "contact": COLUMNS}
MAPPINGS = {
    table: parse_mapping(table, HEADER + "\n".join(rows) + "\n", f"{table}.csv", {}) for table, rows in ROWS.items()
}
POLICY = Policy(Check.LEADS, MatchBy.EMAIL, Several.UPDATE_MOST_RECENTLY_UPDATED, CreateRule.LEAD)


def check(sandbox: SandboxProcess, users: tuple[str, ...] = ()) -> None:
    ready = sandbox.ready
    account = DataverseAccount(
        environment_url=ready["organizations"][0]["url"],
        tenant_id=ready["tenant_id"],
        client_id=ready["client_id"],
        client_secret=ready["client_secret"],
        authority=ready["authority"],
        sandbox=True,
        ca_bundle=ready["ca_bundle"],
        application_users=users,
    )
    with DataverseClient(account, budget=LocalBudget(), clock=SystemClock()) as client:
        preflight("dynamics_default", POLICY, MAPPINGS, client, FakeLedger(FakeClock()))


def test_what_a_user_may_not_do_is_listed_before_anything_is_claimed(sandbox: SandboxProcess) -> None:
    missing = {
        sandbox.ready["client_id"]: {"missing_privileges": ["prvCreateLead", "prvWriteContact", "prvCreateNote"]}
    }
    sandbox.control("PUT", "settings", {"applications": missing})
    with pytest.raises(ConfigurationError) as told:
        check(sandbox)
    [fault] = told.value.faults
    assert fault.file == "connection dynamics_default"
    assert "lacks prvWriteContact, prvCreateLead." in fault.what
    assert "security role" in fault.remedy


def test_a_further_application_user_that_is_none_is_named(sandbox: SandboxProcess) -> None:
    stranger = "5f0c2f0e-8d0b-4f5c-9d2e-3f1f3a6f0001"
    with pytest.raises(AccessError, match=f"{stranger}: no application user"):
        check(sandbox, users=(stranger,))


def test_with_all_rights_it_passes(sandbox: SandboxProcess) -> None:
    check(sandbox, users=tuple(sandbox.ready["application_users"][1:]))
