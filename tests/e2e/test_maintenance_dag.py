"""The nightly DAG in Airflow: green while nothing would reject prospects, red with every action that needs a person."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.e2e.test_bulk_dag import ROOT, airflow_database, connected

__all__ = ["airflow_database", "connected"]


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
