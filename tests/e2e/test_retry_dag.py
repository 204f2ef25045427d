"""The retry DAG in Airflow: what a run rejected is tried again with today's mapping, from the ledger alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.e2e.test_bulk_dag import ROOT, airflow_database, audit, bulk_dag, connected, newest, run

__all__ = ["airflow_database", "audit", "bulk_dag", "connected"]

COMMON = {"revision": 1, "status": "active", "updated_at": "2026-03-14T09:00:00Z", "first_name": "Ines"}
PEOPLE = [
    {"id": "pro_00000001", **COMMON, "last_name": "Okafor", "email": "ines@mail.example"},
    {"id": "pro_00000002", **COMMON, "last_name": None, "email": "nameless@mail.example"},
    {"id": "pro_00000003", **COMMON, "last_name": None, "email": "nameless2@mail.example"},
]


@pytest.fixture
def retry_dag(airflow_database: None) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors
    return bag.dags["dynamics_retry"]


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of include/ to change."""
    copy = tmp_path / "include"
    shutil.copytree(ROOT / "include", copy)
    monkeypatch.setenv("DYNAMICS_SYNC_INCLUDE", str(copy))
    return copy


def retry(dag: Any, of_run: object, **params: Any) -> str:
    """A test run of a DAG leaves its params in it, so each is given."""
    return str(dag.test(run_conf={"sync_run_id": str(of_run), "workers": 2, "dry_run": False} | params).state)


def test_what_was_rejected_is_written_once_the_mapping_is_right(
    bulk_dag: Any, retry_dag: Any, connected: SandboxProcess, audit: sa.Connection, include: Path, tmp_path: Path
) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(person) + "\n" for person in PEOPLE))
    assert run(bulk_dag, source="file", file=str(file)) == "failed"
    first = newest(audit)
    assert (first["created"], first["rejected"]) == (1, 2)
    file.unlink()

    assert retry(retry_dag, first["run_id"]) == "failed", "nothing was corrected yet"
    second = newest(audit)
    assert (second["trigger"], second["selected"], second["rejected"]) == ("retry", 2, 2)

    table = include / "mappings" / "default" / "lead.csv"
    rows = table.read_text().splitlines()
    (row,) = [line for line in rows if line.startswith("lastname,")]
    cells = row.split(",")
    cells[3] = "(unknown)"
    table.write_text("\n".join(",".join(cells) if line == row else line for line in rows) + "\n")
    before = connected.control("GET", "events")
    assert retry(retry_dag, second["run_id"], dry_run=True) == "success"
    assert connected.control("GET", "events") == before
    assert retry(retry_dag, second["run_id"]) == "success"
    third = newest(audit)
    assert (third["dry_run"], third["selected"], third["created"]) == (False, 2, 2)

    assert retry(retry_dag, third["run_id"]) == "success", "nothing to do is nothing bad"
    assert newest(audit)["selected"] == 0
    assert retry(retry_dag, first["run_id"]) == "success", "settled by another run meanwhile"
    assert newest(audit)["unchanged"] == 2
    events = connected.control("GET", "events")
    assert [counts["create"] for counts in events.values()] == [1, 1, 1], events


@pytest.mark.parametrize("run_id", ["0c7b6e1e-8a52-4b0e-9d0a-0a8b3c1d2e3f", "yesterday's"])
def test_a_run_that_is_not_there_is_told_before_anything_is_opened(
    retry_dag: Any, connected: SandboxProcess, audit: sa.Connection, run_id: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert retry(retry_dag, run_id) == "failed"
    assert audit.execute(sa.text("SELECT count(*) FROM sync.audit_run")).scalar_one() == 0


def test_tasks_lead_to_the_page_of_their_run_and_workers_have_names(
    bulk_dag: Any, connected: SandboxProcess, audit: sa.Connection, tmp_path: Path
) -> None:
    from airflow.models import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    file = tmp_path / "people.jsonl"
    file.write_text(json.dumps(PEOPLE[0]) + "\n")
    assert run(bulk_dag, source="file", file=str(file), dry_run=False) == "success"
    told = newest(audit)
    with create_session() as session:
        of_run = XComModel.run_id == told["dag_run_id"]
        links = session.scalars(sa.select(XComModel).where(of_run, XComModel.key == "_link_RunPageLink")).all()
        workers = sa.select(TaskInstance).where(
            TaskInstance.run_id == told["dag_run_id"], TaskInstance.task_id == "sync"
        )
        names = {task.rendered_map_index for task in session.scalars(workers)}
        pages = {link.task_id: str(link.value) for link in links}
    assert set(pages) == {"preflight", "discover", "sync", "report"}
    assert {page.rpartition("/dynamics/")[2] for page in pages.values()} == {f"runs/{told['run_id']}"}
    assert names == {"worker 1", "worker 2"}


def test_every_dag_says_what_it_does_and_what_to_do_when_it_is_red(airflow_database: None) -> None:
    from airflow.dag_processing.dagbag import DagBag

    for name, dag in DagBag(str(ROOT / "dags")).dags.items():
        assert "When it is red" in (dag.doc_md or ""), name
        assert "dynamics" in dag.tags, name
