"""The nightly DAG in Airflow: green while nothing would reject prospects, red with every action that needs a person."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.e2e.test_bulk_dag import ROOT, airflow_database, audit, bulk_dag, connected, newest, run

__all__ = ["airflow_database", "audit", "bulk_dag", "connected"]


@pytest.fixture
def maintenance_dag(airflow_database: None) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors
    return bag.dags["dynamics_maintenance"]


def test_what_has_changed_is_told_and_red_is_only_what_would_reject(
    maintenance_dag: Any,
    connected: SandboxProcess,
    store: sa.Engine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def night() -> tuple[str, str]:
        caplog.clear()
        capfd.readouterr()
        state = str(maintenance_dag.test().state)
        return state, caplog.text + "".join(capfd.readouterr())

    def schema(**asked: Any) -> None:
        connected.control("POST", "schema", {"table": "lead", **asked})

    caplog.set_level(logging.INFO, logger="dynamics")
    state, log = night()
    assert state == "success"
    assert "booth-leads: nothing is wrong, nothing has changed" in log
    schema(action="set_max_length", column="description", max_length=4000)
    state, log = night()
    assert state == "success"
    assert "booth-leads: changed: lead: description holds 4000 characters instead of 2000" in log
    assert "nothing has changed" in night()[1]
    schema(action="add_column", column="new_badge", required="SystemRequired")
    state, log = night()
    assert state == "failed"
    assert "changed: lead: column new_badge is required now; prospects will be rejected for it" in log
    assert "A new lead needs 'new_badge'; it is not mapped. Add a row for it." in log


def test_a_year_later_the_persons_are_gone_and_the_links_that_lead_nowhere_are_known(
    bulk_dag: Any,
    maintenance_dag: Any,
    connected: SandboxProcess,
    store: sa.Engine,
    audit: sa.Connection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def sync(*people: dict[str, Any]) -> dict[str, Any]:
        file = tmp_path / "people.jsonl"
        file.write_text("".join(json.dumps(person) + "\n" for person in people))
        run(bulk_dag, source="file", file=str(file))
        return newest(audit)

    def edit(action: str, person: str, **asked: Any) -> None:
        connected.control("POST", "edit", {"action": action, "table": "lead", "id": records[person], **asked})

    common = {"revision": 1, "status": "active", "updated_at": "2026-03-14T09:00:00Z"}
    people = [
        {"id": name, **common, "first_name": name, "last_name": "Qzcanary", "email": f"{name}@mail.example"}
        for name in ("kept", "gone", "merged", "restricted")
    ]
    people[3]["privacy"] = {"retain_until": "2999-01-01T00:00:00Z"}
    assert sync(*people)["created"] == 4
    links = sa.text("SELECT prospect_id, record_id::text, state FROM sync.audit_link")
    records = {row.prospect_id: row.record_id for row in audit.execute(links)}
    edit("delete", "gone")
    edit("merge", "merged", master=records["kept"])
    audit.execute(sa.text("UPDATE sync.prospect SET stored_at = now() - interval '366 days'"))
    audit.execute(sa.text("UPDATE sync.sync_run SET finished_at = now() - interval '731 days'"))
    events = connected.control("GET", "events")

    assert str(maintenance_dag.test().state) == "success"
    assert connected.control("GET", "events") == events, "nothing is written or deleted in the CRM"
    assert {row.prospect_id: row.state for row in audit.execute(links)} == {
        "kept": "live",
        "gone": "deleted",
        "merged": "merged",
        "restricted": "live",
    }
    left = {row.prospect_id: row.payload for row in audit.execute(sa.text("SELECT * FROM sync.prospect"))}
    assert [name for name, payload in left.items() if payload] == ["restricted"]
    assert audit.execute(sa.text("SELECT count(*) FROM sync.audit_run")).scalar_one() == 0
    assert "Qzcanary" not in caplog.text

    again = sync(*people)
    assert (again["created"], again["updated"], again["selected"]) == (0, 0, 4)
    told = sa.text("SELECT prospect_id, outcome, reason FROM sync.audit_outcome WHERE run_id = :run_id")
    outcomes = {row[0]: (row[1], row[2]) for row in audit.execute(told, {"run_id": again["run_id"]})}
    assert outcomes["kept"] == ("unchanged", None)
    assert outcomes["gone"] == ("skipped", "record_deleted")


def test_a_prospect_that_is_emptied_between_two_runs_is_skipped_and_never_written_blank(
    bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection, tmp_path: Path
) -> None:
    from dynamics.core.ledger import Outcome
    from dynamics.hooks.service import sync_service
    from dynamics.run_request import retry_of

    file = tmp_path / "people.jsonl"
    person = {"id": "pro_1", "revision": 1, "status": "active", "updated_at": "2026-03-14T09:00:00Z"}
    file.write_text(json.dumps(person | {"first_name": "Ines", "email": "ines@mail.example"}))
    assert run(bulk_dag, source="file", file=str(file)) == "failed"
    with sync_service() as service:
        first = newest(audit)["run_id"]
        audit.execute(sa.text("UPDATE sync.prospect SET retain_until = '2020-01-01'"))
        assert service.ledger.remove_personal_data(0, 10, None).removed == 1
        retry = service.open_run(retry_of(service.ledger.run(first), [Outcome.REJECTED]))
        service.discover(retry.run_id)
        assert service.drain(retry.run_id, "w").outcomes == {Outcome.SKIPPED: 1}
        assert service.conclude(retry.run_id).ok
    reason = sa.text("SELECT reason FROM sync.audit_outcome WHERE run_id = :run_id")
    assert audit.execute(reason, {"run_id": retry.run_id}).scalar_one() == "payload_removed"
