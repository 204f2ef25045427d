"""`dynamics-sync retry` as people run it: what was left over is written once the cause is gone; the log leads to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.contract.preflighting import environment, write_include
from tests.contract.store.samples import rows

PERSON = {"revision": 1, "status": "active", "updated_at": "2026-03-14T09:00:00Z", "first_name": "Ines"}


def test_what_was_rejected_is_written_once_the_crm_takes_it(
    sandbox: SandboxProcess, store: sa.Engine, audit_url: str, tmp_path: Path
) -> None:
    include = write_include(tmp_path)
    audit = json.dumps({"conn_type": "postgres", "extra": {"url": audit_url}})
    variables = {"AIRFLOW_CONN_DYNAMICS_AUDIT": audit, "DYNAMICS_SYNC_INCLUDE": str(include), "COLUMNS": "160"}

    def dynamics_sync(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dynamics.cli", *words]
        known = os.environ | environment(sandbox) | variables
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False)

    def newest() -> dict[str, object]:
        return rows(store, "SELECT * FROM sync.audit_run ORDER BY started_at DESC LIMIT 1")[0]

    people = [
        {"id": f"pro_{number}", **PERSON, "last_name": "Okafor", "email": f"p{number}@mail.example", "job_title": title}
        for number, title in enumerate(["Buyer", "Refused"])
    ]
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(person) + "\n" for person in people))
    plugin = {"table": "lead", "event": "create", "column": "jobtitle", "value": "Refused", "message": "No."}
    sandbox.control("POST", "schema", {"action": "install_plugin", **plugin})
    assert dynamics_sync("run", "--action", "drill", "--file", str(file)).returncode == 1
    first = newest()
    assert (first["created"], first["rejected"]) == (1, 1)
    file.unlink()

    shown = dynamics_sync("log", "--run", str(first["run_id"]))
    assert f"dynamics-sync retry --run {first['run_id']}" in " ".join(shown.stderr.split())
    assert "retry" not in dynamics_sync("log", "--run", str(first["run_id"]), "--format", "json").stderr

    sandbox.control("POST", "schema", {"action": "remove_plugin", "table": "lead"})
    dry = dynamics_sync("retry", "--run", str(first["run_id"]), "--outcome", "rejected", "--dry-run")
    assert (dry.returncode, newest()["dry_run"], newest()["selected"]) == (0, True, 1), dry.stderr
    done = dynamics_sync("retry", "--run", str(first["run_id"]), "--workers", "2")
    assert (done.returncode, newest()["created"], newest()["trigger"]) == (0, 1, "retry"), done.stderr
    nothing = dynamics_sync("retry", "--run", str(newest()["run_id"]))
    assert (nothing.returncode, newest()["selected"]) == (0, 0), nothing.stderr

    unknown = dynamics_sync("retry", "--run", str(uuid4()))
    assert unknown.returncode == 2
    assert "is not in the audit database" in unknown.stderr
    wrong = dynamics_sync("retry", "--run", str(first["run_id"]), "--outcome", "created")
    assert wrong.returncode == 2
    assert "'created' is nothing to retry" in wrong.stderr
