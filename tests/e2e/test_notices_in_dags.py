"""Notices out of real DAG runs: one when an action begins to fail, one when it works again, none in between."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.process import SandboxProcess
from tests.e2e.test_bulk_dag import ROOT, airflow_database, audit, bulk_dag, connected, run
from tests.fakes.notifier import KeepingNotifier

__all__ = ["airflow_database", "audit", "bulk_dag", "connected"]

SETTINGS = """
notices:
  - notifier: tests.fakes.notifier.BrokenNotifier
    with: {subject: "{subject}"}
  - notifier: tests.fakes.notifier.KeepingNotifier
    with: {subject: "{subject}", text: "{text}", url: "{url}"}
"""
PERSON = {"revision": 1, "status": "active", "updated_at": "2026-03-14T09:00:00Z", "first_name": "Qzcanary"}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What was told so far."""
    include = tmp_path / "include"
    shutil.copytree(ROOT / "include", include)
    (include / "settings.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DYNAMICS_SYNC_INCLUDE", str(include))
    KeepingNotifier.kept.clear()
    return KeepingNotifier.kept


def test_one_notice_a_change_of_state(
    bulk_dag: Any,
    connected: SandboxProcess,
    audit: sa.Connection,
    told: list[tuple[str, str, str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def sync(last_name: str | None, **params: Any) -> str:
        file = tmp_path / "people.jsonl"
        name = "pro_1" if last_name else "pro_2"
        person = {"id": name, **PERSON, "last_name": last_name, "email": f"qzcanary-{name}@mail.example"}
        file.write_text(json.dumps(person) + "\n")
        return run(bulk_dag, source="file", file=str(file), dry_run=False, **params)

    secret = connected.ready["client_secret"]
    assert sync("Okafor") == "success"
    assert told == []

    connected.control("PUT", "settings", {"applications": {connected.ready["client_id"]: {"secret": "revoked"}}})
    assert sync("Okafor") == "failed"
    (subject, text, url) = told.pop()
    assert subject == "Dynamics sync cannot start: booth-leads (bulk)"
    assert "The run did not begin" in text
    assert "/dags/dynamics_bulk_sync/runs/" in url
    assert sync("Okafor") == "failed"
    connected.control("PUT", "settings", {"applications": {connected.ready["client_id"]: {"secret": "valid"}}})
    assert run(bulk_dag, source="file", file=str(tmp_path / "none.jsonl")) == "failed"
    assert told == [], "it has failed before"

    assert sync("Okafor") == "success"
    assert [subject for subject, _, _ in told] == ["Dynamics sync works again: booth-leads (bulk)"]
    told.clear()

    assert sync(None) == "failed"
    (subject, text, url) = told.pop()
    assert subject == "Dynamics sync failed: booth-leads (bulk)"
    assert "1 selected = 0 created" in text
    assert "- 1 rejected: required, column lastname" in text
    assert "/dynamics/runs/" in url
    everything = caplog.text + subject + text + url
    assert [word for word in ("qzcanary", "s3cret", secret) if word in everything.lower()] == []
    assert "BrokenNotifier#1 failed (OSError)" in caplog.text
