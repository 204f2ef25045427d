"""A sandbox that keeps its content: stopped and started again on one folder."""

from __future__ import annotations

import signal
import stat
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import process
from sandbox.process import SandboxFailedError, SandboxProcess
from tests.fixtures.sandbox import WebApiCaller

PERSON = {"id": "pro_AAAAAAAAAAAA", "revision": 3, "status": "active", "created_at": "2026-01-02T03:04:05.000Z",
          "updated_at": "2026-01-02T03:04:05.678Z", "email": "ana@example.test", "last_name": "Ruiz",
          "submissions": []}  # fmt: skip
CAPTURE = {"prospects": [PERSON], "events": [{"id": "evt_1", "name": "Expo"}], "users": [{"id": "usr_1"}],
           "forms": [{"id": "frm_1"}], "fields": [{"path": "email"}]}  # fmt: skip


def captured(sandbox: SandboxProcess, path: str) -> Any:
    url = f"{sandbox.ready['capture_url']}/v1/{path}"
    headers = {"X-Api-Key": sandbox.ready["capture_key"]}
    answer = requests.get(url, headers=headers, verify=sandbox.ca_bundle, timeout=30)
    assert answer.ok, answer.text
    return answer.json()


def tables(sandbox: SandboxProcess) -> dict[str, list[dict[str, Any]]]:
    return {table: sandbox.control("GET", f"rows?table={table}") for table in ("lead", "contact", "systemuser")}


def test_records_and_prospects_outlive_a_stop(tmp_path: Path) -> None:
    with process.start(orgs=2, state_dir=tmp_path, keep=True) as first:
        caller = WebApiCaller(first)
        lead = caller.create(lastname="Ruiz", cap_badgeid="007")
        before, who = caller.call("GET", f"leads({lead})").json(), caller.call("GET", "WhoAmI").json()
        first.control("POST", "seed", CAPTURE)
        first.control("POST", "seed?organization=1", {"tables": {"contact": [{"lastname": "Other"}]}})
    with process.start(orgs=2, state_dir=tmp_path, keep=True) as second:
        caller = WebApiCaller(second)
        after = caller.call("GET", f"leads({lead})").json()
        del before["@odata.context"], after["@odata.context"]  # names the port
        assert after == before
        ids = ("UserId", "BusinessUnitId", "OrganizationId")
        assert [caller.call("GET", "WhoAmI").json()[name] for name in ids] == [who[name] for name in ids]
        assert after["_createdby_value"] == who["UserId"]
        assert captured(second, f"prospects/{PERSON['id']}") == PERSON
        for name in ("events", "forms", "users", "fields"):
            assert captured(second, name)["data"] == CAPTURE[name]
        assert [row["lastname"] for row in second.control("GET", "rows?table=contact&organization=1")] == ["Other"]
    files = list((tmp_path / "content").iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_sample_is_loaded_once(tmp_path: Path) -> None:
    with process.start(orgs=1, state_dir=tmp_path, sample=True, keep=True) as first:
        assert sum(first.ready["sample"]["expected_balance"].values()) == 2000
        before = tables(first)
        victim = before["lead"][0]["leadid"]
        first.control("POST", "edit", {"action": "delete", "table": "lead", "id": victim})
    with process.start(orgs=1, state_dir=tmp_path, sample=True, keep=True) as second:
        assert second.ready["sample"] is None
        after = tables(second)
    assert after == {**before, "lead": before["lead"][1:]}


def test_organisations_that_are_left_out_once_keep_their_rows(tmp_path: Path) -> None:
    with process.start(orgs=2, state_dir=tmp_path, keep=True) as first:
        first.control("POST", "seed?organization=1", {"tables": {"lead": [{"lastname": "Second"}]}})
    process.start(orgs=1, state_dir=tmp_path, keep=True).stop()
    with process.start(orgs=2, state_dir=tmp_path, keep=True) as last:
        assert [row["lastname"] for row in last.control("GET", "rows?table=lead&organization=1")] == ["Second"]


def test_only_a_clean_stop_replaces_what_is_kept(tmp_path: Path) -> None:
    for last_name, number in (("Kept", signal.SIGINT), ("Lost", signal.SIGKILL)):
        running = process.start(orgs=1, state_dir=tmp_path, keep=True)
        running.control("POST", "seed", {"tables": {"lead": [{"lastname": last_name}]}})
        running.stop(number)
    with process.start(orgs=1, state_dir=tmp_path, keep=True) as last:
        assert [row["lastname"] for row in last.control("GET", "rows?table=lead")] == ["Kept"]


def test_without_being_asked_it_keeps_nothing(tmp_path: Path) -> None:
    process.start(orgs=1, state_dir=tmp_path).stop()
    assert not (tmp_path / "content").exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format": 0, "content": {}}', b'{"format": 1, "content": 1}']
)
def test_a_damaged_file_stops_the_start_and_is_left_alone(tmp_path: Path, content: bytes) -> None:
    damaged = tmp_path / "content" / "capture.json"
    damaged.parent.mkdir()
    damaged.write_bytes(content)
    with pytest.raises(SandboxFailedError, match=r"capture\.json cannot be read; move it away") as failed:
        process.start(orgs=1, state_dir=tmp_path, keep=True)
    assert "Traceback" not in str(failed.value)
    assert damaged.read_bytes() == content
    assert len(list(damaged.parent.iterdir())) == 1


def test_keeping_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="state folder"):
        process.start(keep=True)
