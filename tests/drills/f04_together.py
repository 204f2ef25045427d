"""F04, scheduled, manual and backfill run together under a real Airflow, and ten presses of "sync now" besides.

Airflow's scheduler, DAG processor and API server on a PostgreSQL of their own database, LocalExecutor. The manual runs
are the shipped DAG's; the other two come from a DAG file that is written here, of the same operators. The barrier is
the CRM: it stands still until the workers of the three runs are there.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sandbox.demo.airflow import Airflow, free_port
from tests.drills import load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import ROOT, World

COUNT, WORKERS = 5_000, 4
PRESSES, PRESSED = 10, 50
MANUAL, SCHEDULED, BACKFILL = "dynamics_bulk_sync", "drill_scheduled", "drill_backfill"
TOGETHER = {MANUAL: "bulk", SCHEDULED: "automation", BACKFILL: "backfill"}
INTERVAL = "2026-02-01T00:00:00Z"
MOST_TASKS, MOST_XCOM = 20, 2_000
BARRIER_S, PATIENCE_S, RUNS_S = 180.0, 20.0, 480.0
LOADED = "Worker startup parse complete"
LOCK_ERROR = re.compile(
    "deadlock|could not obtain lock|lock ?timeout|lock ?not ?available|could not serialize|serialization ?failure"
    "|database is locked|too many clients",
    re.IGNORECASE,
)
A_PERSON = re.compile(r"@drill\.example|First\d|Last\d")

# No run but the backfill's: the DAG ends with the one interval that is filled.
DAGS = """
from datetime import UTC, datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, RetryAction, RetryRule, dag
from airflow.task.trigger_rule import TriggerRule

from dynamics.operators.sync import DiscoverProspects, PreflightRun, ReportRun, SyncProspects

RULES = [
    RetryRule("dynamics.errors.TransientError", RetryAction.RETRY, timedelta(minutes=1)),
    RetryRule("dynamics.errors.AccountError", RetryAction.FAIL, reason="a person must act: see the log"),
]


def syncing(dag_id, trigger, cron, **dates):
    @dag(
        dag_id=dag_id,
        schedule=CronDataIntervalTimetable(cron, timezone="UTC"),
        catchup=False,
        default_args={"retries": 3, "retry_policy": ExceptionRetryPolicy(rules=RULES)},
        params={"action": "drill", "source": "file", "file": $FILE, "workers": $WORKERS},
        **dates,
    )
    def syncs():
        preflight = PreflightRun(task_id="preflight", trigger=trigger)
        run_id = preflight.output
        discover = DiscoverProspects(task_id="discover", sync_run_id=run_id)
        sync = SyncProspects.partial(task_id="sync", sync_run_id=run_id).expand(worker=discover.output)
        report = ReportRun(task_id="report", sync_run_id=run_id, trigger_rule=TriggerRule.ALL_DONE)
        preflight >> discover >> sync >> report

    syncs()


syncing("drill_scheduled", "automation", "0 0 1 * *", start_date=datetime(2020, 1, 1, tzinfo=UTC))
syncing(
    "drill_backfill",
    "backfill",
    "0 0 * * *",
    start_date=datetime(2026, 2, 1, tzinfo=UTC),
    end_date=datetime(2026, 2, 2, tzinfo=UTC),
)
"""


@dataclass
class Scheduler(Airflow):
    """Airflow with what this drill asks of it; its database is looked at by SQL."""

    metadata: sa.Engine | None = None

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, conf: Mapping[str, Any]) -> None:
        self._call("POST", f"dags/{MANUAL}/dagRuns", {"logical_date": None, "conf": conf})

    def backfill(self, dag_id: str, interval: str) -> None:
        self._call("POST", "backfills", {"dag_id": dag_id, "from_date": interval, "to_date": interval})

    def sql(self, query: str) -> list[sa.RowMapping]:
        assert self.metadata is not None
        with self.metadata.connect() as connection:
            return list(connection.execute(sa.text(query)).mappings())

    def wait(self, done: Callable[[], bool], what: str, timeout_s: float) -> None:
        self._wait(done, what, timeout_s)


def drill(world: World, seed: int, count: int = COUNT, presses: int = PRESSES) -> Verdict:
    """Three runs at once over the same prospects, and the presses; judge."""
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.05, "per_row_s": 0.003}})
    people = prospects(count)
    file = world.write_prospects(people)
    with _airflow(world, file) as airflow:
        try:
            connections = _all_runs(world, airflow, file, random.Random(seed), [p["id"] for p in people], presses)
        except RuntimeError as error:
            return Verdict([str(error), *_ends_of_logs(airflow.home)])
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


@contextmanager
def _airflow(world: World, file: Path) -> Iterator[Scheduler]:
    """Airflow with the three DAGs, all of them paused."""
    home, dags = world.folder / "airflow", world.folder / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / f"{MANUAL}.py", dags)
    (dags / "drill.py").write_text(DAGS.replace("$FILE", repr(str(file))).replace("$WORKERS", str(WORKERS)))
    url = _database(world)
    kept = ("AIRFLOW_CONN_", "DYNAMICS_SYNC_")
    variables = {name: value for name, value in world.environment().items() if name.startswith(kept)}
    variables |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PARALLELISM": "24",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # twelve tasks on two cores begin at once
        "DYNAMICS_SYNC_LEASE_S": load.LEASE_S,
        "NO_PROXY": "localhost,127.0.0.1",
    }
    airflow = Scheduler(
        home=home,
        root=ROOT,
        database_url=url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
        port=free_port(random.randrange(20_000, 40_000)),
        variables=variables,
        metadata=sa.create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"),
    )
    try:
        airflow.start(MANUAL)
        airflow.wait(lambda: all("dag_id" in airflow.get(f"dags/{dag_id}") for dag_id in TOGETHER), "to parse", 60.0)
        yield airflow
    finally:
        airflow.stop()
        if airflow.metadata is not None:
            airflow.metadata.dispose()


def _database(world: World) -> sa.URL:
    """An empty database for Airflow on the world's server."""
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return sa.make_url(world.audit_url).set(database=name)


def _all_runs(world: World, airflow: Scheduler, file: Path, draw: random.Random, ids: list[str], presses: int) -> int:
    """Start the three at a barrier, press, wait for all to end. Returns the most connections seen at the database."""
    conf = {"action": "drill", "source": "file", "file": str(file)}
    airflow.backfill(BACKFILL, INTERVAL)
    airflow.trigger({**conf, "workers": WORKERS})
    for dag_id in TOGETHER:
        airflow.unpause(dag_id)
    airflow.wait(lambda: len(world.sql("SELECT 1 FROM sync.audit_run")) == len(TOGETHER), "to open", BARRIER_S)
    with _standing_still(world):
        barrier = Barrier(airflow.home)
        airflow.wait(barrier.is_complete, "to bring the workers to the barrier", BARRIER_S)
    for _ in range(presses):
        airflow.trigger({**conf, "workers": 1, "prospect_ids": draw.sample(ids, min(PRESSED, len(ids)))})
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, world.sql("SELECT count(*) AS n FROM pg_stat_activity")[0]["n"])
        runs = airflow.sql("SELECT state FROM dag_run")
        return len(runs) == len(TOGETHER) + presses and all(run["state"] in ("success", "failed") for run in runs)

    airflow.wait(ended, "to end all runs", RUNS_S)
    return most


@contextmanager
def _standing_still(world: World) -> Iterator[None]:
    """The CRM answers nobody."""
    os.kill(world.crm.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(world.crm.pid, signal.SIGCONT)


@dataclass
class Barrier:
    """Where the workers wait for the CRM: all that have loaded their DAG, by what their logs say."""

    home: Path
    since: float | None = None

    def is_complete(self) -> bool:
        """All workers are there, or the first one would soon give the CRM up."""
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
    per_run = Counter((task["dag_id"], task["run_id"]) for task in tasks)
    return wrong + [f"a run has {n} task instances" for n in per_run.values() if n > MOST_TASKS]


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


def _ends_of_logs(home: Path) -> list[str]:
    """What Airflow's own processes said last."""
    return [f"{log.stem}: {log.read_text(errors='replace')[-300:]}" for log in sorted(home.glob("*.log"))]


DRILL = Drill("F04", "S1", {"three runs and ten presses": drill}, seeds=1)
