"""A service on a real audit database and the sandbox, with an include folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dynamics.assembly import SyncService
from dynamics.config import connection_from_environment
from sandbox.process import SandboxProcess
from tests.drills.world import ACTION, CONTACT, LEAD

ACTION_NAME = "drill"


def environment(sandbox: SandboxProcess, **extra: Any) -> dict[str, str]:
    """The variables that hold the connections; `extra` goes into that of Dynamics."""
    ready = sandbox.ready
    account = {
        "conn_type": "dynamics",
        "host": ready["organizations"][0]["url"],
        "login": ready["client_id"],
        "password": ready["client_secret"],
        "extra": {
            "tenant_id": ready["tenant_id"],
            "authority": ready["authority"],
            "sandbox": True,
            "ca_bundle": ready["ca_bundle"],
            **extra,
        },
    }
    captello = {
        "conn_type": "captello",
        "host": ready["capture_url"],
        "password": ready["capture_key"],
        "extra": {"auth": "api_key", "ca_bundle": ready["ca_bundle"]},
    }
    return {
        "AIRFLOW_CONN_DYNAMICS_DEFAULT": json.dumps(account),
        "AIRFLOW_CONN_CAPTELLO_DEFAULT": json.dumps(captello),
    }


def service(sandbox: SandboxProcess, store: sa.Engine, include: Path, **extra: Any) -> SyncService:
    """`extra` goes into the Dynamics connection."""
    variables = environment(sandbox, **extra)
    return SyncService(store, partial(connection_from_environment, environment=variables), include)


def write_include(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """The drills' good configuration, with these files (below include/) written over it."""
    include = folder / "include"
    good = {
        "actions/drill.yaml": ACTION.lstrip(),
        "mappings/drill/lead.csv": LEAD,
        "mappings/drill/contact.csv": CONTACT,
    }
    for path, text in (good | dict(files or {})).items():
        (include / path).parent.mkdir(parents=True, exist_ok=True)
        (include / path).write_text(text)
    return include
