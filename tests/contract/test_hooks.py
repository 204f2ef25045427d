"""Hooks: from a connection in the environment to a client, and what the form's *Test* button says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from dynamics.errors import ContractError, NoConnectionError
from dynamics.hooks.audit import audit_url
from dynamics.hooks.captello import CaptelloHook
from dynamics.hooks.connections import connection_fields
from dynamics.hooks.dynamics import DynamicsHook
from sandbox.process import SandboxProcess

ORIGIN = "https://capture.example.com"
KEY = "key-canary"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def add(conn_id: str, **content: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(content))

    return add


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def captello(connect: Any, **extra: str) -> CaptelloHook:
    connect("captello_default", conn_type="captello", host=ORIGIN, password=KEY, extra=extra)
    return CaptelloHook()


def test_a_missing_connection_says_where_to_add_it() -> None:
    with pytest.raises(NoConnectionError, match=r"connection nobody: does not exist\. Add it in Airflow"):
        connection_fields("nobody")


def test_every_secret_of_a_connection_is_masked(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr("dynamics.hooks.connections.mask_secret", masked.append)
    extra = {"webhook_secret": "whsec_Y2FwdHVyZS1zb3VyY2UtdGVzdA==", "auth": "api_key"}
    connect("captello_default", conn_type="captello", password=KEY, extra=extra)
    connection_fields("captello_default")
    assert masked == [KEY, "whsec_Y2FwdHVyZS1zb3VyY2UtdGVzdA=="]


def test_the_audit_database_comes_from_its_connection(connect: Any) -> None:
    connect("dynamics_audit", conn_type="postgres", host="db", login="u", password="p", schema="audit")
    assert audit_url().render_as_string(hide_password=False) == "postgresql+psycopg://u:p@db/audit"


# ---------------------------------------------------------------- Captello


def test_test_says_that_prospects_can_be_read(api: responses.RequestsMock, connect: Any) -> None:
    api.get(f"{ORIGIN}/v1/health", json={"version": "1.0"})
    api.get(f"{ORIGIN}/v1/prospects", json={"data": [], "page": {"next_cursor": None}})
    assert captello(connect).test_connection() == (
        True,
        f"Connected to {ORIGIN}, version 1.0: prospects can be read, there is none yet.",
    )


def test_test_says_what_to_correct(api: responses.RequestsMock, connect: Any) -> None:
    api.get(f"{ORIGIN}/v1/health", status=401)
    ok, text = captello(connect).test_connection()
    assert not ok
    assert "enter a valid one in 'API key or client secret' of the connection" in text
    ok, text = captello(connect, auth="basic", api_key=KEY).test_connection()
    assert (ok, KEY in text) == (False, False)
    assert text.startswith("'Sign in with' is no way to sign in. Choose one of: api_key, client_credentials. has an")


def test_a_request_of_ones_own_is_signed_and_carries_no_other_extra(api: responses.RequestsMock, connect: Any) -> None:
    api.get(f"{ORIGIN}/v1/events", json={"data": []})
    answer = captello(connect, webhook_secret="whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5").run("/v1/events", {"limit": "1"})
    assert answer.json() == {"data": []}
    sent = api.calls[0].request
    assert sent.headers["X-Api-Key"] == KEY
    assert KEY not in str(sent.url)
    assert "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5" not in str(sent.headers)


def test_a_request_of_ones_own_that_is_refused_logs_no_body(
    api: responses.RequestsMock, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    api.get(f"{ORIGIN}/v1/events", status=500, body="canary@example.com")
    with pytest.raises(ContractError, match="HTTP 500"):
        captello(connect).run("/v1/events")
    assert "canary@example.com" not in caplog.text


# ---------------------------------------------------------------- on the sandbox


def sandbox_connection(sandbox: SandboxProcess, **change: Any) -> dict[str, Any]:
    ready = sandbox.ready
    extra = {
        "tenant_id": ready["tenant_id"],
        "authority": ready["authority"],
        "sandbox": True,
        "ca_bundle": ready["ca_bundle"],
    }
    content = {
        "conn_type": "dynamics",
        "host": ready["organizations"][0]["url"],
        "login": ready["client_id"],
        "password": ready["client_secret"],
        "extra": extra,
    }
    return content | change


def test_test_tells_who_we_are_in_which_organisation(sandbox: SandboxProcess, connect: Any) -> None:
    connect("dynamics_default", **sandbox_connection(sandbox))
    ok, text = DynamicsHook().test_connection()
    assert ok, text
    assert sandbox.ready["organizations"][0]["organization_id"] in text


def test_test_tells_that_the_secret_is_wrong(sandbox: SandboxProcess, connect: Any) -> None:
    connect("dynamics_default", **sandbox_connection(sandbox, password="wrong-canary"))
    ok, text = DynamicsHook().test_connection()
    assert not ok
    assert "secret" in text
    assert "canary" not in text


def test_test_tells_every_fault_of_the_form(connect: Any) -> None:
    connect("dynamics_default", conn_type="dynamics", host="https://example.com", password="canary")
    ok, text = DynamicsHook().test_connection()
    assert not ok
    assert "'Client id' is empty. Fill it in." in text
    assert "'Tenant id' is empty. Fill it in." in text
    assert "'Environment URL': The environment address names no Dynamics 365 host." in text
    assert "canary" not in text


@pytest.mark.parametrize("as_text", [True, False])
def test_the_token_of_an_unsigned_webhook_is_masked(
    connect: Any, monkeypatch: pytest.MonkeyPatch, as_text: bool
) -> None:
    masked: list[str] = []
    monkeypatch.setattr("dynamics.hooks.connections.mask_secret", masked.append)
    template = {"token": "canary-token"}
    extra = {"webhook_template": json.dumps(template) if as_text else template}
    connect("captello_default", conn_type="captello", password=KEY, extra=extra)
    connection_fields("captello_default")
    assert "canary-token" in masked


def test_both_webhook_secrets_are_masked_each_by_itself(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr("dynamics.hooks.connections.mask_secret", masked.append)
    connect("captello_default", conn_type="captello", password=KEY, extra={"webhook_secret": "whsec_one whsec_two"})
    connection_fields("captello_default")
    assert {"whsec_one", "whsec_two"} <= set(masked)
