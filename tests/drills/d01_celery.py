"""D01, deployment: the services of docker-compose.yaml as processes, and a worker killed in the middle of a bulk sync.

Two Celery workers with two tasks each, real Redis and PostgreSQL, the profile `sandbox`. The run is triggered through
the REST API. When a share of the prospects is settled, one worker gets kill -9: with all its processes, as when a
container or its host dies; or its first process alone, whose tasks then run on while their second try runs too.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from dynamics.store.database import create_store
from sandbox.process import SandboxProcess
from tests.drills import load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World
from tests.topology.deployment import LONG_RUNNING, Deployment, deployed, until

COUNT, WORKERS, TASKS = 20_000, 2, 4
DAG_ID = "dynamics_bulk_sync"
HEARTBEAT_TIMEOUT_S, LEASE_S = "20", "10"
RUN_S, DAG_S = 600.0, 120.0
MOST_TASKS = 20


@dataclass(frozen=True)
class _Run:
    """How the DAG run went. `settled_at_kill` is 0 when nobody was killed."""

    run_id: str
    state: str
    seconds: float
    settled_at_kill: int


def whole_worker(world: World, seed: int) -> Verdict:
    """The worker and all its children die at once."""
    return drill(world, seed, whole=True)


def first_process(world: World, seed: int) -> Verdict:
    """The worker's own process dies; its children live on as orphans."""
    return drill(world, seed, whole=False)


def drill(world: World, seed: int, count: int = COUNT, *, whole: bool | None) -> Verdict:
    """Deploy, sync, kill if `whole` is not None, judge."""
    started = time.monotonic()
    try:
        with _stack(world) as (stack, place):
            up_s = time.monotonic() - started
            people = prospects(count)
            place.crm.control("POST", "reset")  # the profile's sample is not what is drilled
            place.crm.control("POST", "seed", {"prospects": people})
            place.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.05, "per_row_s": 0.003}})
            share = random.Random(seed).uniform(0.2, 0.5)
            run = _bulk_sync(stack, place, count, whole=whole, kill_at=int(count * share))
            wrong = _judge(stack, place, run, [person["email"] for person in people], killed=whole is not None)
            retried = _task_instances(stack, run.run_id)
    except RuntimeError as error:
        return Verdict([str(error)])
    figures: dict[str, float | str] = {
        "up after s": up_s,
        "run s": run.seconds,
        "settled when killed": run.settled_at_kill,
        "task retries": sum(task["try_number"] > 1 for task in retried),
    }
    return Verdict(wrong, figures)


@contextmanager
def _stack(world: World) -> Iterator[tuple[Deployment, World]]:
    """The deployment, and the world with its database and its sandbox in place of the drill's own."""
    settings = {"WORKER_CONCURRENCY": str(TASKS // WORKERS), "TASK_HEARTBEAT_TIMEOUT": HEARTBEAT_TIMEOUT_S}
    lease = {"DYNAMICS_SYNC_LEASE_S": LEASE_S}
    folder, include = world.folder / "deployment", world.folder / "include"
    with deployed(folder, include, workers=WORKERS, settings=settings, extra=lease) as stack:
        ready = json.loads((stack.sandbox_state / "ready.json").read_bytes())
        crm = SandboxProcess(stack.processes["sandbox"], ready)
        url = stack.postgres.url_for("dynamics_audit")
        engine = create_store(url)
        try:
            yield stack, replace(world, crm=crm, engine=engine, audit_url=url, server=stack.postgres)
        finally:
            engine.dispose()


def _bulk_sync(stack: Deployment, place: World, count: int, *, whole: bool | None, kill_at: int) -> _Run:
    """Trigger the run and see it to its end, one worker killed on the way."""
    api = stack.api
    until(lambda: api.sign_in() and api.get(f"dags/{DAG_ID}").get("is_stale") is False, "the DAG is not there", DAG_S)
    began = time.monotonic()
    run_id = api.start_run(DAG_ID, {"action": "drill", "source": "captello", "workers": TASKS})
    settled = 0

    def ended() -> bool:
        nonlocal settled
        if whole is not None and not settled:
            done: int = place.sql("SELECT count(*) AS n FROM sync.outcome")[0]["n"]
            if done >= kill_at:
                settled = done
                stack.kill("worker-1", whole=whole)
        return api.get(f"dags/{DAG_ID}/dagRuns/{run_id}")["state"] in ("success", "failed")

    until(ended, f"the run {run_id} does not end", RUN_S)
    state = api.get(f"dags/{DAG_ID}/dagRuns/{run_id}")["state"]
    return _Run(run_id, state, time.monotonic() - began, settled)


# ---------------------------------------------------------------- what must hold


def _judge(stack: Deployment, place: World, run: _Run, emails: list[str], *, killed: bool) -> list[str]:
    wrong = [] if run.state == "success" else [f"the run is {run.state}: {_states(stack, run.run_id)}"]
    tasks = _task_instances(stack, run.run_id)
    if len(tasks) > MOST_TASKS:
        wrong.append(f"{len(tasks)} task instances")
    if killed and not (0 < run.settled_at_kill < len(emails)):
        wrong.append("nobody was killed in the middle")
    if killed and not any(task["try_number"] > 1 for task in tasks):
        wrong.append("the killed worker had no task")
    wrong += oracles.standard_pass(place, emails)
    wrong += load.right_records(place, len(emails))
    wrong += load.newest_run(place, created=len(emails))
    return wrong + _health(stack, killed=killed) + _walls(stack) + _log_is_read(stack, run.run_id)


def _health(stack: Deployment, *, killed: bool) -> list[str]:
    """Each service's own check says what is so, of the living and of the dead."""
    living = [(service, service) for service in (*LONG_RUNNING, "postgres", "redis", "sandbox")]
    living += [("worker", name) for name in stack.processes if name.startswith("worker-")]
    wrong = [f"{name} is not healthy at the end" for service, name in living if not stack.is_healthy(service, name)]
    if killed and stack.is_healthy("worker", "worker-1"):
        wrong.append("the killed worker is called healthy")
    return wrong


def _walls(stack: Deployment) -> list[str]:
    """Workers work without Airflow's database: none is named to them, and what Airflow makes instead stays empty."""
    wrong = []
    for path in (stack.folder / "homes").glob("worker-*/*.db"):
        with closing(sqlite3.connect(path)) as database:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                wrong.append("a worker has made a database of its own")
    return wrong


def _log_is_read(stack: Deployment, run_id: str) -> list[str]:
    """The API server shows the log of a task that a worker wrote."""
    path = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/report/logs/1"
    shown = json.dumps(stack.api.get(path))
    return [] if "all outcomes: dynamics-sync log" in shown else ["the API server does not show the report's log"]


def _task_instances(stack: Deployment, run_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = stack.api.get(f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances")["task_instances"]
    return found


def _states(stack: Deployment, run_id: str) -> str:
    return ", ".join(f"{task['task_id']} {task['state']}" for task in _task_instances(stack, run_id))


DRILL = Drill("D01", "S1", {"worker killed": whole_worker, "its first process killed": first_process}, seeds=1)
