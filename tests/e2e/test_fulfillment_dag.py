"""From a booth to Dynamics: a prospect is captured at the sandbox, whose own signed webhook reaches our route, and the
shipped DAG's worker brings it into the CRM."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.contract.store.samples import rows
from tests.contract.web.posting import prospect, submission
from tests.drills._served_app import served
from tests.drills.watching import wait_for
from tests.drills.world import CONTACT, LEAD, connections

ROOT = Path(__file__).resolve().parents[2]
ACTION = """
account: dynamics_default
mapping: drill
duplicates: {check: leads}
create: lead
triggers: {fulfillment: {events: [evt_1]}}
"""


@pytest.fixture(scope="module")
def airflow_database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def fulfillment_dag(airflow_database: None) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors
    dag = bag.dags["dynamics_fulfillment"]
    dag.get_task("serve").lasts = timedelta(seconds=20)
    return dag


@pytest.fixture
def environment(
    sandbox: SandboxProcess, audit_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    for table, text in (("lead", LEAD), ("contact", CONTACT)):
        (tmp_path / "mappings/drill").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"mappings/drill/{table}.csv").write_text(text)
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions/at-once.yaml").write_text(ACTION.lstrip())
    secret = subscribed(sandbox, None)["secret"]
    given = connections(sandbox, audit_url, captello_extra={"webhook_secret": secret, "account_id": "acc_sandbox"})
    monkeypatch.setenv("DYNAMICS_SYNC_INCLUDE", str(tmp_path))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def capture(sandbox: SandboxProcess, method: str, path: str, body: Any = None) -> Any:
    """A call of the source's API, as a booth's device or its administrator would make it."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"X-Api-Key": sandbox.ready["capture_key"]}
        url = f"{sandbox.ready['capture_url']}/v1/{path}"
        answer = session.request(method, url, json=body, headers=headers, verify=sandbox.ca_bundle, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None


def subscribed(sandbox: SandboxProcess, origin: str | None) -> Any:
    """A subscription to everything. The first one only tells the secret, which all of this sandbox share."""
    url = f"{origin or 'http://127.0.0.1:1'}/dynamics/webhooks/captello_default"
    events = ["prospect.created", "prospect.updated", "submission.created", "webhook.test"]
    made = capture(sandbox, "POST", "webhooks", {"url": url, "events": events})
    if origin is None:
        capture(sandbox, "DELETE", f"webhooks/{made['id']}")
    return made


def test_a_capture_at_the_source_becomes_a_record_by_its_own_webhook(
    fulfillment_dag: Any,
    sandbox: SandboxProcess,
    store: sa.Engine,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="dynamics")
    person = {name: value for name, value in prospect("1").items() if name in ("first_name", "last_name", "email")}
    person["submissions"] = [{**submission("1"), "prospect_id": "pro_00000000"}]
    with served(environment, store) as origin, ThreadPoolExecutor(1) as threads:
        hook = subscribed(sandbox, origin)
        assert json.loads(environment["AIRFLOW_CONN_CAPTELLO_DEFAULT"])["extra"]["webhook_secret"] == hook["secret"]

        def at_the_booth() -> Any:
            wait_for(lambda: "at-once: ready" in caplog.messages, 60)
            capture(sandbox, "POST", f"webhooks/{hook['id']}:test")
            return capture(sandbox, "POST", "prospects", person)

        capturing = threads.submit(at_the_booth)
        assert fulfillment_dag.test().state == "success"  # Airflow wants the main thread
        made = capturing.result(60)
    (lead,) = sandbox.control("GET", "rows?table=lead")
    assert lead["emailaddress1"] == "ines.1@mail.example"
    told = rows(store, "SELECT prospect_id, outcome, trigger FROM sync.audit_outcome ORDER BY settled_at LIMIT 1")
    assert told == [{"prospect_id": made["id"], "outcome": "created", "trigger": "fulfillment"}]
    (run, *others) = rows(store, "SELECT dag_id, dag_run_id, state FROM sync.audit_run ORDER BY started_at")
    assert (run["dag_id"], run["state"]) == ("dynamics_fulfillment", "succeeded")
    assert others == []
    deliveries = capture(sandbox, "GET", f"deliveries?webhook_id={hook['id']}")["data"]
    assert {delivery["status"] for delivery in deliveries} == {"delivered"}
    states = rows(store, "SELECT type, state FROM sync.webhook_delivery ORDER BY type")
    assert [(row["type"], row["state"]) for row in states] == [
        ("prospect.created", "done"),
        ("submission.created", "done"),
        ("webhook.test", "ignored"),
    ]
