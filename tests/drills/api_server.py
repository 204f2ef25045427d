"""A real API server of Airflow with this project's plugin, on a database of its own, for drills and figures."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from cryptography.fernet import Fernet

from tests.drills.watching import wait_for
from tests.drills.world import ROOT, World

START_S = 120.0
ROLES = ("viewer", "user", "op", "admin")


@dataclass
class ApiServer:
    """A running server. `passwords`: role -> password of the user of that name; `log`: what it has printed."""

    url: str
    environment: Mapping[str, str]
    passwords: Mapping[str, str]
    log_file: Path
    process: subprocess.Popen[bytes]
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def token(self, role: str) -> str:
        """A token of the user with this role."""
        answer = self.session.post(
            f"{self.url}/auth/token", json={"username": role, "password": self.passwords[role]}, timeout=30
        )
        return str(answer.json()["access_token"])


def airflow_environment(world: World, folder: Path, port: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every Airflow process of this place is told."""
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({role: secrets.token_urlsafe(9) for role in ROLES}))
    database = world.server.url_for(f"airflow_{uuid.uuid4().hex[:12]}").replace(
        "postgresql://", "postgresql+psycopg2://"
    )
    kept = {name: value for name, value in world.environment().items() if not name.startswith("AIRFLOW__")}
    return kept | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        **(more or {}),
    }


@contextmanager
def api_server(world: World, more: Mapping[str, str] | None = None) -> Iterator[ApiServer]:
    """Start a server and stop it at the end. `more`: further variables for it."""
    with tempfile.TemporaryDirectory(prefix="api-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), _free_port()
        environment = airflow_environment(world, folder, port, more)
        command = [sys.executable, "-m", "airflow"]
        subprocess.run([*command, "db", "migrate"], env=environment, capture_output=True, check=True)
        log_file = folder / "api-server.log"
        with log_file.open("wb") as log:
            words = ("api-server", "--host", "127.0.0.1", "--port", str(port))
            process = subprocess.Popen(
                [*command, *words], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        url = f"http://127.0.0.1:{port}"
        passwords = json.loads((folder / "passwords.json").read_text())
        server = ApiServer(url, environment, passwords, log_file, process)
        server.session.trust_env = False
        try:
            if not wait_for(lambda: _is_up(server), START_S, 0.5):
                raise RuntimeError(f"the API server did not start: {server.log[-2000:]}")
            yield server
        finally:
            server.session.close()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _is_up(server: ApiServer) -> bool:
    if server.process.poll() is not None:
        raise RuntimeError(f"the API server ended: {server.log[-2000:]}")
    try:
        return server.session.get(f"{server.url}/api/v2/version", timeout=2).ok
    except requests.RequestException:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
