"""The control API and the process: key, seed, reset, settings, restart."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import pytest
import requests

from sandbox import process
from sandbox.process import SandboxProcess
from sandbox.server.digest import digest
from tests.fixtures.sandbox import WebApiCaller

ID = "00000000-0000-4000-8000-00000000000a"


@pytest.mark.parametrize("headers", [{}, {"X-Control-Key": "wrong"}, {"Authorization": "Bearer wrong"}])
def test_nothing_without_the_key(sandbox: SandboxProcess, headers: dict[str, str]) -> None:
    for origin in (sandbox.ready["control_url"], sandbox.ready["organizations"][1]["url"]):
        answer = requests.get(f"{origin}/_sandbox/settings", headers=headers, verify=sandbox.ca_bundle, timeout=30)
        assert answer.status_code == 401


def test_the_key_may_come_as_a_bearer_token(sandbox: SandboxProcess) -> None:
    headers = {"Authorization": f"Bearer {sandbox.ready['control_key']}"}
    url = f"{sandbox.ready['control_url']}/_sandbox/settings"
    assert requests.get(url, headers=headers, verify=sandbox.ca_bundle, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "settings", {"latncy": {}}),
        ("PUT", "settings", {"latency": {"per_request": 1}}),
        ("PUT", "settings", {"servers": 0}),
        ("PUT", "settings", {"filter_lag_s": "soon"}),
        ("PUT", "settings?organization=7", {"servers": 1}),
        ("PUT", "faults", [{"effect": "explode"}]),
        ("PUT", "faults", [{"effect": "status", "match": {"tabel": "lead"}}]),
        ("POST", "seed", {"table": {}}),
        ("POST", "edit", {"action": "vanish", "table": "lead", "id": ID}),
        ("POST", "schema", {"action": "vanish", "table": "lead"}),
        ("GET", "rows", None),
    ],
)
def test_a_mistake_is_said_and_changes_nothing(sandbox: SandboxProcess, method: str, path: str, body: object) -> None:
    before = sandbox.control("GET", "settings")
    with pytest.raises(requests.HTTPError, match=r"^400 "):
        sandbox.control(method, path, body)
    assert sandbox.control("GET", "settings") == before


def test_settings_merge_for_all_or_one_organisation(sandbox: SandboxProcess) -> None:
    sandbox.control("PUT", "settings", {"latency": {"per_request_s": 0.5}, "filter_lag_s": 3})
    sandbox.control("PUT", "settings?organization=1", {"latency": {"per_row_s": 0.1}})
    first, second = (sandbox.control("GET", f"settings?organization={index}") for index in (0, 1))
    assert first["latency"] == {"per_request_s": 0.5, "per_row_s": 0.0}
    assert second["latency"] == {"per_request_s": 0.5, "per_row_s": 0.1}
    assert first["filter_lag_s"] == second["filter_lag_s"] == 3
    sandbox.control("PUT", "settings", {"limits": {"requests": 10}})
    assert sandbox.control("GET", "settings")["limits"] == {
        "requests": 10,
        "window_s": 300.0,
        "execution_s": 1200.0,
        "concurrency": 52,
    }
    sandbox.control("PUT", "settings", {"limits": None})
    assert sandbox.control("GET", "settings")["limits"] is None


def test_seeded_rows_are_there_and_reset_takes_them_away(sandbox: SandboxProcess) -> None:
    rows = [{"leadid": ID, "lastname": "Seeded", "createdon": "2020-01-02T03:04:05Z", "statecode": 1, "statuscode": 3}]
    assert sandbox.control("POST", "seed?organization=1", {"tables": {"lead": rows}}) == {"lead": 1}
    crm = WebApiCaller(sandbox, 1)
    lead = crm.call("GET", f"leads({ID})?$select=lastname,createdon,statecode").json()
    assert (lead["lastname"], lead["createdon"], lead["statecode"]) == ("Seeded", "2020-01-02T03:04:05Z", 1)
    assert sandbox.control("GET", "rows?table=lead") == []
    sandbox.control("POST", "reset")
    assert sandbox.control("GET", "rows?table=lead&organization=1") == []
    assert crm.call("GET", "WhoAmI").status_code == 200, "tokens outlive a reset"


def test_a_digest_sums_up_rows_and_their_events(sandbox: SandboxProcess) -> None:
    crm = WebApiCaller(sandbox)
    for name in ("Ruiz", "Okafor"):
        crm.create(lastname=name, jobtitle="Buyer")
    found = sandbox.control("GET", "digest?table=lead&columns=lastname,jobtitle")
    assert found == {**digest([["Okafor", "Buyer"], ["Ruiz", "Buyer"]]), "events": {"create": {"1": 2}}}
    assert sandbox.control("GET", "digest?table=lead&columns=jobtitle")["distinct"] == 1


def test_a_sample_fills_capture_and_crm(sandbox: SandboxProcess) -> None:
    loaded = sandbox.control("POST", "seed", {"sample": {"seed": 1, "prospects": 200}})
    assert loaded["prospects"] == 200
    assert len(sandbox.control("GET", "rows?table=lead")) == loaded["lead"]
    answer = requests.get(
        f"{sandbox.ready['capture_url']}/v1/prospects?limit=5",
        headers={"X-Api-Key": sandbox.ready["capture_key"]},
        verify=sandbox.ca_bundle,
        timeout=30,
    )
    assert len(answer.json()["data"]) == 5


def test_edits_and_schema_happen_behind_the_clients_back(sandbox: SandboxProcess) -> None:
    crm = WebApiCaller(sandbox)
    lead = crm.create(lastname="Ruiz", jobtitle="Buyer")
    sandbox.control("POST", "edit", {"action": "change", "table": "lead", "id": lead, "values": {"jobtitle": "Head"}})
    assert crm.call("GET", f"leads({lead})?$select=jobtitle").json()["jobtitle"] == "Head"
    sandbox.control("POST", "schema", {"action": "drop_column", "table": "lead", "column": "jobtitle"})
    assert crm.call("GET", f"leads({lead})?$select=jobtitle").status_code == 400


def test_what_is_possible_under_limits_and_latency(sandbox: SandboxProcess) -> None:
    change = {"limits": {}, "latency": {"per_request_s": 0.05, "per_row_s": 0.003}}
    sandbox.control("PUT", "settings", change)
    stats = sandbox.control("GET", "stats?rows_per_request=100")
    assert stats["possible_rows_per_s"] == pytest.approx(1200 / 300 / 0.35 * 100)


def test_a_restart_on_the_same_folder_keeps_what_clients_know(tmp_path: Path) -> None:
    kept = ("client_id", "client_secret", "tenant_id", "application_users", "capture_key", "control_key")
    with process.start(orgs=1, state_dir=tmp_path) as first:
        before, bundle = first.ready, Path(first.ca_bundle).read_bytes()
    with process.start(orgs=2, state_dir=tmp_path) as second:
        after = second.ready
        assert len(after["organizations"]) == 2
        assert after["organizations"][0]["organization_id"] == before["organizations"][0]["organization_id"]
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert Path(second.ca_bundle).read_bytes() == bundle
        for name in ("ready.json", "credentials.json", "server.pem", "client.pem"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert not (tmp_path / "ready.json").exists()
    assert before["client_secret"] not in (tmp_path / "server.log").read_text()


def test_the_ready_file_names_files_for_clients_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with process.start(orgs=1, state_dir=Path("state")) as running:
        assert running.ready["ca_bundle"] == str(tmp_path / "state" / "ca.pem")
        assert running.ready["certificate"] == str(tmp_path / "state" / "client.pem")


def test_a_port_in_use_is_a_clear_failure(sandbox: SandboxProcess, tmp_path: Path) -> None:
    taken = int(sandbox.ready["control_url"].rpartition(":")[2])
    with pytest.raises(process.SandboxFailedError, match=f"port {taken} cannot be opened"):
        process.start(port=taken, state_dir=tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    running = process.start(orgs=1, state_dir=tmp_path)
    assert running.stop(number) == 0
    assert (tmp_path / "server.log").read_text() == ""
