"""Preflight against a live organisation: everything that is wrong is told in one round, and what has changed since."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from rich.console import Console
from typer.testing import CliRunner, Result

from dynamics import cli
from dynamics.errors import AccessError, ConfigurationError, Fault
from dynamics.reporting import change_lines, print_faults
from dynamics.run_request import RunRequest
from sandbox.process import SandboxProcess
from tests.contract.preflighting import ACTION_NAME, environment, service, write_include
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


def test_a_worker_does_not_mind_the_mapping_of_a_table_that_is_only_looked_up_in(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    files = {
        "mappings/drill/lead.csv": LEAD + """parentaccountid,company.name,"lookup(account.name, blank)",,,,\n""",
        "mappings/drill/account.csv": "target,source\nnowhere,company.name\n",
    }
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(person) + "\n" for person in prospects(3)))
    with service(sandbox, store, write_include(tmp_path, files)) as here:
        request = RunRequest(action=ACTION_NAME, trigger="bulk", overrides={}, source="file", file=str(file))
        run = here.open_run(request)
        here.discover(run.run_id)
        here.drain(run.run_id, "worker")
        assert here.conclude(run.run_id).counts.created == 3


# ---------------------------------------------------------------- a tenant that has drifted from the standard

DRIFTED = (
    LEAD
    + "industrycode,custom.industry,map(industry),,,,\n"
    + "leadsourcecode,=4,,,,,\n"
    + "new_sponsorid,company.name,lookup(account.name),,,,\n"
    + "new_sponserid,company.name,lookup(account.name),,,,\n"
)
INDUSTRIES = "from,to\nBanking,16\nLaw,21\n*,38\n"


def test_a_drifted_tenant_gives_a_right_and_readable_list(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path
) -> None:
    files = {"mappings/drill/lead.csv": DRIFTED, "mappings/drill/values/industry.csv": INDUSTRIES}
    schema(sandbox, "tenant_drift")
    lead = "include/mappings/drill/lead.csv"
    takes = (
        "It takes 34 Aerospace, 35 Automotive, 36 Chemicals, 37 Energy, 38 Finance, 39 Healthcare, 40 Logistics, "
        "41 Machinery, 42 Public Sector, 43 Retail."
    )
    wrong = "does not go into 'industrycode': text of 2 characters is none of the column's option values."
    with (
        service(sandbox, store, write_include(tmp_path, files)) as here,
        pytest.raises(ConfigurationError) as told,
    ):
        here.check(ACTION_NAME, {}).passed()
    assert [str(fault) for fault in told.value.faults] == [
        f"{lead}: A new lead needs 'new_region'; it is not mapped. Add a row for it.",
        f"{lead}:10: The value table's '16' {wrong} {takes}",
        f"{lead}:10: The value table's '21' {wrong} {takes}",
        f"{lead}:13: lead has no column 'new_sponserid'. Did you mean 'new_sponsorid'?",
    ]
    assert [fault.column for fault in told.value.faults] == [
        "new_region",
        "industrycode",
        "industrycode",
        "new_sponserid",
    ]


def test_what_makes_a_tenant_drift_is_told_in_words(sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path) -> None:
    lead = LEAD.replace("{first_name} {last_name},", "{first_name} {last_name},truncate") + "leadsourcecode,=4,,,,,\n"
    with service(sandbox, store, write_include(tmp_path, {"mappings/drill/lead.csv": lead})) as here:
        here.check(ACTION_NAME, {})
        schema(sandbox, "tenant_drift")
        assert list(change_lines(here.check(ACTION_NAME, {}))) == [
            "lead: column description is required now; prospects will be rejected for it. "
            "include/mappings/drill/lead.csv:9: Give it a default.",
            "lead: column new_region is required now; prospects will be rejected for it. "
            "include/mappings/drill/lead.csv: Add a row for it.",
            "lead: subject holds 50 characters instead of 300",
            "lead: firstname holds 450 characters instead of 50",
            "lead: column lastname is not required any more",
            "lead: description holds 4151 characters instead of 2000",
            "lead: option *Webinar* of leadsourcecode is new",
            "lead: option *Partner Portal* of leadsourcecode is new",
            "lead: option *Partner Event* of leadsourcecode is new",
        ]


# ---------------------------------------------------------------- on a terminal


def check_command(
    sandbox: SandboxProcess, audit_url: str, include: Path, monkeypatch: pytest.MonkeyPatch, *words: str
) -> Result:
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(
        "AIRFLOW_CONN_DYNAMICS_AUDIT", json.dumps({"conn_type": "postgres", "extra": {"url": audit_url}})
    )
    monkeypatch.setenv("DYNAMICS_SYNC_INCLUDE", str(include))
    return CliRunner().invoke(cli.app, ["check", "--action", ACTION_NAME, *words])


def test_the_command_tells_a_forecast_and_exits_by_it(
    sandbox: SandboxProcess, audit_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = prospects(20)
    people[0]["job_title"] = "x" * 200
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(person) + "\n" for person in people))
    include = write_include(tmp_path)
    plain = check_command(sandbox, audit_url, include, monkeypatch)
    assert (plain.exit_code, "prospects" in plain.output) == (0, False)
    told = check_command(sandbox, audit_url, include, monkeypatch, "--file", str(file))
    assert told.exit_code == 1
    assert "20 prospects as new leads: 1 would be rejected, 0 written with a warning" in told.output
    assert "1 rejected: jobtitle: too_long" in told.output
    assert "xxx" not in told.output
    few = check_command(sandbox, audit_url, include, monkeypatch, "--file", str(file), "--sample", "5")
    assert "5 prospects as new leads" in few.output


def test_the_command_lists_faults_and_exits_with_2(
    sandbox: SandboxProcess, audit_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    include = write_include(tmp_path, {"mappings/drill/lead.csv": LEAD + "jobtitel,job_title,,,,,\n"})
    told = check_command(sandbox, audit_url, include, monkeypatch)
    assert told.exit_code == 2
    assert "include/mappings/drill/lead.csv:10: lead has no column 'jobtitel'. Did you mean 'jobtitle'?" in told.output


def test_faults_on_a_terminal_are_a_table() -> None:
    faults = [Fault("lead.csv", 10, "lead has no column 'jobtitel'.", "Did you mean 'jobtitle'?", "jobtitel")]
    console = Console(force_terminal=True, width=120, color_system=None, record=True, file=io.StringIO())
    print_faults(faults, console)
    lines = console.export_text().splitlines()
    assert [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in (lines[2], lines[4])] == [
        ["where", "column", "what is wrong", "what to do"],
        ["lead.csv:10", "jobtitel", "lead has no column 'jobtitel'.", "Did you mean 'jobtitle'?"],
    ]
