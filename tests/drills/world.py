"""A place to drill in: database, sandbox, include folder and the product as processes, and eyes on all of them.

The judge never asks the product: it reads the sandbox's journal and tables, and the audit views by plain SQL.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dynamics.store.database import create_store, upgrade
from sandbox import process
from sandbox.postgres import PostgresServer, start_postgres

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = "2"
MAPPING = "target,source,transform,default,write,blank,comment\n"
LEAD = (
    MAPPING
    + "subject,{first_name} {last_name},,,always,keep,\n"
    + "firstname,first_name,trim,,always,keep,\n"
    + "lastname,last_name,trim,,always,keep,\n"
    + "emailaddress1,email,trim,,always,keep,\n"
    + "jobtitle,job_title,trim,,always,keep,\n"
    + "mobilephone,phones.mobile,trim,,always,keep,\n"
    + "companyname,company.name,trim,,always,keep,\n"
    + "description,notes.all,truncate,,always,keep,\n"
)
CONTACT = "".join(line for line in LEAD.splitlines(keepends=True) if not line.startswith(("subject", "companyname")))
ACTION = """
account: dynamics_default
mapping: drill
duplicates: {check: leads, match_by: email, several: update_most_recently_updated}
create: lead
triggers: {bulk: true}
max_rejected_percent: 100
"""


@dataclass
class World:
    """One drill's surroundings. `folder` is its own; `crm` the running sandbox, `server` the database server.

    `connection_extra` and `client_secret` are for what the account's connection holds in further or other words,
    `captello_extra` for what Captello's does.
    """

    folder: Path
    crm: process.SandboxProcess
    engine: sa.Engine
    audit_url: str
    server: PostgresServer
    connection_extra: dict[str, Any] = field(default_factory=dict)
    captello_extra: dict[str, Any] = field(default_factory=dict)
    client_secret: str | None = None
    lease_s: str = LEASE_S  # short, so that a dead worker is soon taken over; where load is drilled, the product's own

    def sync(
        self,
        file: Path,
        *,
        kill: str | None = None,
        action: str = "drill",
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `dynamics-sync run` on a file of prospects; `kill` names a kill point."""
        words = ("run", "--action", action, "--file", str(file), "--workers", str(workers))
        return self.command(*words, environment={"DYNAMICS_SYNC_KILL": kill or "", **(environment or {})})

    def command(
        self, *words: str, environment: Mapping[str, str] | None = None, timeout_s: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run the product's command line to its end."""
        with self.start(*words, environment=environment) as process:
            try:
                out, errors = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the product's command line, to be stopped, continued or killed from outside.

        It leads a process group, which its further workers belong to.
        """
        command = [sys.executable, "-m", "dynamics.cli", *words]
        variables = self.environment() | dict(environment or {})
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=variables, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def environment(self) -> dict[str, str]:
        account = {"password": self.client_secret, "extra": self.connection_extra}
        return (
            os.environ
            | connections(self.crm, self.audit_url, account, self.captello_extra)
            | {"DYNAMICS_SYNC_INCLUDE": str(self.folder / "include"), "DYNAMICS_SYNC_LEASE_S": self.lease_s}
        )

    def sql(self, query: str, **parameters: Any) -> list[sa.RowMapping]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(query), parameters).mappings())

    def rows(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.crm.control("GET", f"rows?table={table}")
        return found

    def events(self, table: str) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = self.crm.control("GET", f"events?table={table}")
        return found

    def journal(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.crm.control("GET", "journal")
        return found

    def write_prospects(self, prospects: Sequence[Mapping[str, Any]], name: str = "prospects.jsonl") -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(p) + "\n" for p in prospects))
        return path


def connections(
    crm: process.SandboxProcess,
    audit_url: str,
    account: Mapping[str, Any] | None = None,
    captello_extra: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The three connections as environment variables; `account` changes password and extra of the organisation's."""
    ready, changed = crm.ready, account or {}
    dynamics = {
        "conn_type": "dynamics",
        "host": ready["organizations"][0]["url"],
        "login": ready["client_id"],
        "password": changed.get("password") or ready["client_secret"],
        "extra": {
            "tenant_id": ready["tenant_id"],
            "authority": ready["authority"],
            "sandbox": True,
            "ca_bundle": ready["ca_bundle"],
            **changed.get("extra", {}),
        },
    }
    captello = {
        "conn_type": "captello",
        "host": ready["capture_url"],
        "password": ready["capture_key"],
        "extra": {"auth": "api_key", "ca_bundle": ready["ca_bundle"], **(captello_extra or {})},
    }
    return {
        "AIRFLOW_CONN_CAPTELLO_DEFAULT": json.dumps(captello),
        "AIRFLOW_CONN_DYNAMICS_AUDIT": json.dumps({"conn_type": "postgres", "extra": {"url": audit_url}}),
        "AIRFLOW_CONN_DYNAMICS_DEFAULT": json.dumps(dynamics),
    }


@contextmanager
def shared_servers() -> Iterator[tuple[PostgresServer, process.SandboxProcess]]:
    """A database server and a sandbox that several drills use one after the other."""
    folder = Path(tempfile.mkdtemp(prefix="drills-"))
    server = start_postgres(folder / "postgres")
    crm = process.start(orgs=1, state_dir=folder / "sandbox")
    try:
        yield server, crm
    finally:
        crm.stop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def world(servers: tuple[PostgresServer, process.SandboxProcess]) -> Iterator[World]:
    """A fresh database and an empty sandbox on the shared servers."""
    server, crm = servers
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    mappings, actions = folder / "include/mappings/drill", folder / "include/actions"
    mappings.mkdir(parents=True)
    actions.mkdir(parents=True)
    (mappings / "lead.csv").write_text(LEAD)
    (mappings / "contact.csv").write_text(CONTACT)
    (actions / "drill.yaml").write_text(ACTION.lstrip())
    crm.control("POST", "reset")
    url = server.url_for(f"drill_{uuid.uuid4().hex[:12]}")
    engine = create_store(url)
    upgrade(engine)
    try:
        yield World(folder, crm, engine, url, server)
    finally:
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)
