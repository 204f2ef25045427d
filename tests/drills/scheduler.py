"""A real Airflow for drills: API server, scheduler and DAG processor with the shipped DAGs, on the world's server.

Its own database is looked at by SQL; every DAG is paused at first.
"""

from __future__ import annotations

import random
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sandbox.demo.airflow import Airflow, free_port
from tests.drills import load
from tests.drills.world import ROOT, World

MOST_TASKS = 20
OVER = ("success", "failed")


@dataclass
class Scheduler(Airflow):
    """Airflow with what drills ask of it."""

    metadata: sa.Engine | None = None

    def pause(self, dag_id: str, paused: bool = True) -> None:
        self._call("PATCH", f"dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, conf: Mapping[str, Any], logical_date: str | None = None) -> str:
        """Returns the id of the DAG run."""
        run = self._call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": logical_date, "conf": conf})
        return str(run["dag_run_id"])

    def command(self, *words: str) -> str:
        """Run `airflow ...` to its end; what it says. Raises RuntimeError when it fails."""
        done = subprocess.run(
            self._command(*words), env=self._environment(), capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(words[:2])} ended with {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def sql(self, query: str, **given: Any) -> list[sa.RowMapping]:
        assert self.metadata is not None
        with self.metadata.connect() as connection:
            return list(connection.execute(sa.text(query), given).mappings())

    def sql_do(self, statement: str, **given: Any) -> None:
        assert self.metadata is not None
        with self.metadata.connect() as connection:
            connection.execute(sa.text(statement), given)

    def wait(self, done: Callable[[], bool], what: str, timeout_s: float) -> None:
        self._wait(done, what, timeout_s)

    def runs(self, dag_id: str) -> list[sa.RowMapping]:
        """The DAG's runs, in the order in which they were made."""
        return self.sql("SELECT * FROM dag_run WHERE dag_id = :dag_id ORDER BY id", dag_id=dag_id)

    def are_over(self, dag_id: str, count: int) -> bool:
        """Whether the DAG has so many runs and all have ended."""
        runs = self.runs(dag_id)
        return len(runs) >= count and all(run["state"] in OVER for run in runs)

    def too_many_tasks(self) -> list[str]:
        """What is wrong with the number of task instances of any run."""
        tasks = self.sql("SELECT dag_id, run_id FROM task_instance")
        per_run = Counter((task["dag_id"], task["run_id"]) for task in tasks)
        return [f"a run has {n} task instances" for n in per_run.values() if n > MOST_TASKS]

    def ends_of_logs(self) -> list[str]:
        """What Airflow's own processes said last."""
        return [f"{log.stem}: {log.read_text(errors='replace')[-300:]}" for log in sorted(self.home.glob("*.log"))]


@contextmanager
def airflow(world: World, dag_ids: Sequence[str], **variables: str) -> Iterator[Scheduler]:
    """Airflow, once it knows these DAGs."""
    url = _database(world)
    kept = ("AIRFLOW_CONN_", "DYNAMICS_SYNC_")
    settings = {name: value for name, value in world.environment().items() if name.startswith(kept)}
    settings |= {
        "AIRFLOW__CORE__PARALLELISM": "24",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # many tasks on two cores begin at once
        "DYNAMICS_SYNC_LEASE_S": load.LEASE_S,
        "NO_PROXY": "localhost,127.0.0.1",
        **variables,
    }
    running = Scheduler(
        home=world.folder / "airflow",
        root=ROOT,
        database_url=url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
        port=free_port(random.randrange(20_000, 40_000)),
        variables=settings,
        metadata=sa.create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"),
    )
    first, *others = dag_ids
    try:
        running.start(first)
        running.wait(lambda: all("dag_id" in running.get(f"dags/{dag_id}") for dag_id in others), "to parse", 60.0)
        yield running
    finally:
        running.stop()
        if running.metadata is not None:
            running.metadata.dispose()


def write_action(world: World, automation: Mapping[str, str]) -> None:
    """Give the drill's action an automation: setting -> value as it is written."""
    lines = "".join(f"    {name}: {value}\n" for name, value in automation.items())
    path: Path = world.folder / "include/actions/drill.yaml"
    head = path.read_text().partition("triggers:")[0].replace("max_rejected_percent: 100\n", "")
    path.write_text(f"{head}max_rejected_percent: 100\ntriggers:\n  bulk: true\n  automation:\n{lines}")


def _database(world: World) -> sa.URL:
    """An empty database for Airflow on the world's server."""
    name = f"airflow_{uuid.uuid4().hex[:12]}"
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return sa.make_url(world.audit_url).set(database=name)
