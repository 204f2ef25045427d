"""What Airflow makes of this project: connection types with their forms, hooks, and one plugin file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection

from dynamics.config.accounts import CAPTELLO_EXTRA, DYNAMICS_EXTRA
from dynamics.hooks.connections import SECRET_EXTRA
from dynamics.provider import PACKAGE, get_provider_info

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
TYPES = {"dynamics": DYNAMICS_EXTRA, "captello": CAPTELLO_EXTRA}


def form(conn_type: str) -> Mapping[str, Any]:
    """The form's own description of a type."""
    [found] = [kind for kind in get_provider_info()["connection-types"] if kind["connection-type"] == conn_type]
    return dict(found)


def test_the_provider_is_named_as_its_distribution() -> None:
    assert distribution("airflow-dynamics-sync").metadata["Name"] == PACKAGE
    assert PACKAGE in ProvidersManager().providers  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("conn_type", TYPES)
def test_the_form_has_a_field_for_every_setting(conn_type: str) -> None:
    [meta] = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == conn_type]
    assert meta.hook_name == form(conn_type)["hook-name"]
    assert meta.standard_fields is not None
    assert meta.standard_fields.port is not None
    assert meta.standard_fields.port.hidden
    assert meta.standard_fields.host is not None
    assert meta.standard_fields.host.title == form(conn_type)["ui-field-behaviour"]["relabeling"]["host"]
    assert set(meta.extra_fields or {}) == set(TYPES[conn_type])


@pytest.mark.parametrize("conn_type", TYPES)
def test_every_field_is_explained_and_secrets_are_hidden(conn_type: str) -> None:
    for name, field in form(conn_type)["conn-fields"].items():
        assert field["label"]
        assert field["description"].endswith("."), name
        assert (field["schema"].get("format") == "password") == (name in SECRET_EXTRA), name


@pytest.mark.parametrize("conn_type", TYPES)
def test_a_connection_finds_its_hook(conn_type: str) -> None:
    hook = Connection(conn_id="c1", conn_type=conn_type).get_hook()  # type: ignore[no-untyped-call]
    assert type(hook).conn_type == conn_type
    assert getattr(hook, type(hook).conn_name_attr) == "c1"
    assert hook.hook_name == form(conn_type)["hook-name"]


def test_airflow_loads_the_plugin_file_alone() -> None:
    """In a process of its own: the loader puts what it runs into sys.modules."""
    script = f"""
import sys
from airflow.plugins_manager import _get_plugins
before = set(sys.modules)
plugins, errors = _get_plugins()
files = {{name: getattr(sys.modules[name], "__file__", None) or "" for name in set(sys.modules) - before}}
leaked = sorted(name for name, file in files.items() if file.startswith({str(PLUGINS)!r}))
print([plugin.name for plugin in plugins if plugin.name == "dynamics"], errors, leaked)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    # The file itself, and what it imports by its full name; nothing of the package under a name of its own.
    assert done.stdout.splitlines()[-1] == "['dynamics'] {} ['dynamics.timetables', 'dynamics_plugin']"
