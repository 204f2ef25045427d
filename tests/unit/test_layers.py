"""Imports point down a band: faces -> edges -> pure. Reads every import below plugins/dynamics."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "plugins" / "dynamics"
GROUND = ("errors", "clock", "killpoints")  # stand on nothing of ours but each other and the ports' types
EDGES = (
    "assembly",
    "automations",
    "captello",
    "config",
    "connecting",
    "core",
    "dataverse",
    "draining",
    "extras",
    "fulfillment",
    "maintenance",
    "notices",
    "preflight",
    "process",
    "reporting",
    "retrying",
    "run_request",
    "store",
    "sync",
)

# Module prefix -> prefixes it may import; the longest that fits counts. A package may always import itself.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "killpoints": ("errors",),
    "clock": ("errors", "sync.ports"),
    "provider": (),
    "timetables": (),
    "core": ("errors",),
    "sync": ("core", *GROUND),
    "extras": ("core", "sync.ports", "sync.records", *GROUND),
    "dataverse": ("core", "sync.ports", *GROUND),
    "captello": ("core", "sync.ports", *GROUND),
    "store": ("core", "sync.ports", *GROUND),
    "config": ("core", "dataverse.account", "captello.account", "captello.template", *GROUND),
    "preflight": ("config", "core", "store", "sync.ports", *GROUND),
    "automations": ("config", "core", "store", "sync", *GROUND),
    "reporting": ("core", "preflight", *GROUND),
    "run_request": ("core", *GROUND),
    "retrying": ("core", "run_request", "store", "sync.ports", *GROUND),
    "process": ("sync.engine", *GROUND),
    "connecting": ("captello", "config", "core", "dataverse", "process", "store", "sync", *GROUND),
    "assembly": (*EDGES, *GROUND),
    "notices": ("core", "store", *GROUND),
    "maintenance": (*EDGES, *GROUND),
    "draining": ("core", "dataverse", "extras", "store", "sync", *GROUND),
    "fulfillment": (*EDGES, *GROUND),
    "hooks": (*EDGES, *GROUND),
    "operators": ("hooks", *EDGES, *GROUND),
    "web": ("hooks", *EDGES, *GROUND),
    "rehearsal": (*EDGES, *GROUND),
    "terminal": ("reporting", *GROUND),
    "cli_map": ("rehearsal", "terminal", *EDGES, *GROUND),
    "cli_running": ("terminal", *EDGES, *GROUND),
    "cli": ("cli_map", "cli_running", "rehearsal", "terminal", *EDGES, *GROUND),
}


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def imports(source: str, module: str) -> Iterator[str]:
    """What a module imports of ours, without the leading `dynamics.`; `from dynamics import x` gives x."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{module}: imports are absolute")
            whole = node.module == "dynamics"
            found = [f"dynamics.{alias.name}" for alias in node.names] if whole else [node.module or ""]
        else:
            continue
        yield from (name.removeprefix("dynamics.") for name in found if within(name, "dynamics") and name != "dynamics")


def upward(source: str, module: str) -> list[str]:
    """The imports of a module that do not point down."""
    band = max((prefix for prefix in MAY_IMPORT if within(module, prefix)), key=len)
    allowed = (*MAY_IMPORT[band], band)
    return [name for name in imports(source, module) if not any(within(name, prefix) for prefix in allowed)]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    assert upward(MODULES[module].read_text(), module) == []


def test_every_module_stands_in_a_band() -> None:
    assert [name for name in MODULES if not any(within(name, prefix) for prefix in MAY_IMPORT)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.policy", "from dynamics.sync.ports import Crm"),
        ("core.policy", "def late():\n    import dynamics.store.ledger"),
        ("sync.engine", "from dynamics.dataverse.client import DataverseClient"),
        ("store.ledger", "from dynamics.sync.engine import Engine"),
        ("config.accounts", "from dynamics.dataverse.client import DataverseClient"),
        ("captello.client", "from dynamics import config"),
        ("dataverse.client", "from dynamics.captello.account import CaptelloAccount"),
        ("cli", "from dynamics.operators.sync import SyncProspects"),
        ("hooks.dynamics", "from dynamics.operators.sync import SyncProspects"),
        ("errors", "from dynamics.core.policy import Policy"),
    ],
)
def test_an_import_that_points_up_is_found(module: str, source: str) -> None:
    assert len(upward(source, module)) == 1


def test_core_is_pure() -> None:
    impure = {"airflow", "requests", "sqlalchemy", "msal", "os", "pathlib", "socket", "time", "logging", "random"}
    found = []
    for name, path in MODULES.items():
        if not within(name, "core"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{name}: {used}" for used in names if used.partition(".")[0] in impure]
    assert found == []


def test_only_backfills_look_at_the_dates_of_a_run() -> None:
    """What an automation selects is no matter of intervals or logical dates: both are nothing to go by in Airflow 3."""
    dates = {"data_interval_start", "data_interval_end", "logical_date", "execution_date", "ds", "ts"}
    sources = {**MODULES, **{f"dags/{path.name}": path for path in (PACKAGE.parents[1] / "dags").glob("*.py")}}
    found = []
    for name, path in sources.items():
        tree = ast.parse(path.read_text())
        allowed = {node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_interval"}
        inside = {id(node) for function in allowed for node in ast.walk(function)}
        found += [
            f"{name}: {node.attr if isinstance(node, ast.Attribute) else node.value}"
            for node in ast.walk(tree)
            if id(node) not in inside
            and (
                (isinstance(node, ast.Attribute) and node.attr in dates)
                or (isinstance(node, ast.Constant) and node.value in dates)
            )
        ]
    assert found == []
