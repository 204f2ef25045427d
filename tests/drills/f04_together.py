"""F04, scheduled, manual and backfill run together under a real Airflow, and ten presses of "sync now" besides.

Airflow's scheduler, DAG processor and API server on a PostgreSQL of their own database, LocalExecutor, and the shipped
DAGs alone. The barrier is the CRM: it answers so late that the workers of the three runs are there before it does.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.drills import load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.scheduler import Scheduler, write_action
from tests.drills.scheduler import airflow as running_airflow
from tests.drills.world import World

COUNT, WORKERS = 5_000, 4
PRESSES, PRESSED = 10, 50
MANUAL, SCHEDULED, BACKFILL = "dynamics_bulk_sync", "dynamics_automation__drill", "dynamics_backfill__drill"
TOGETHER = {MANUAL: "bulk", SCHEDULED: "automation", BACKFILL: "backfill"}
INTERVAL = "2026-03-01T00:00:00Z"  # the month in which all were captured
CAPTURED_AT = "2026-03-14T09:00:00.000Z"
MOST_XCOM = 2_000
BARRIER_S, PATIENCE_S, RUNS_S, DELAY_S = 300.0, 60.0, 600.0, 10.0
LOADED = "Worker startup parse complete"
LOCK_ERROR = re.compile(
    "deadlock|could not obtain lock|lock ?timeout|lock ?not ?available|could not serialize|serialization ?failure"
    "|database is locked|too many clients",
    re.IGNORECASE,
)
A_PERSON = re.compile(r"@drill\.example|First\d|Last\d")


def drill(world: World, seed: int, count: int = COUNT, presses: int = PRESSES) -> Verdict:
    """Three runs at once over the same prospects, and the presses; judge."""
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.05, "per_row_s": 0.003}})
    people = [person | {"submissions": [_submission(person["id"])]} for person in prospects(count)]
    world.crm.control("POST", "seed", {"prospects": people})
    # One scheduled run: the interval that is over when the DAG is switched on.
    write_action(world, {"schedule": '"0 0 1 * *"', "workers": str(WORKERS)})
    with running_airflow(world, list(TOGETHER)) as airflow:
        try:
            connections = _all_runs(world, airflow, random.Random(seed), [p["id"] for p in people], presses)
        except RuntimeError as error:
            return Verdict([str(error), *airflow.ends_of_logs()])
        wrong = [*_runs(world, airflow, presses), *_tasks(airflow), *_xcoms(airflow)]
        wrong += _lock_errors(world, airflow)
        retries = airflow.sql("SELECT count(*) AS n FROM task_instance WHERE try_number > 1")[0]["n"]
    together_s, began_within_s, whole_s = _overlap(world)
    if together_s <= 0:
        wrong.append("the three runs did not overlap")
    creators = world.sql("SELECT count(DISTINCT run_id) AS n FROM sync.audit_outcome WHERE outcome = 'created'")[0]["n"]
    if creators < 2:
        wrong.append("one run created everything: the runs did not meet")
    wrong += oracles.one_record(world, [p["email"] for p in people])
    wrong += load.right_records(world, count)
    wrong += oracles.one_outcome(world)
    wrong += oracles.true_outcome(world)
    wrong += _created_once(world, count)
    wrong += oracles.settled(world)
    figures = {
        "runs": 3 + presses,
        "runs that created": creators,
        "three together s": together_s,
        "began within s": began_within_s,
        "all s": whole_s,
        "task retries": retries,
        "most database connections": connections,
    }
    return Verdict(wrong, figures)


# ---------------------------------------------------------------- what happens


def _submission(prospect_id: str) -> dict[str, Any]:
    return {
        "id": f"sub_{prospect_id[4:]}",
        "prospect_id": prospect_id,
        "captured_at": CAPTURED_AT,
        "received_at": CAPTURED_AT,
        "method": "badge_scan",
        "state": "complete",
    }


def _all_runs(world: World, airflow: Scheduler, draw: random.Random, ids: list[str], presses: int) -> int:
    """Start the three at a barrier, press, wait for all to end. Returns the most connections seen at the database."""
    conf = {"action": "drill"}
    month = ("--from-date", INTERVAL, "--to-date", INTERVAL)
    airflow.command("backfill", "create", "--dag-id", BACKFILL, *month)
    airflow.trigger(MANUAL, {**conf, "workers": WORKERS})
    for dag_id in TOGETHER:
        airflow.pause(dag_id, paused=False)
    airflow.wait(lambda: len(world.sql("SELECT 1 FROM sync.audit_run")) == len(TOGETHER), "to open", BARRIER_S)
    with _slow(world):
        barrier = Barrier(airflow.home)
        airflow.wait(barrier.is_complete, "to bring the workers to the barrier", BARRIER_S)
    for _ in range(presses):
        airflow.trigger(MANUAL, {**conf, "workers": 1, "prospect_ids": draw.sample(ids, min(PRESSED, len(ids)))})
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, world.sql("SELECT count(*) AS n FROM pg_stat_activity")[0]["n"])
        runs = airflow.sql("SELECT state FROM dag_run")
        return len(runs) == len(TOGETHER) + presses and all(run["state"] in ("success", "failed") for run in runs)

    airflow.wait(ended, "to end all runs", RUNS_S)
    return most


@contextmanager
def _slow(world: World) -> Iterator[None]:
    """The CRM lets everybody wait, the source does not."""
    wait = {"match": {"path": "^/api/data/"}, "effect": "delay", "delay_s": DELAY_S}
    world.crm.control("PUT", "faults", [wait])
    try:
        yield
    finally:
        world.crm.control("PUT", "faults", [])


@dataclass
class Barrier:
    """Where the workers wait for the CRM: all that have loaded their DAG, by what their logs say."""

    home: Path
    since: float | None = None

    def is_complete(self) -> bool:
        """All workers are there, or the first one has waited long enough."""
        logs = (self.home / "logs").rglob("task_id=sync/**/*.log")
        there = sum(LOADED in log.read_text(errors="replace") for log in logs)
        if there and self.since is None:
            self.since = time.monotonic()
        return there >= len(TOGETHER) * WORKERS or (
            self.since is not None and time.monotonic() > self.since + PATIENCE_S
        )


# ---------------------------------------------------------------- what must hold


def _runs(world: World, airflow: Scheduler, presses: int) -> list[str]:
    """As many runs as were asked for, of the kinds asked for, all green."""
    wrong = []
    runs = airflow.sql("SELECT dag_id, run_type, state FROM dag_run")
    kinds = Counter((run["dag_id"], run["run_type"]) for run in runs)
    expected = {(MANUAL, "manual"): 1 + presses, (SCHEDULED, "scheduled"): 1, (BACKFILL, "backfill"): 1}
    if kinds != expected:
        wrong.append(f"DAG runs are {dict(kinds)}")
    wrong += [f"a run of {run['dag_id']} is {run['state']}" for run in runs if run["state"] != "success"]
    audited = world.sql("SELECT trigger, state, count(*) AS n FROM sync.audit_run GROUP BY trigger, state")
    found = {(row["trigger"], row["state"]): row["n"] for row in audited}
    wanted = {(trigger, "succeeded"): 1 + (presses if trigger == "bulk" else 0) for trigger in TOGETHER.values()}
    return wrong + ([] if found == wanted else [f"sync runs are {found}"])


def _tasks(airflow: Scheduler) -> list[str]:
    tasks = airflow.sql("SELECT dag_id, run_id, task_id, state FROM task_instance")
    wrong = [f"task {task['task_id']} of {task['dag_id']} is {task['state']}" for task in tasks]
    wrong = [text for text, task in zip(wrong, tasks, strict=True) if task["state"] != "success"]
    return wrong + airflow.too_many_tasks()


def _xcoms(airflow: Scheduler) -> list[str]:
    xcoms = airflow.sql("SELECT task_id, key, value::text AS value FROM xcom")
    wrong = [] if xcoms else ["no XCom was found: the drill looks in the wrong place"]
    for xcom in xcoms:
        where = f"XCom {xcom['key']} of {xcom['task_id']}"
        if len(xcom["value"] or "") >= MOST_XCOM:
            wrong.append(f"{where} has {len(xcom['value'])} characters")
        if A_PERSON.search(xcom["value"] or ""):
            wrong.append(f"{where} names a person")
    return wrong


def _lock_errors(world: World, airflow: Scheduler) -> list[str]:
    """In the log of any try of any task, or in an outcome."""
    logs = list((airflow.home / "logs").rglob("dag_id=*/**/*.log"))
    tasks = airflow.sql("SELECT count(*) AS n FROM task_instance")[0]["n"]
    wrong = [] if len(logs) >= tasks else [f"{len(logs)} logs of {tasks} tasks were found"]
    for log in logs:
        found = LOCK_ERROR.search(log.read_text(errors="replace"))
        if found:
            task = next((part for part in log.parts if part.startswith("task_id=")), log.name)
            wrong.append(f"{task}: '{found[0]}' in the log")
    texts = world.sql(
        "SELECT DISTINCT coalesce(reason, '') || ' ' || coalesce(error_code, '') || ' ' || coalesce(error_message, '')"
        " AS text FROM sync.audit_outcome"
    )
    return wrong + [f"'{found[0]}' in an outcome" for row in texts if (found := LOCK_ERROR.search(row["text"]))]


def _created_once(world: World, count: int) -> list[str]:
    """Each prospect is created by exactly one run, and unchanged or skipped in the others."""
    by_prospect = world.sql(
        "SELECT prospect_id, count(*) FILTER (WHERE outcome = 'created') AS created FROM sync.audit_outcome"
        " GROUP BY prospect_id"
    )
    wrong = [] if len(by_prospect) == count else [f"{len(by_prospect)} prospects have outcomes instead of {count}"]
    not_once = [row for row in by_prospect if row["created"] != 1]
    if not_once:
        wrong.append(f"{len(not_once)} prospects were not created by exactly one run")
    others = world.sql(
        "SELECT outcome, reason, count(*) AS n FROM sync.audit_outcome"
        " WHERE outcome NOT IN ('created', 'unchanged', 'skipped') GROUP BY 1, 2"
    )
    return wrong + [f"{row['n']} are {row['outcome']}, {row['reason']}" for row in others]


def _overlap(world: World) -> tuple[float, float, float]:
    """Seconds in which all three runs were open, within which they began, and from the first start to the last end."""
    row = world.sql(
        """
        WITH run AS (SELECT *, row_number() OVER (ORDER BY started_at) AS nth FROM sync.audit_run)
        SELECT extract(epoch FROM min(finished_at) FILTER (WHERE nth <= 3) - max(started_at) FILTER (WHERE nth <= 3))
                   ::float AS together,
               extract(epoch FROM max(started_at) FILTER (WHERE nth <= 3) - min(started_at))::float AS began,
               extract(epoch FROM max(finished_at) - min(started_at))::float AS whole
          FROM run
        """
    )[0]
    return row["together"], row["began"], row["whole"]


DRILL = Drill("F04", "S1", {"three runs and ten presses": drill}, seeds=1)
