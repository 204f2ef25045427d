"""`dynamics-sync map` as a person runs it: what is printed, what is written, and the exit code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dynamics.cli import app
from tests.unit.core.builders import prospect

INCLUDE = Path(__file__).parents[2] / "include"
INES = prospect(first_name="Ines", last_name="Okafor", email="INES@Example.com", job_title="Plant Engineer")
LONG = INES | {"id": "pro_00000002", "job_title": "x" * 101}
HELD = INES | {"id": "pro_00000003", "status": "on_hold", "email": "held@example.com"}

Run = Callable[..., Result]


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped mapping set without its examples."""
    place = tmp_path / "include"
    ignored = shutil.ignore_patterns("examples")
    shutil.copytree(INCLUDE / "mappings" / "default", place / "mappings" / "default", ignore=ignored)
    monkeypatch.setenv("DYNAMICS_SYNC_INCLUDE", str(place))
    monkeypatch.setenv("COLUMNS", "100")
    return place


@pytest.fixture
def run(include: Path, tmp_path: Path) -> Run:
    people = tmp_path / "people.jsonl"
    people.write_text("".join(json.dumps(each) + "\n" for each in (INES, LONG, HELD)))

    def call(*words: str, file: bool = True) -> Result:
        return CliRunner().invoke(app, ["map", *(["--file", str(people)] if file else []), *words])

    return call


def example(include: Path, content: dict[str, Any], name: str = "ines.json") -> None:
    folder = include / "mappings" / "default" / "examples"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def test_a_prospect_that_fits(run: Run) -> None:
    shown = run("--table", "contact")
    assert shown.exit_code == 0, shown.output
    assert re.search(
        r"emailaddress1 +email · trim +INES@Example\.com *\n +lower +ines@example\.com +ines@example", shown.stdout
    )
    assert "A new contact with" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_a_prospect_that_is_rejected_is_told_at_its_column(run: Run) -> None:
    shown = run("--record", "2")
    assert shown.exit_code == 1
    assert "Rejected: jobtitle: text of 101 characters does not fit into 100 (rule: too_long)." in shown.stdout
    assert "firstname" in shown.stdout


def test_a_prospect_that_waits_is_said_to(run: Run) -> None:
    assert "it is on hold" in run("--record", "3").stdout


def test_lookalikes_of_markup_are_text(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps(INES | {"job_title": "[red]QA[/red] <Lead>"}))
    assert "[red]QA[/red] <Lead>" in run("--file", str(odd), file=False).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--mapping", "nope"), 2, "There is no mapping set 'nope'."),
        (("--table", "nope"), 2, "has no table 'nope'"),
        (("--account", "nowhere"), 2, "nowhere"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    shown = run(*words)
    assert shown.exit_code == code
    assert said in shown.output.replace("\n", " ")


def test_wrong_usage_ends_with_3() -> None:
    asked = subprocess.run([sys.executable, "-m", "dynamics.cli", "map"], capture_output=True, text=True, check=False)
    assert asked.returncode == 3
    assert "give one of --file" in asked.stderr


def test_examples_that_hold(run: Run, include: Path) -> None:
    drafted = json.loads(run("--as-example").stdout)
    example(include, drafted)
    checked = run("--check-examples", file=False)
    assert checked.exit_code == 0, checked.output
    assert "1 examples, 0 differ" in checked.stdout


def test_an_example_that_differs_says_where(run: Run, include: Path) -> None:
    drafted = json.loads(run("--as-example").stdout)
    drafted["expected"]["lead"]["record"]["jobtitle"] = "CEO"
    example(include, drafted)
    checked = run("--check-examples", file=False)
    assert checked.exit_code == 1
    assert 'lead: jobtitle: expected "CEO", found "Plant Engineer"' in checked.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"about": "x", "prospect": {"id": "p"}, "expected": {"lead": {"record": {}}}}, "'prospect' is none:"),
        ({"about": "x", "prospect": INES, "expected": {}}, "'expected' names no table"),
    ],
)
def test_a_file_that_is_no_example_is_named(run: Run, include: Path, content: dict[str, Any], said: str) -> None:
    example(include, content)
    checked = run("--check-examples", file=False)
    assert checked.exit_code == 2
    assert "include/mappings/default/examples/ines.json" in checked.output
    assert said in checked.output


def test_a_snapshot_of_its_own_goes_before_the_stock_columns(run: Run, include: Path) -> None:
    own = include / "mappings" / "default" / "columns" / "lead.json"
    own.parent.mkdir()
    own.write_text('{"logical_name": "lead", "entity_set": "leads", "primary_id": "leadid", "columns": {}}')
    assert "lead has no column 'firstname'" in run().output
    own.write_text('{"logical_name": "lead"}')
    assert "include/mappings/default/columns/lead.json: The file is no snapshot" in run().output
