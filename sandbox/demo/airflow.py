"""A small Airflow on this machine: its environment, its processes, and the few REST calls the demo makes.

Three processes (API server, scheduler, DAG processor) in one process group each, stopped together. Nothing here is
meant for a deployment: one user, connections stored by REST so that they can be looked at in the UI.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
CALL_S = 120.0  # the first calls after a start find a server that still loads what it needs
USER = "admin"
MASKED = "certificate,certificate_password,webhook_secret,webhook_template,url"


@dataclass
class Airflow:
    """Airflow under `home`, on the metadata database `database_url`. `start` waits until it knows the DAG."""

    home: Path
    root: Path
    database_url: str
    port: int
    variables: Mapping[str, str]
    password: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _session: requests.Session = field(default_factory=requests.Session)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self, dag_id: str) -> None:
        """Migrate the database, start the processes, wait for `dag_id`. Raises RuntimeError when it takes too long."""
        self.home.mkdir(parents=True, exist_ok=True)
        environment = self._environment()
        with (self.home / "migrate.log").open("wb") as log:
            subprocess.run(  # noqa: S603 - our own interpreter and module
                self._command("db", "migrate"), env=environment, stdout=log, stderr=log, check=True
            )
        commands = (("api-server", "--host", "127.0.0.1", "--port", str(self.port)), ("scheduler",), ("dag-processor",))
        for command in commands:
            with (self.home / f"{command[0]}.log").open("wb") as log:
                self.processes.append(
                    subprocess.Popen(  # noqa: S603 - as above
                        self._command(*command), env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
        self._wait(lambda: self.sign_in() and self.get(f"dags/{dag_id}").get("is_stale") is False, "to start")

    def stop(self) -> None:
        """Stop every process and its children."""
        for process in self.processes:
            _signal_group(process, signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
            _signal_group(process, signal.SIGKILL)
        self.processes.clear()

    def add_connection(self, connection: Mapping[str, Any]) -> None:
        """Store a connection, replacing one of the same id."""
        self._call("DELETE", f"connections/{connection['connection_id']}", accept=(204, 404))
        self._call("POST", "connections", connection)

    def run_dag(self, dag_id: str, conf: Mapping[str, Any]) -> dict[str, Any]:
        """Trigger a run and wait for its end. Returns the DAG run."""
        path = f"dags/{dag_id}/dagRuns/{self.start_run(dag_id, conf)}"
        self._wait(lambda: self.get(path)["state"] in ("success", "failed"), "to finish the run", 600.0)
        return self.get(path)

    def start_run(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Unpause the DAG and trigger a run. Returns the DAG run's id."""
        self.unpause(dag_id)
        run = self._call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def unpause(self, dag_id: str) -> None:
        """Switch a DAG on, once Airflow knows it."""
        self._wait(lambda: self.get(f"dags/{dag_id}").get("is_stale") is False, f"to know {dag_id}")
        self._call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path, accept=(200, 404))

    # ------------------------------------------------------------ pieces

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *words]

    def _environment(self) -> dict[str, str]:
        kept = _secrets(self.home)
        self.password = kept["password"]
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({USER: self.password}))
        passwords.chmod(0o600)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        return inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.root / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__FERNET_KEY": kept["fernet"],
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES": MASKED,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url,
            "AIRFLOW__API__SECRET_KEY": kept["session"],
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt"],
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            **self.variables,
        }

    def sign_in(self) -> bool:
        """Whether the API server takes the password; calls carry its token from then on."""
        try:
            answer = self._session.post(
                f"{self.url}/auth/token", json={"username": USER, "password": self.password}, timeout=5
            )
        except requests.ConnectionError:
            return False
        if answer.status_code != 201:
            return False
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, accept: tuple[int, ...] = (200, 201)
    ) -> dict[str, Any]:
        answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=CALL_S)
        if answer.status_code not in accept:
            raise RuntimeError(f"Airflow answered {answer.status_code} to {method} {path}")
        return answer.json() if answer.content else {}

    def _wait(self, done: Any, what: str, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            dead = [p.args for p in self.processes if p.poll() is not None]
            if dead:
                raise RuntimeError(f"an Airflow process ended: see the logs in {self.home}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Airflow took more than {timeout_s:.0f} s {what}: see the logs in {self.home}")
            time.sleep(0.5)


def free_port(preferred: int) -> int:
    """The preferred port when nobody listens on it, else any free one."""
    if is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of the demo before is free again
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _secrets(home: Path) -> dict[str, str]:
    """Made once and kept beside the demo's databases, which are of no use without them."""
    path = home / "secrets.json"
    if not path.exists():
        made = {name: secrets.token_urlsafe(64) for name in ("session", "jwt")}
        made |= {"password": secrets.token_urlsafe(9), "fernet": Fernet.generate_key().decode()}
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _signal_group(process: subprocess.Popen[bytes], signum: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signum)
