"""`dynamics-sync map` with a live organisation: its columns, their snapshot, and a drafted mapping."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dynamics.clock import SystemClock
from dynamics.config.columns import STOCK, read_columns, snapshot_text
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from sandbox.process import SandboxProcess
from tests.fixtures.sandbox import WebApiCaller
from tests.unit.core.builders import prospect, submission

INCLUDE = Path(__file__).parents[2] / "include"
OWN = "cap_"  # prefix of the column that the sandbox adds to a stock organisation


@pytest.mark.parametrize("table", ["lead", "contact", "account"])
def test_the_shipped_columns_are_those_of_a_stock_organisation(sandbox: SandboxProcess, table: str) -> None:
    ready = sandbox.ready
    account = DataverseAccount(
        environment_url=ready["organizations"][0]["url"],
        tenant_id=ready["tenant_id"],
        client_id=ready["client_id"],
        client_secret=ready["client_secret"],
        authority=ready["authority"],
        sandbox=True,
        ca_bundle=ready["ca_bundle"],
    )
    with DataverseClient(account, budget=LocalBudget(), clock=SystemClock()) as client:
        live = client.metadata(table)
    stock = replace(live, columns={name: each for name, each in live.columns.items() if not name.startswith(OWN)})
    assert read_columns(INCLUDE, "default", table) == (stock, STOCK / f"{table}.json")
    assert snapshot_text(stock) == (STOCK / f"{table}.json").read_text(encoding="utf-8")


def dynamics_sync(sandbox: SandboxProcess, include: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, with the sandbox's connections in the environment."""
    ready = sandbox.ready
    extra = {"tenant_id": ready["tenant_id"], "authority": ready["authority"], "sandbox": True}
    trusted = {"ca_bundle": ready["ca_bundle"]}
    connections = {
        "DYNAMICS_DEFAULT": {
            "conn_type": "dynamics",
            "host": ready["organizations"][0]["url"],
            "login": ready["client_id"],
            "password": ready["client_secret"],
            "extra": json.dumps(extra | trusted),
        },
        "CAPTELLO_DEFAULT": {
            "conn_type": "captello",
            "host": ready["capture_url"],
            "password": ready["capture_key"],
            "extra": json.dumps({"auth": "api_key"} | trusted),
        },
    }
    variables = {f"AIRFLOW_CONN_{name}": json.dumps(fields) for name, fields in connections.items()}
    environment = (
        os.environ
        | variables
        | {"DYNAMICS_SYNC_INCLUDE": str(include), "NO_PROXY": "localhost,127.0.0.1", "COLUMNS": "200"}
    )
    command = [sys.executable, "-m", "dynamics.cli", "map", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_organisation_s_own_columns_are_kept_with_the_mapping(sandbox: SandboxProcess, tmp_path: Path) -> None:
    folder = tmp_path / "mappings" / "default"
    folder.mkdir(parents=True)
    for table in ("lead", "contact"):
        row = "cap_badgeid,submission.badge.id,trim,,,," if table == "lead" else "lastname,last_name,,,,,"
        required = "\nlastname,last_name,,,,,\nsubject,{full_name},,,,," if table == "lead" else ""
        (folder / f"{table}.csv").write_text(f"target,source,transform,default,write,blank,comment\n{row}{required}\n")
    people = tmp_path / "people.json"
    people.write_text(json.dumps(prospect(first_name="Ines", last_name="Okafor")))
    stock = dynamics_sync(sandbox, tmp_path, "--file", str(people))
    assert stock.returncode == 2
    assert "lead has no column 'cap_badgeid'" in stock.stderr
    assert "If it is your own: dynamics-sync map --mapping default --save-columns --account ID." in stock.stderr
    saved = dynamics_sync(sandbox, tmp_path, "--save-columns", "--account", "dynamics_default")
    assert saved.returncode == 0, saved.stderr
    tried = dynamics_sync(sandbox, tmp_path, "--file", str(people))
    assert tried.returncode == 0, tried.stderr
    assert "Blank in the prospect, so not written: cap_badgeid." in tried.stdout


@pytest.fixture
def organisation(sandbox: SandboxProcess) -> SandboxProcess:
    """With the sample's fields, and columns of its own on contact."""
    sandbox.control("POST", "seed", {"sample": {"seed": 1, "prospects": 20}})
    for name, facts in {
        "new_budget": {"type": "Money"},
        "new_visitedbefore": {"type": "Boolean"},
        "new_shoesize": {"type": "Integer", "required": "ApplicationRequired"},
    }.items():
        sandbox.control("POST", "schema", {"action": "add_column", "table": "contact", "column": name, **facts})
    return sandbox


def test_a_draft_takes_over_what_is_mapped_and_finds_custom_fields(
    organisation: SandboxProcess, tmp_path: Path
) -> None:
    words = ("--suggest", "--account", "dynamics_default", "--table", "contact")
    drafted = dynamics_sync(organisation, INCLUDE, *words)
    assert drafted.returncode == 0, drafted.stderr
    rows = {line.split(",")[0]: line for line in drafted.stdout.splitlines()}
    assert rows["emailaddress1"].startswith("emailaddress1,email,trim|lower,,always,,sure (100)")
    assert rows["new_budget"].startswith("new_budget,custom.budget,,,always,,sure (")
    assert rows["new_visitedbefore"].startswith("new_visitedbefore,custom.visited_before,bool,,always,,")
    assert "# new_shoesize is required and nothing of the source fits: write a row for it." in drafted.stdout
    # It is a mapping as it stands, but for what it says is missing.
    folder = tmp_path / "mappings" / "default"
    folder.mkdir(parents=True)
    (folder / "contact.csv").write_text(f"{drafted.stdout}new_shoesize,=43,,,,,\n")
    (folder / "lead.csv").write_text((INCLUDE / "mappings" / "default" / "lead.csv").read_text())
    values = INCLUDE / "mappings" / "default" / "values"
    (folder / "values").mkdir()
    for table in values.glob("*.csv"):
        (folder / "values" / table.name).write_text(table.read_text())
    people = tmp_path / "people.jsonl"
    ines = prospect(first_name="Ines", last_name="Okafor", custom_fields={"visited_before": True})
    people.write_text(json.dumps(ines))
    tried = dynamics_sync(
        organisation, tmp_path, "--table", "contact", "--account", "dynamics_default", "--file", str(people)
    )
    assert tried.returncode == 0, tried.stderr
    assert "new_visitedbefore" in tried.stdout


def test_a_lookup_is_shown_in_words_without_an_organisation_and_looked_up_with_one(
    sandbox: SandboxProcess, crm: WebApiCaller, tmp_path: Path
) -> None:
    header = "target,source,transform,default,write,blank,comment\nlastname,last_name,,,,,\n"
    folder = tmp_path / "mappings" / "default"
    folder.mkdir(parents=True)
    (folder / "contact.csv").write_text(header)
    (folder / "lead.csv").write_text(
        f"{header}subject,{{full_name}},,,,,\ncampaignid,event.code,lookup(campaign.codename),,,,\n"
    )
    found, missing = (scanned(tmp_path / f"{code}.json", code) for code in ("FLOW25", "NONE"))
    campaign = crm.create("campaigns", name="Flow Expo", codename="FLOW25")
    alone = dynamics_sync(sandbox, tmp_path, "--file", found)
    assert "campaign where codename = FLOW25" in " ".join(alone.stdout.split())
    live = ("--account", "dynamics_default", "--file")
    assert f"campaign({campaign})" in "".join(dynamics_sync(sandbox, tmp_path, *live, found).stdout.split())
    told = dynamics_sync(sandbox, tmp_path, *live, missing)
    assert told.returncode == 1
    assert "Rejected: campaignid: text of 4 characters is not found in campaign.codename" in told.stdout


def scanned(path: Path, code: str) -> str:
    """A file with one prospect, captured at the event of this code."""
    event = {"id": "evt_1", "name": "Flow Expo", "code": code}
    path.write_text(json.dumps(prospect(first_name="Ines", last_name="Okafor", submissions=[submission(event=event)])))
    return str(path)
