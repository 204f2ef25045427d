"""`make demo`: everything on one machine, all three triggers on the sample prospects, and where to look at it.

Keeps its state in `.demo/`: a second demo goes on where the first one stopped, so that nothing is created twice. With
`--once` it ends by itself, with 0 when every run was green and the bulk sync's balance is the one the sample was made
for.
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
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console

from dynamics.store.audit import AuditLog
from dynamics.store.database import create_store, upgrade
from sandbox import process
from sandbox.connections import sandbox_connections
from sandbox.demo.airflow import USER, Airflow, free_port, is_free
from sandbox.demo.capture import NotLandedError, post_capture
from sandbox.demo.telling import News, tell_balance
from sandbox.demo.visitors import Booth
from sandbox.postgres import start_postgres

ROOT = Path(__file__).resolve().parents[2]
BULK, AUTOMATION, FULFILLMENT = "dynamics_bulk_sync", "dynamics_automation__every-minute", "dynamics_fulfillment"
SANDBOX_PORT = 8443
VISITORS, VISITOR_EVERY_S, NEWS_EVERY_S = 5, 20.0, 2.0
AUTOMATION_S, WORKER_S = 300.0, 300.0
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
    include = make_include(state / "include")
    airflow = Airflow(
        home=state / "airflow",
        root=ROOT,
        database_url=postgres.url_for("airflow").replace("postgresql://", "postgresql+psycopg2://"),
        port=free_port(8080),
        variables={"DYNAMICS_SYNC_INCLUDE": str(include), "NO_PROXY": "localhost,127.0.0.1"},
    )
    running = state / "running.json"
    try:
        airflow.start(BULK)
        console.print(f"[bold]3[/] Airflow is up, {time.monotonic() - started:.0f} s after the start")
        for connection in _connections(crm.ready, audit_url):
            airflow.add_connection(connection)
        ok = _bulk(airflow, audit, crm.ready)
        news = News(audit)
        ok &= _automation(airflow, news, Booth(crm.ready))
        ok &= _fulfillment(airflow, crm.ready)
        if once:
            console.print('\nStopped; "make demo" starts it again, with all that was done.')
            return 0 if ok else 1
        running.write_text(json.dumps({"airflow_url": airflow.url}))
        write_environment(state / "env", include, _connections(crm.ready, audit_url))
        _say_where(airflow, state)
        _stay(news, Booth(crm.ready), include, stopped)
        return 0 if ok else 1
    finally:
        running.unlink(missing_ok=True)
        airflow.stop()
        audit.dispose()
        crm.stop()
        postgres.stop()


# ---------------------------------------------------------------- the three triggers


def _bulk(airflow: Airflow, audit: sa.Engine, ready: dict[str, Any]) -> bool:
    """By hand: a bulk sync of everybody. Whether it ended as the sample was made for, the first time."""
    first = not AuditLog(audit).runs(limit=1)
    console.print(f"[bold]4[/] by hand: {BULK} triggered through Airflow's REST API ...")
    run = airflow.run_dag(BULK, {"action": "booth-leads", "source": "captello"})
    expected = (ready["sample"] or {}).get("expected_balance") if first else None
    ok = tell_balance(console, AuditLog(audit), run, expected)
    console.print(f"  in Airflow {airflow.url}/dags/{BULK}/runs/{run['dag_run_id']}")
    return ok


def _automation(airflow: Airflow, news: News, booth: Booth) -> bool:
    """On a schedule: some people come to the booth, and the run of this minute finds them."""
    console.print(
        f"[bold]5[/] on a schedule: {AUTOMATION} is switched on; {VISITORS} people are captured at the booth ..."
    )
    for _ in range(VISITORS):
        booth.capture()
    airflow.unpause(AUTOMATION)
    airflow.unpause(FULFILLMENT)  # its worker warms up meanwhile
    deadline = time.monotonic() + AUTOMATION_S
    settled = Counter[str]()
    while settled.total() < VISITORS:
        if time.monotonic() > deadline:
            console.print(f"  [red]{settled.total()} of them are settled after {AUTOMATION_S:.0f} s[/]")
            return False
        time.sleep(NEWS_EVERY_S)
        for told in news.read():
            settled[told.outcome] += told.count if told.trigger == "automation" else 0
    console.print("  " + ", ".join(f"{count} {outcome}" for outcome, count in settled.items() if count))
    return settled["created"] >= VISITORS


def _fulfillment(airflow: Airflow, ready: dict[str, Any]) -> bool:
    """At once: a signed capture is posted to the webhook; the first one waits until the worker is warm."""
    console.print(f"[bold]6[/] at once: {FULFILLMENT} waits for webhooks; a signed capture is posted ...")
    try:
        post_capture(airflow.url, ready, WORKER_S)
        landed = post_capture(airflow.url, ready)
    except NotLandedError as error:
        console.print(f"  [red]{error}[/]")
        return False
    console.print(f"  202 after {1000 * landed.answered_s:.0f} ms, in Dynamics after {landed.landed_s:.2f} s")
    console.print(f"  {landed.record_url}")
    return True


def _stay(news: News, booth: Booth, include: Path, stopped: threading.Event) -> None:
    """Until Ctrl-C: somebody comes to the booth now and then, and what has been synced is told."""
    news.read()
    next_visitor = time.monotonic()
    while not stopped.wait(NEWS_EVERY_S):
        if time.monotonic() >= next_visitor:
            link_actions(include)  # somebody may be writing one
            booth.capture()
            next_visitor += VISITOR_EVERY_S
        for told in news.read():
            console.print(f"{time.strftime('%H:%M:%S')}   {told}")


def _say_where(airflow: Airflow, state: Path) -> None:
    console.print(f"\nAirflow     {airflow.url}   user [bold]{USER}[/], password [bold]{airflow.password}[/]")
    console.print("webhook     make demo-capture, in another terminal: a capture, and how long it takes")
    console.print(f"in a shell  . {state / 'env'} && dynamics-sync log")
    console.print("\nSomebody comes to the booth every 20 seconds. Stays up until Ctrl-C; what is synced is told here.")


# ---------------------------------------------------------------- what they work with


def make_include(folder: Path) -> Path:
    """Actions and mappings of the project as they stand there, and the demo's own two actions besides."""
    actions = folder / "actions"
    actions.mkdir(parents=True, exist_ok=True)
    for old in (*actions.iterdir(), folder / "mappings"):
        old.unlink(missing_ok=True)
    (folder / "mappings").symlink_to(ROOT / "include/mappings")
    link_actions(folder)
    return folder


def link_actions(folder: Path) -> None:
    """Bring in actions that are not there yet."""
    for action in (*(ROOT / "include/actions").iterdir(), *(Path(__file__).parent / "actions").iterdir()):
        if not (folder / "actions" / action.name).is_symlink():
            (folder / "actions" / action.name).symlink_to(action)


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


def write_environment(path: Path, include: Path, connections: list[dict[str, Any]]) -> None:
    """A file to source in a shell: the connections, the include folder and the commands on the path."""
    lines = [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    lines.append(f"export DYNAMICS_SYNC_INCLUDE={shlex.quote(str(include))}")
    for connection in connections:
        fields = {name: value for name, value in connection.items() if name not in ("connection_id", "description")}
        lines.append(f"export AIRFLOW_CONN_{connection['connection_id'].upper()}={shlex.quote(json.dumps(fields))}")
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def _stop(stopped: threading.Event) -> None:
    if stopped.is_set():
        os._exit(130)
    stopped.set()
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
