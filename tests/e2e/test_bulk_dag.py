"""The shipped DAG in Airflow, on a real PostgreSQL and the sandbox over HTTPS: the sample, twice, and faults."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from sandbox.sample import generate

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = {"seed": 3, "prospects": 400}
WORDS = ("created", "updated", "unchanged", "skipped", "rejected", "deferred")


@pytest.fixture(scope="session")
def airflow_database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def bulk_dag(airflow_database: None) -> Any:
    """Parsed for each test: a test run of a DAG leaves its params in it."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors
    return bag.dags["dynamics_bulk_sync"]


@pytest.fixture
def connected(sandbox: SandboxProcess, audit_url: str, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """Airflow's connections lead to the sandbox and to a fresh audit database."""
    ready = sandbox.ready
    extra = {"tenant_id": ready["tenant_id"], "authority": ready["authority"], "sandbox": True}
    connections = {
        "DYNAMICS_DEFAULT": {
            "conn_type": "dynamics",
            "host": ready["organizations"][0]["url"],
            "login": ready["client_id"],
            "password": ready["client_secret"],
            "extra": {**extra, "ca_bundle": ready["ca_bundle"]},
        },
        "CAPTELLO_DEFAULT": {
            "conn_type": "captello",
            "host": ready["capture_url"],
            "password": ready["capture_key"],
            "extra": {"auth": "api_key", "ca_bundle": ready["ca_bundle"]},
        },
        "DYNAMICS_AUDIT": {"conn_type": "postgres", "extra": {"url": audit_url}},
    }
    for name, connection in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
    return sandbox


@pytest.fixture
def audit(store: sa.Engine) -> Iterator[sa.Connection]:
    with store.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def run(dag: Any, **params: Any) -> str:
    return str(dag.test(run_conf={"action": "booth-leads", "workers": 2} | params).state)


def newest(audit: sa.Connection) -> dict[str, Any]:
    row = audit.execute(sa.text("SELECT * FROM sync.audit_run ORDER BY started_at DESC LIMIT 1")).mappings().one()
    return dict(row)


def test_the_sample_ends_as_it_was_made_to_end_and_a_second_run_changes_nothing(
    bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection
) -> None:
    connected.control("POST", "seed", {"sample": SAMPLE})
    expected = generate(**SAMPLE)
    assert run(bulk_dag, max_rejected_percent=5) == "success"
    told = audit.execute(
        sa.text("SELECT prospect_id, outcome, reason, record_id::text, error_column FROM sync.audit_outcome")
    )
    wrong = {}
    for prospect_id, outcome, reason, record_id, column in told:
        wanted = expected.expected[prospect_id]
        same = (outcome, column) == (wanted.outcome, wanted.error_column)
        same &= wanted.outcome == "rejected" or reason == wanted.reason
        same &= wanted.record_id is None or record_id == wanted.record_id
        if not same:
            wrong[prospect_id] = (wanted.case, outcome, reason)
    assert wrong == {}
    first = newest(audit)
    assert {word: first[word] for word in WORDS} == expected.expected_balance

    events = connected.control("GET", "events")
    assert run(bulk_dag, max_rejected_percent=5) == "success"
    second = newest(audit)
    assert (second["created"], second["updated"]) == (0, 0)
    assert sum(second[word] for word in WORDS) == second["selected"] == len(expected.prospects)
    assert connected.control("GET", "events") == events


def test_no_stranger_is_touched_and_no_record_is_made_twice(
    bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection
) -> None:
    connected.control("POST", "seed", {"sample": SAMPLE})
    sample = generate(**SAMPLE)
    assert run(bulk_dag, max_rejected_percent=5) == "success"
    events = connected.control("GET", "events")
    strangers = {record_id for ids in sample.strangers.values() for record_id in ids}
    assert not [record_id for record_id in events if record_id in strangers and events[record_id]["update"]]
    assert max(Counter(counts["create"] for counts in events.values())) <= 1


def test_a_dry_run_writes_nothing(bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection) -> None:
    connected.control("POST", "seed", {"sample": SAMPLE})
    connected.control("DELETE", "journal")
    assert run(bulk_dag, dry_run=True, max_rejected_percent=5) == "success"
    told = newest(audit)
    assert {word: told[word] for word in WORDS} == generate(**SAMPLE).expected_balance
    assert not [entry for entry in connected.control("GET", "journal") if entry["committed"]]


def test_more_rejected_than_allowed_makes_the_run_red(
    bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection
) -> None:
    connected.control("POST", "seed", {"sample": SAMPLE})
    assert run(bulk_dag, max_rejected_percent=0) == "failed"
    told = newest(audit)
    assert told["state"] == "failed"
    assert sum(told[word] for word in WORDS) == told["selected"]


def test_a_wrong_secret_is_a_red_preflight_and_nobody_is_claimed(
    bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected.control("PUT", "settings", {"applications": {connected.ready["client_id"]: {"secret": "revoked"}}})
    assert run(bulk_dag) == "failed"
    assert audit.execute(sa.text("SELECT count(*) FROM sync.audit_run")).scalar_one() == 0


def test_no_person_and_no_secret_reaches_a_log_or_a_table_but_the_prospects(
    bulk_dag: Any,
    connected: SandboxProcess,
    audit: sa.Connection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG, logger="dynamics")
    canaries = {"first_name": "Qzcanaryfirst", "last_name": "Qzcanarylast", "email": "qzcanary@mail.example"}
    common = {"revision": 1, "status": "active", "updated_at": "2026-03-14T09:00:00Z", **canaries}
    prospects = [
        {"id": "pro_00000001", **common, "job_title": "Refused"},
        {"id": "pro_00000002", **common, "email": "qzcanary2@mail.example", "job_title": "Qzcanarytitle" * 20},
        {"id": "pro_00000003", **common, "email": "qzcanary3@mail.example", "last_name": None},
        {"id": "pro_00000004", **common, "email": "qzcanary4@mail.example", "last_name": "Qzcanaryother"},
    ]
    refusal = {"column": "jobtitle", "value": "Refused", "message": "No Qzcanaryfirst here: 'qzcanary@mail.example'"}
    connected.control("POST", "schema", {"action": "install_plugin", "table": "lead", "event": "create", **refusal})
    file = tmp_path / "prospects.jsonl"
    file.write_text("".join(json.dumps(prospect) + "\n" for prospect in prospects))
    run(bulk_dag, source="file", file=str(file), max_rejected_percent=100)
    told = audit.execute(sa.text("SELECT outcome, count(*) FROM sync.audit_outcome GROUP BY 1")).all()
    assert dict(map(tuple, told)) == {"rejected": 3, "created": 1}
    tables = ("sync_run", "work_item", "attempt", "outcome", "record_link", "person_lock")
    kept = [str(audit.execute(sa.text(f"SELECT x::text FROM sync.{table} x")).all()) for table in tables]
    printed = capfd.readouterr()
    everything = "\n".join([caplog.text, printed.out, printed.err, *kept]).lower()
    secrets = [connected.ready["client_secret"], connected.ready["capture_key"]]
    assert [word for word in ("qzcanary", *secrets) if word.lower() in everything] == []
    assert "bearer" not in everything
    assert "4 selected" in everything  # the log was really read
