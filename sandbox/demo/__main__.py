"""`make demo`: everything on one machine, one bulk sync of the sample prospects, and where to look at it.

Keeps its state in `.demo/`: a second demo goes on where the first one stopped, so that nothing is created twice. With
`--once` it ends by itself, with 0 when the run was green and its balance is the one the sample was made for.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from dynamics.store.audit import AuditLog
from dynamics.store.database import create_store, upgrade
from sandbox import process
from sandbox.connections import sandbox_connections
from sandbox.demo.airflow import USER, Airflow, free_port, is_free
from sandbox.postgres import start_postgres

ROOT = Path(__file__).resolve().parents[2]
DAG_ID = "dynamics_bulk_sync"
SANDBOX_PORT = 8443
SHOWN = 4
console = Console(soft_wrap=True, highlight=False)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    arguments.add_argument("--once", action="store_true", help="end by itself after the run")
    arguments.add_argument("--state", type=Path, default=ROOT / ".demo", help="where the demo keeps its state")
    options = arguments.parse_args()
    stopped = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: _stop(stopped))
    try:
        return _demo(options.state, options.once, stopped)
    except KeyboardInterrupt:
        return 130


def _demo(state: Path, once: bool, stopped: threading.Event) -> int:
    state.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    postgres = start_postgres(state / "postgres")
    console.print("[bold]1[/] PostgreSQL is up")
    port = SANDBOX_PORT if is_free(SANDBOX_PORT) and is_free(SANDBOX_PORT + 1) else 0  # hub and organisation
    crm = process.start(port=port, orgs=1, state_dir=state / "sandbox", sample=True, keep=True)
    console.print(f"[bold]2[/] sandbox is up: Dynamics at {crm.ready['organizations'][0]['url']}")
    audit_url = postgres.url_for("dynamics_audit")
    audit = create_store(audit_url)
    upgrade(audit)
    airflow = Airflow(
        home=state / "airflow",
        root=ROOT,
        database_url=postgres.url_for("airflow").replace("postgresql://", "postgresql+psycopg2://"),
        port=free_port(8080),
        variables={"DYNAMICS_SYNC_INCLUDE": str(ROOT / "include"), "NO_PROXY": "localhost,127.0.0.1"},
    )
    try:
        airflow.start(DAG_ID)
        console.print(f"[bold]3[/] Airflow is up, {time.monotonic() - started:.0f} s after the start")
        for connection in _connections(crm.ready, audit_url):
            airflow.add_connection(connection)
        first = not AuditLog(audit).runs(limit=1)
        console.print(f"[bold]4[/] {DAG_ID} triggered through Airflow's REST API ...")
        run = airflow.run_dag(DAG_ID, {"action": "booth-leads", "source": "captello"})
        ok = _tell(AuditLog(audit), run, (crm.ready["sample"] or {}).get("expected_balance") if first else None)
        if once:
            console.print('\nStopped; "make demo" starts it again, with all that was done.')
            return 0 if ok else 1
        write_environment(state / "env", _connections(crm.ready, audit_url))
        console.print(f"\nAirflow    {airflow.url}   user [bold]{USER}[/], password [bold]{airflow.password}[/]")
        console.print(f"this run   {airflow.url}/dags/{DAG_ID}/runs/{run['dag_run_id']}")
        console.print(f"in a shell . {state / 'env'} && dynamics-sync log --outcome rejected")
        console.print("\nStays up until Ctrl-C.")
        stopped.wait()
        return 0 if ok else 1
    finally:
        airflow.stop()
        audit.dispose()
        crm.stop()
        postgres.stop()


def _connections(ready: dict[str, Any], audit_url: str) -> list[dict[str, Any]]:
    """What a person would enter. The UI's *Test* button compares the port, and sends 0 where none was entered."""
    address = sa.make_url(audit_url)
    return [
        *(
            {"connection_id": conn_id, "port": 0, **fields, "extra": json.dumps(fields["extra"])}
            for conn_id, fields in sandbox_connections(ready).items()
        ),
        {
            "connection_id": "dynamics_audit",
            "conn_type": "postgres",
            "description": "The audit database.",
            "host": address.query["host"],
            "port": 5432,
            "login": address.username,
            "schema": address.database,
        },
    ]


def write_environment(path: Path, connections: list[dict[str, Any]]) -> None:
    """A file to source in a shell: the connections, the include folder and the commands on the path."""
    lines = [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    lines.append(f"export DYNAMICS_SYNC_INCLUDE={shlex.quote(str(ROOT / 'include'))}")
    for connection in connections:
        fields = {name: value for name, value in connection.items() if name not in ("connection_id", "description")}
        lines.append(f"export AIRFLOW_CONN_{connection['connection_id'].upper()}={shlex.quote(json.dumps(fields))}")
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def _tell(audit: AuditLog, run: dict[str, Any], expected: dict[str, int] | None) -> bool:
    """Print the run's balance and some outcomes. False when the run was red or is not what the sample was made for."""
    newest = audit.runs(limit=1)[0].as_dict()
    table = Table(title=f"sync run {newest['run_id']}: {newest['state']}")
    table.add_column("outcome")
    table.add_column("prospects", justify="right")
    if expected:
        table.add_column("expected", justify="right")
    words = ("created", "updated", "unchanged", "skipped", "rejected", "deferred")
    for word in words:
        table.add_row(word, str(newest[word]), *([str(expected.get(word, 0))] if expected else []))
    table.add_section()
    table.add_row("selected", str(newest["selected"]), *([str(sum(expected.values()))] if expected else []))
    console.print(table)
    for word in words:
        for row in audit.outcomes(newest["run_id"], outcome=word, limit=1):
            told = " ".join(str(x) for x in (row.reason, row.error_column, row.record_url) if x)
            console.print(f"  {word:<10}{row.prospect_id}  {told}")
    balanced = newest["selected"] == sum(newest[word] for word in words)
    as_expected = expected is None or all(newest[word] == expected.get(word, 0) for word in words)
    if not as_expected:
        console.print("[red]the balance is not the one that the sample was made for[/]")
    return balanced and as_expected and run["state"] == "success"


def _stop(stopped: threading.Event) -> None:
    if stopped.is_set():
        os._exit(130)
    stopped.set()
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
