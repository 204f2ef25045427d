"""Preflight against a live organisation: everything that is wrong is told in one round, and what has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics.errors import AccessError
from sandbox.process import SandboxProcess
from tests.contract.preflighting import ACTION_NAME, service, write_include
from tests.drills.people import prospects
from tests.drills.world import ACTION, LEAD
from tests.fixtures.postgres import audit_url, postgres, store

__all__ = ["audit_url", "postgres", "store"]


def schema(sandbox: SandboxProcess, action: str, **asked: Any) -> None:
    sandbox.control("POST", "schema", {"action": action, "table": "lead"} | asked)


def test_what_a_user_may_not_do_is_listed(sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path) -> None:
    missing = {
        sandbox.ready["client_id"]: {"missing_privileges": ["prvCreateLead", "prvWriteContact", "prvCreateNote"]}
    }
    sandbox.control("PUT", "settings", {"applications": missing})
    with service(sandbox, store, write_include(tmp_path)) as here:
        [fault] = here.check(ACTION_NAME, {}).faults
    assert fault.file == "connection dynamics_default"
    assert "lacks prvWriteContact, prvCreateLead." in fault.what
    assert "security role" in fault.remedy


def test_a_further_application_user_that_is_none_is_named(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    stranger = "5f0c2f0e-8d0b-4f5c-9d2e-3f1f3a6f0001"
    with (
        service(sandbox, store, write_include(tmp_path), application_users=[stranger]) as here,
        pytest.raises(AccessError, match=f"{stranger}: no application user"),
    ):
        here.check(ACTION_NAME, {}).passed()


def test_with_all_rights_it_passes(sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path) -> None:
    users = sandbox.ready["application_users"][1:]
    with service(sandbox, store, write_include(tmp_path), application_users=users) as here:
        findings = here.check(ACTION_NAME, {})
    assert (findings.faults, findings.error, findings.changes) == ([], None, [])


def test_faults_of_action_mapping_account_and_organisation_are_told_in_one_round(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    files = {
        "actions/drill.yaml": ACTION.lstrip().replace("email,", "mail,"),
        "mappings/drill/lead.csv": LEAD + "fax,fone,,,,,\njobtitel,job_title,,,,,\nnowhere,fone,,,,,\n",
        "mappings/drill/contact.csv": "target;source\n",
    }
    with service(sandbox, store, write_include(tmp_path, files)) as here:
        told = sorted({fault.where for fault in here.check(ACTION_NAME, {}).faults})
        assert told == [
            "include/actions/drill.yaml:3",
            "include/mappings/drill/contact.csv:1",
            "include/mappings/drill/lead.csv:10",
            "include/mappings/drill/lead.csv:11",
            "include/mappings/drill/lead.csv:12",
        ]
        nowhere = [fault.what for fault in here.check(ACTION_NAME, {}).faults if fault.line == 12]
        assert nowhere == ["'fone' is no path of a prospect. Nearest: form.name.", "lead has no column 'nowhere'."]


def test_an_account_that_lets_nobody_in_does_not_hide_the_faults_of_the_files(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    sandbox.control("PUT", "settings", {"applications": {sandbox.ready["client_id"]: {"user": "disabled"}}})
    include = write_include(tmp_path, {"mappings/drill/lead.csv": LEAD + "fax,fone,,,,,\n"})
    with service(sandbox, store, include) as here:
        findings = here.check(ACTION_NAME, {})
        assert [fault.line for fault in findings.faults] == [10]
        assert isinstance(findings.error, AccessError)
        with pytest.raises(Exception, match=r"Not all could be looked at.*disabled") as told:
            findings.passed()
    assert "lead.csv:10" in str(told.value)


def test_what_has_changed_since_the_last_check_is_told_and_what_rejects_is_told_again(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    lead = LEAD + "leadsourcecode,custom.source,,,,,\n"
    with service(sandbox, store, write_include(tmp_path, {"mappings/drill/lead.csv": lead})) as here:
        assert here.check(ACTION_NAME, {}).changes == []
        schema(sandbox, "rename_option", column="leadsourcecode", value=4, label="Alliance")
        schema(sandbox, "set_max_length", column="jobtitle", max_length=40)
        renamed = "lead: option *Partner* of leadsourcecode was renamed to *Alliance*"
        shorter = "lead: jobtitle holds 40 characters instead of 100"
        assert [str(change) for change in here.check(ACTION_NAME, {}).changes] == [shorter, renamed]
        assert [str(change) for change in here.check(ACTION_NAME, {}).rejecting] == [shorter]
        assert [str(change) for change in here.check(ACTION_NAME, {}, accept=True).changes] == [shorter]
        assert here.check(ACTION_NAME, {}).changes == []


def test_a_forecast_tells_how_many_would_be_rejected_and_why_and_writes_nothing(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    people = prospects(10)
    people[0]["job_title"] = people[1]["job_title"] = "x" * 200
    people[2]["last_name"] = None
    people[3]["status"] = "on_hold"
    for person in people:
        person["notes"] = [{"text": "y" * 3000}] if person is people[4] else []
    sandbox.control("POST", "seed", {"prospects": people})
    with service(sandbox, store, write_include(tmp_path)) as here:
        findings = here.check(ACTION_NAME, {})
        sandbox.control("DELETE", "journal")
        contact, lead = here.forecast(findings, 500, None)
        assert [entry for entry in sandbox.control("GET", "journal") if entry["method"] != "GET"] == []
    assert (lead.table, lead.creates, lead.prospects, lead.rejected) == ("lead", True, 9, 3)
    assert [(c.column, c.rule, c.prospects) for c in lead.rejections] == [
        ("jobtitle", "too_long", 2),
        ("lastname", "required", 1),
    ]
    assert (contact.table, contact.creates, contact.rejected) == ("contact", False, 2)
