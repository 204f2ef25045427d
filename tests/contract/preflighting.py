"""A service on a real audit database and the sandbox, with an include folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dynamics.assembly import SyncService
from dynamics.config import ConnectionFields
from dynamics.config.connections import connection_from_json
from sandbox.process import SandboxProcess
from tests.drills.world import ACTION, CONTACT, LEAD

ACTION_NAME = "drill"


def service(sandbox: SandboxProcess, store: sa.Engine, include: Path, **extra: Any) -> SyncService:
    """`extra` goes into the Dynamics connection."""
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
    connections: Mapping[str, Any] = {"dynamics_default": account, "captello_default": captello}

    def connection_of(conn_id: str) -> ConnectionFields:
        return connection_from_json(conn_id, json.dumps(connections[conn_id]))

    return SyncService(store, connection_of, include)


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
