"""The DAGs of automations and backfills in Airflow, on a real PostgreSQL and the sandbox over HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pendulum
import pytest
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.contract.preflighting import write_include
from tests.contract.test_automations import BEGAN, person, with_automation
from tests.e2e.test_bulk_dag import airflow_database, audit, connected, newest
from tests.fixtures.postgres import audit_url, postgres, store

__all__ = ["airflow_database", "audit", "audit_url", "connected", "postgres", "store"]

ROOT = Path(__file__).resolve().parents[2]
BROKEN = "account: dynamics_default\ncreate: leed\ntriggers: {automation: {schedule: '0 7 * * *'}}\n"


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An include folder with the action `drill`, on a schedule of every five minutes."""
    include = write_include(tmp_path, with_automation(where="{event_id: [evt_0, evt_1]}", workers="3"))
    monkeypatch.setenv("DYNAMICS_SYNC_INCLUDE", str(include))
    return include


def parsed() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


@pytest.fixture
def bag(airflow_database: None, include: Path) -> Any:
    bag = parsed()
    assert not bag.import_errors
    return bag


@pytest.fixture
def people(connected: SandboxProcess) -> Iterator[SandboxProcess]:
    connected.control("POST", "seed", {"prospects": [person(number) for number in range(6)]})
    return connected


def states(run: Any) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_an_automation_syncs_what_is_due_once(bag: Any, people: SandboxProcess, audit: sa.Connection) -> None:
    dag = bag.dags["dynamics_automation__drill"]
    run = dag.test(logical_date=pendulum.datetime(2026, 3, 20))
    assert str(run.state) == "success"
    told = newest(audit)
    assert (told["action"], told["trigger"], told["selected"], told["created"]) == ("drill", "automation", 4, 4)
    again = parsed().dags["dynamics_automation__drill"].test(logical_date=pendulum.datetime(2026, 3, 21))
    assert str(again.state) == "success"
    assert states(again) == {"preflight": "success", "discover": "success", "sync": "skipped", "report": "success"}
    assert newest(audit)["selected"] == 0


def test_a_run_by_hand_may_be_a_rehearsal(bag: Any, people: SandboxProcess, audit: sa.Connection) -> None:
    run = bag.dags["dynamics_automation__drill"].test(run_conf={"dry_run": True})
    assert str(run.state) == "success"
    assert (newest(audit)["dry_run"], newest(audit)["created"]) == (True, 4)
    assert people.control("GET", "rows?table=lead") == []


def test_a_backfill_takes_the_prospects_captured_in_its_interval(
    bag: Any, people: SandboxProcess, audit: sa.Connection
) -> None:
    people.control("POST", "seed", {"prospects": [person(12, datetime(2026, 4, 1, tzinfo=UTC)), person(21, BEGAN)]})
    run = bag.dags["dynamics_backfill__drill"].test(logical_date=pendulum.datetime(2026, 4, 1))
    assert str(run.state) == "success"
    assert (run.data_interval_start.month, run.data_interval_end.month) == (3, 4)
    told = newest(audit)
    assert (told["trigger"], told["selected"], told["created"]) == ("backfill", 5, 5)
    assert audit.execute(sa.text("SELECT count(*) FROM sync.cursor")).scalar_one() == 0


def test_a_broken_action_shows_as_an_import_error_and_its_dag_says_what_is_wrong(
    airflow_database: None,
    include: Path,
    people: SandboxProcess,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (include / "actions" / "broken.yaml").write_text(BROKEN)
    (include / "actions" / "lost.yaml").write_text("account: [\n")
    bag = parsed()
    assert set(bag.dags) >= {"dynamics_automation__drill", "dynamics_automation__broken", "dynamics_backfill__broken"}
    ((file, error),) = bag.import_errors.items()
    assert file.endswith("dynamics_broken_actions.py")
    for place in ("include/actions/broken.yaml:2", "include/actions/broken.yaml:1", "include/actions/lost.yaml:2"):
        assert place in error
    capfd.readouterr()
    run = bag.dags["dynamics_automation__broken"].test()
    assert str(run.state) == "failed"
    assert "include/actions/broken.yaml:2: 'leed' is no word for 'create'" in "".join(capfd.readouterr())


def test_parsing_asks_nobody(
    airflow_database: None, include: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened while parsing")

    for name in ("AIRFLOW_CONN_DYNAMICS_DEFAULT", "AIRFLOW_CONN_DYNAMICS_AUDIT", "AIRFLOW_CONN_CAPTELLO_DEFAULT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    bag = parsed()
    assert not bag.import_errors
    assert {"dynamics_automation__drill", "dynamics_backfill__drill"} <= set(bag.dags)


class TestSchedules:
    """What the scheduler, and a backfill, are told by the DAGs as they are stored."""

    @staticmethod
    def _stored(bag: Any, dag_id: str) -> Any:
        from airflow.serialization.serialized_objects import DagSerialization

        return DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[dag_id]))

    def test_intervals_are_real_and_follow_each_other(self, bag: Any) -> None:
        dag = self._stored(bag, "dynamics_automation__drill")
        start = pendulum.datetime(2026, 3, 1)
        found = list(dag.iter_dagrun_infos_between(start, start.add(hours=1)))
        assert all(info.data_interval.end - info.data_interval.start == pendulum.duration(minutes=5) for info in found)
        assert [info.data_interval.end for info in found[:-1]] == [info.data_interval.start for info in found[1:]]

    def test_a_backfill_dag_has_months_for_a_backfill_and_no_run_of_its_own(self, bag: Any) -> None:
        dag = self._stored(bag, "dynamics_backfill__drill")
        start = pendulum.datetime(2025, 1, 1)
        found = list(dag.iter_dagrun_infos_between(start, pendulum.datetime(2025, 12, 31)))
        assert len(found) == 12
        assert found[-1].data_interval.end == pendulum.datetime(2026, 1, 1)
        assert dag.next_dagrun_info(last_automated_run_info=None) is None

    @pytest.mark.parametrize(
        ("schedule", "zone", "begin", "days", "runs"),
        [
            ("*/30 * * * *", "Europe/Berlin", (2026, 3, 28), 2, 94),  # one hour is missing
            ("*/30 * * * *", "Europe/Berlin", (2026, 10, 24), 2, 98),  # one comes twice
            ("*/30 * * * *", "America/New_York", (2026, 3, 7), 2, 94),
            ("*/30 * * * *", "America/New_York", (2026, 10, 31), 2, 98),
            ("30 2 * * *", "Europe/Berlin", (2026, 3, 27), 4, 4),  # a time that there is not
            ("30 2 * * *", "Europe/Berlin", (2026, 10, 23), 4, 4),
            ("0 0 31 * *", "UTC", (2026, 1, 1), 365, 7),
        ],
    )
    def test_no_moment_is_left_out_or_comes_twice_when_clocks_change_or_months_are_short(
        self,
        airflow_database: None,
        include: Path,
        schedule: str,
        zone: str,
        begin: tuple[int, int, int],
        days: int,
        runs: int,
    ) -> None:
        write_include(include.parent, with_automation(schedule=f'"{schedule}"', timezone=zone))
        dag = self._stored(parsed(), "dynamics_automation__drill")
        start = pendulum.datetime(*begin, tz=zone)
        found = list(dag.iter_dagrun_infos_between(start, start.add(days=days).subtract(seconds=1)))
        intervals = [info.data_interval for info in found]
        assert all(interval.start < interval.end for interval in intervals)
        assert [interval.end for interval in intervals[:-1]] == [interval.start for interval in intervals[1:]]
        assert len(found) == runs

    def test_all_tasks_of_a_run_are_few(self, bag: Any) -> None:
        for dag_id in ("dynamics_automation__drill", "dynamics_backfill__drill"):
            assert sorted(bag.dags[dag_id].task_ids) == ["discover", "preflight", "report", "sync"]
