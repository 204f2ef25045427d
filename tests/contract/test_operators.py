"""The tasks of a syncing DAG: each hears that it is to end, not only the one that writes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import AirflowFailException

from dynamics.core.capture import Selection
from dynamics.errors import ConfigurationError, Fault, ServiceUnavailableError, StoppedError
from dynamics.operators import fulfillment, sync
from dynamics.operators.automation import PreflightAutomation, ReportBacklogs
from dynamics.run_request import RunRequest
from tests.contract.preflighting import write_include
from tests.contract.test_automations import with_automation


@pytest.mark.parametrize(
    "task",
    [
        sync.PreflightRun(task_id="preflight", trigger="bulk"),
        sync.DiscoverProspects(task_id="discover", sync_run_id=str(uuid4())),
        sync.SyncProspects(task_id="sync", sync_run_id=str(uuid4())),
    ],
    ids=lambda task: task.task_id,
)
def test_a_task_that_is_killed_tells_the_service_to_stop(monkeypatch: pytest.MonkeyPatch, task: Any) -> None:
    stopping = threading.Event()

    def work(*_: object) -> None:
        task.on_kill()
        raise StoppedError("work on", "it") if stopping.is_set() else AssertionError("it goes on")

    class Service(SimpleNamespace):
        def __enter__(self) -> Service:
            return self

        def __exit__(self, *_: object) -> None: ...

    service = Service(stopping=stopping, open_run=work, discover=work, drain=work, include=Path())
    monkeypatch.setattr(sync, "sync_service", lambda _: service)
    context = {
        "dag_run": SimpleNamespace(dag_id="d", run_id="r", clear_number=0),
        "ti": SimpleNamespace(task_id="t", try_number=1, xcom_push=lambda *_: None),
        "params": {"action": "a"},
    }
    task.on_kill()  # before it has begun
    with pytest.raises(StoppedError):
        task.execute(context)


MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
CAPTURED_IN_MARCH = Selection(captured_from=MARCH, captured_to=APRIL, event_ids=("evt_1", "evt_2"))


class Stub(SimpleNamespace):
    """A service that keeps what it is asked."""

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *_: object) -> None: ...

    def open_run(self, request: RunRequest) -> Any:
        self.request = request
        settings = {"action": {"duplicates": {}, "create": "lead", "mapping": "m"}}
        facts = {"run_id": "r", "dry_run": False, "action": "drill", "account": "a", "organization_id": "o"}
        return SimpleNamespace(**facts, settings=settings, mapping_hash="h")


@pytest.mark.parametrize(
    ("run_type", "interval", "interval_only", "trigger", "selection"),
    [
        ("scheduled", (MARCH, APRIL), False, "automation", Selection()),  # an interval is nothing to go by
        ("scheduled", (MARCH, MARCH), False, "automation", Selection()),
        ("manual", (None, None), False, "automation", Selection()),
        ("backfill", (MARCH, APRIL), False, "backfill", CAPTURED_IN_MARCH),
        ("backfill", (MARCH, APRIL), True, "backfill", CAPTURED_IN_MARCH),
        ("manual", (MARCH, APRIL), True, "backfill", CAPTURED_IN_MARCH),
        ("manual", (None, None), True, None, None),
        ("backfill", (MARCH, MARCH), False, None, None),
    ],
)
def test_only_a_backfill_goes_by_its_interval(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    interval_only: bool,
    trigger: str | None,
    selection: Selection | None,
) -> None:
    service = Stub(include=write_include(tmp_path, with_automation(where="{event_id: [evt_1, evt_2]}")))
    monkeypatch.setattr(sync, "sync_service", lambda _: service)
    start, end = interval
    dag_run = SimpleNamespace(
        dag_id="d", run_id="r", run_type=run_type, clear_number=2, data_interval_start=start, data_interval_end=end
    )
    task = PreflightAutomation(task_id="preflight", action="drill", interval_only=interval_only)
    context: Any = {"dag_run": dag_run, "params": {"dry_run": True}}
    if trigger is None:
        with pytest.raises(AirflowFailException, match="airflow backfill create --dag-id d"):
            task.execute(context)
        return
    task.execute(context)
    asked = service.request
    assert (asked.trigger, asked.selection) == (trigger, selection)
    assert (asked.dry_run, asked.dag_run_id, asked.clear_number) == (True, "r", 2)


@pytest.mark.parametrize(("late", "grows"), [(False, False), (False, True), (True, False)])
def test_an_automation_that_is_late_makes_the_report_red(
    monkeypatch: pytest.MonkeyPatch, late: bool, grows: bool
) -> None:
    backlog = SimpleNamespace(action="drill", is_late=late, grows=grows, unsettled=3)
    monkeypatch.setattr(sync, "sync_service", lambda _: Stub(backlogs=lambda: [backlog]))
    task = ReportBacklogs(task_id="report_backlogs")
    if late:
        with pytest.raises(AirflowFailException, match="1 of 1 automations do not run as their schedule says: drill"):
            task.execute({})
    else:
        assert task.execute({}) == {"automations": 1, "unsettled": 3}


def test_the_warm_worker_tells_of_runs_it_has_closed_and_of_actions_it_cannot_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, ...]] = []
    closed = [SimpleNamespace(run_id=number, verdict=SimpleNamespace(ok=ok)) for number, ok in ((1, True), (2, False))]
    blocked = {
        "mapped-wrong": ConfigurationError([Fault("include/x.yaml", 3, "Wrong.", "Correct it.")]),
        "away": ServiceUnavailableError("query", "leads"),
    }
    summary = SimpleNamespace(closed=closed, blocked=blocked, open_errands={}, problems=["run 2: red"], outcomes={})
    service = Stub(stopping=threading.Event(), ledger=SimpleNamespace(run=lambda run_id: f"run {run_id}"))
    monkeypatch.setattr(sync, "sync_service", lambda _: service)
    monkeypatch.setattr(fulfillment, "Worker", lambda *_: SimpleNamespace(run=lambda _: summary))
    monkeypatch.setattr(fulfillment, "tell_ended", lambda _s, _c, run, verdict: told.append((run, str(verdict.ok))))
    monkeypatch.setattr(fulfillment, "tell_not_begun", lambda _s, _c, *words: told.append(words))
    context: Any = {
        "ti": SimpleNamespace(task_id="serve", try_number=1),
        "dag_run": SimpleNamespace(dag_id="d", run_id="r"),
    }
    with pytest.raises(AirflowFailException, match="run 2: red"):
        fulfillment.FulfillmentOperator(task_id="serve").execute(context)
    assert told[:2] == [("run 1", "True"), ("run 2", "False")]
    ((action, trigger, faults),) = told[2:]
    assert (action, trigger) == ("mapped-wrong", "fulfillment")
    assert "include/x.yaml:3: Wrong. Correct it." in faults
