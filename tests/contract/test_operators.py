"""The tasks of a syncing DAG: each hears that it is to end, not only the one that writes."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from dynamics.errors import StoppedError
from dynamics.operators import sync


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
