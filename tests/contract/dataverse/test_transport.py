"""The table of statuses: what is sent again, what is never sent again, and where nothing is sent at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NameResolutionError, ProtocolError

from dynamics.dataverse import session
from dynamics.dataverse.transport import Call
from dynamics.errors import (
    AccountError,
    ContractError,
    DynamicsError,
    OutcomeUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)
from tests.contract.dataverse.support import ACCOUNT, API, ORG, READ, TOKEN, WRITE, error, sent, sign_in, transport
from tests.fakes.clock import FakeClock

LEADS = f"{API}/leads"
PLUGIN_TEXT = "ana-canary@orel.test"


def never_connected(reason: Exception) -> requests.ConnectionError:
    return requests.ConnectionError(MaxRetryError(None, LEADS, reason))  # type: ignore[arg-type]


NO_NAME = never_connected(NameResolutionError("contoso", None, OSError()))  # type: ignore[arg-type]
NO_ROUTE = requests.exceptions.ConnectTimeout(MaxRetryError(None, LEADS, ConnectTimeoutError()))  # type: ignore[arg-type]
CUT = requests.ConnectionError(ProtocolError("Connection aborted.", OSError()))
SILENCE = requests.exceptions.ReadTimeout()
HALF = requests.exceptions.ChunkedEncodingError()


# ---------------------------------------------------------------- reads


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 502, "body": "<html>bad gateway</html>"},
        {"status": 503},
        {"status": 504},
        {"status": 500, "json": error("0x80044150", "Sql Number: 1205")},
        {"status": 408},
        {"body": CUT},
        {"body": SILENCE},
        {"body": HALF},
        {"body": NO_NAME},
    ],
)
def test_a_read_is_repeated_with_growing_pauses(web: responses.RequestsMock, answer: dict[str, Any]) -> None:
    sign_in(web)
    web.get(LEADS, **answer)
    web.get(LEADS, **answer)
    web.get(LEADS, json={"value": []})
    clock = FakeClock()
    line, started = transport(clock), clock.monotonic()
    assert line.send(READ).status == 200
    assert clock.monotonic() - started == 1 + 2
    assert line.requests == 3


def test_repeating_a_read_ends(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=503)
    with pytest.raises(ServiceUnavailableError) as down:
        transport().send(READ)
    assert down.value.status == 503
    assert len(sent(web, LEADS)) == 6


def test_a_read_waits_as_long_as_it_is_told(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=503, headers={"Retry-After": "20"})
    web.get(LEADS, json={})
    clock = FakeClock()
    started = clock.monotonic()
    transport(clock).send(READ)
    assert clock.monotonic() - started == 20


# ---------------------------------------------------------------- writes


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500},
        {"status": 502},
        {"status": 503},
        {"status": 504},
        {"body": CUT},
        {"body": SILENCE},
        {"body": HALF},
    ],
)
def test_a_write_whose_answer_is_lost_is_never_repeated(web: responses.RequestsMock, answer: dict[str, Any]) -> None:
    sign_in(web)
    web.post(LEADS, **answer)
    with pytest.raises(OutcomeUnknownError) as lost:
        transport().send(WRITE)
    assert len(sent(web, LEADS)) == 1
    assert lost.value.operation == "create"


@pytest.mark.parametrize("fault", [NO_NAME, NO_ROUTE])
def test_a_write_that_never_left_is_known_not_to_have_landed(web: responses.RequestsMock, fault: Exception) -> None:
    sign_in(web)
    web.post(LEADS, body=fault)
    with pytest.raises(ServiceUnavailableError):
        transport().send(WRITE)
    assert len(sent(web, LEADS)) == 1


def test_an_answer_too_large_leaves_a_write_unknown_and_a_read_refused(
    web: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_BODY_BYTES", 1000)
    sign_in(web)
    web.post(LEADS, body="x" * 2000)
    web.get(LEADS, body="x" * 2000)
    line = transport()
    with pytest.raises(OutcomeUnknownError):
        line.send(WRITE)
    with pytest.raises(ContractError, match="too large"):
        line.send(READ)


@pytest.mark.parametrize("code", ["0x80044339", "0x80040224"])
def test_a_write_the_service_undid_comes_back_as_a_refusal(web: responses.RequestsMock, code: str) -> None:
    sign_in(web)
    web.post(LEADS, status=500, json=error(code))
    assert transport().send(WRITE).status == 500


@pytest.mark.parametrize("status", [400, 404, 405, 412, 413])
def test_refusals_of_the_content_are_the_callers(web: responses.RequestsMock, status: int) -> None:
    sign_in(web)
    web.post(LEADS, status=status, json=error("0x80049999"))
    assert transport().send(WRITE).status == status


# ---------------------------------------------------------------- throttling


@pytest.mark.parametrize("call", [READ, WRITE])
@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "Sat, 14 Mar 2026 12:00:30 GMT"}, 30),
        ({"Retry-After": "soon"}, 5),
        ({}, 5),
    ],
)
def test_a_429_pauses_everyone_and_is_sent_again(
    web: responses.RequestsMock, call: Call, headers: dict[str, str], pause_s: float
) -> None:
    sign_in(web)
    web.add(call.method, LEADS, status=429, headers=headers, json=error("0x80072322"))
    web.add(call.method, LEADS, json={})
    clock = FakeClock()
    started = clock.monotonic()
    assert transport(clock).send(call).status == 200
    assert clock.monotonic() - started == pause_s


def test_a_pause_beyond_bounds_is_left_to_the_caller(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.post(LEADS, status=429, headers={"Retry-After": "600"}, json=error("0x80072322"))
    with pytest.raises(RateLimitedError) as limited:
        transport().send(WRITE)
    assert (limited.value.retry_after_s, limited.value.code) == (600, "0x80072322")
    assert len(sent(web, LEADS)) == 1


# ---------------------------------------------------------------- who we are


@pytest.mark.parametrize("call", [READ, WRITE])
def test_a_refused_token_is_replaced_once(web: responses.RequestsMock, call: Call) -> None:
    sign_in(web, "one", "two", "three")
    web.add(call.method, LEADS, status=401)
    web.add(call.method, LEADS, json={})
    assert transport().send(call).status == 200
    assert [request.headers["Authorization"] for request in sent(web, LEADS)] == ["Bearer one", "Bearer two"]


def test_a_second_refused_token_is_an_account_fault(web: responses.RequestsMock) -> None:
    sign_in(web, "one-canary", "two-canary")
    web.post(LEADS, status=401, headers={"WWW-Authenticate": "Bearer authorization_uri=x, resource_id=y"})
    with pytest.raises(AccountError, match="refuses our token") as refused:
        transport().send(WRITE)
    assert len(sent(web, LEADS)) == 2
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "text", "remedy"),
    [
        ("0x80072560", "The user is not a member of the organization.", "no application user"),
        ("0x80040225", "disabled", "is disabled: enable it"),
        ("0x80040220", "Principal user is missing prvCreateLead privilege", "lacks prvCreateLead"),
        ("0x80042f09", "", "has no security role"),
        ("", "", "nobody has classified"),
    ],
)
def test_being_kept_out_is_an_account_fault_with_a_remedy(
    web: responses.RequestsMock, code: str, text: str, remedy: str
) -> None:
    sign_in(web)
    web.post(LEADS, status=403, json=error(code, text))
    with pytest.raises(AccountError, match=remedy):
        transport().send(WRITE)
    assert len(sent(web, LEADS)) == 1


def test_tokens_come_before_anything_is_sent(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(
        responses.POST, TOKEN, status=401, json={"error": "invalid_client", "error_description": "AADSTS7000222: x"}
    )
    with pytest.raises(AccountError, match="expired"):
        transport().send(WRITE)
    assert sent(web, LEADS) == []


# ---------------------------------------------------------------- where to


def test_a_redirect_is_not_followed(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=302, headers={"Location": "https://evil.test/"})
    with pytest.raises(ContractError, match="redirect"):
        transport().send(READ)
    assert len(sent(web, LEADS)) == 1


@pytest.mark.parametrize("host", [ORG, "https://contoso.api.crm4.dynamics.com", "https://CONTOSO.crm4.dynamics.com"])
def test_links_of_the_organisation_keep_their_query_untouched(host: str) -> None:
    query = "$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253c%22%20/%3E"
    link = f"{host}/api/data/v9.2/leads?{query}"
    assert transport().path_of("find", "lead", link) == f"/api/data/v9.2/leads?{query}"


@pytest.mark.parametrize(
    "link",
    [
        "https://other.crm4.dynamics.com/api",
        "http://contoso.crm4.dynamics.com/api",
        "https://contoso.crm4.dynamics.com:444/api",
        "https://contoso.crm4.dynamics.com@evil.test/api",
        "/api/data/v9.2/leads",
        "",
    ],
)
def test_links_to_anybody_else_are_refused(link: str) -> None:
    with pytest.raises(ContractError, match="another host"):
        transport().path_of("find", "lead", link)


# ---------------------------------------------------------------- how


def test_requests_carry_the_protocol_and_no_cookies(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, json={}, headers={"Set-Cookie": "ARRAffinity=x; path=/; secure"})
    line = transport()
    line.send(READ)
    line.send(READ)
    first, second = sent(web, LEADS)
    assert "Cookie" not in second.headers
    assert first.headers["OData-Version"] == first.headers["OData-MaxVersion"] == "4.0"
    assert first.headers["If-None-Match"] == "null"
    assert first.headers["Accept-Encoding"] == "gzip"
    assert first.headers["x-ms-client-request-id"] != second.headers["x-ms-client-request-id"]


def test_our_token_and_our_bundle_beat_the_environments(
    web: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine contoso.crm4.dynamics.com login someone password canary\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "theirs.pem"))
    sign_in(web)
    web.get(LEADS, json={})
    transport(account=ACCOUNT.model_copy(update={"ca_bundle": "ours.pem"})).send(READ)
    (request,) = sent(web, LEADS)
    assert request.headers["Authorization"] == "Bearer token-canary"
    assert request.req_kwargs["verify"] == "ours.pem"
    assert request.req_kwargs["timeout"] == (10.0, 120.0)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403, "json": error("0x80040256", PLUGIN_TEXT)},
        {"status": 500, "body": PLUGIN_TEXT},
        {"status": 429, "json": error("0x80072322", PLUGIN_TEXT), "headers": {"Retry-After": "999"}},
        {"status": 302, "headers": {"Location": PLUGIN_TEXT}},
        {"body": requests.ConnectionError(f"Bearer token-canary {PLUGIN_TEXT}")},
    ],
)
def test_neither_errors_nor_logs_repeat_what_was_answered(
    web: responses.RequestsMock, caplog: pytest.LogCaptureFixture, answer: dict[str, Any]
) -> None:
    sign_in(web)
    web.post(f"{LEADS}(canary)", **answer)
    with caplog.at_level(logging.DEBUG, "dynamics"), pytest.raises(DynamicsError) as fault:
        transport().send(Call("update", "lead", "POST", "leads(canary)", body=b"canary", writes=True))
    assert "canary" not in str(fault.value) + repr(fault.value) + caplog.text
