"""The client against recorded exchanges: signing, paging, repeating, refusals, and what never leaves this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from pydantic import SecretStr
from responses import matchers

from dynamics.captello import transport
from dynamics.captello.account import Auth, CaptelloAccount
from dynamics.captello.client import CaptelloClient
from dynamics.errors import (
    AccountError,
    ContractError,
    DynamicsError,
    RateLimitedError,
    ServiceUnavailableError,
    StoppedError,
)
from tests.fakes.clock import FakeClock

ORIGIN = "https://capture.example.com"
PROSPECTS = f"{ORIGIN}/v1/prospects"
TOKEN = f"{ORIGIN}/capture/oauth2/token"
KEY = "key-canary"
BY_KEY = CaptelloAccount(ORIGIN, Auth.API_KEY, SecretStr(KEY))
BY_TOKEN = CaptelloAccount(ORIGIN, Auth.CLIENT_CREDENTIALS, SecretStr(KEY), client_id="client")


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(clock: FakeClock) -> CaptelloClient:
    return CaptelloClient(BY_KEY, clock=clock)


def item(number: int, second: int = 0) -> dict[str, Any]:
    at = f"2026-03-14T10:00:{second:02}.000Z"
    return {"id": f"pro_{number:08}", "revision": 1, "updated_at": at, "email": f"p{number}@example.com"}


def page(items: list[dict[str, Any]], cursor: str | None = None) -> dict[str, Any]:
    return {
        "data": items,
        "page": {"next_cursor": cursor, "limit": 200, "has_more": cursor is not None},
        "meta": {"high_watermark": "2026-03-14T10:00:59.000Z"},
    }


def problem(status: int, code: str, **headers: str) -> dict[str, Any]:
    body = {
        "type": f"urn:capture-source:v1:problem:{code}",
        "title": "canary@example.com may not",
        "detail": "canary@example.com",
        "status": status,
        "request_id": "req_77",
    }
    return {"status": status, "json": body, "headers": headers, "content_type": "application/problem+json"}


def queries(api: responses.RequestsMock) -> list[dict[str, str]]:
    return [{n: v[0] for n, v in parse_qs(urlsplit(call.request.url or "").query).items()} for call in api.calls]


def listed(client: CaptelloClient, **filters: str) -> list[str]:
    return [found["id"] for items in client.prospects(filters) for found in items]


# ---------------------------------------------------------------- signing


def test_the_key_goes_in_a_header_and_nowhere_else(api: responses.RequestsMock, client: CaptelloClient) -> None:
    api.get(PROSPECTS, json=page([item(1)]))
    listed(client, event_id="evt_1")
    request = api.calls[0].request
    assert request.headers["X-Api-Key"] == KEY
    assert KEY not in str(request.url)
    assert queries(api) == [{"event_id": "evt_1", "include": "submissions,answers,consents", "limit": "200"}]


def test_a_netrc_entry_does_not_replace_the_key(
    api: responses.RequestsMock, client: CaptelloClient, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine capture.example.com login me password other-secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    api.get(f"{ORIGIN}/v1/health", json={})
    client.health()
    assert "Authorization" not in api.calls[0].request.headers


def test_one_token_serves_until_shortly_before_its_end(api: responses.RequestsMock, clock: FakeClock) -> None:
    told: list[str] = []
    form = {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": KEY,
        "scope": "prospects:read submissions:read metadata:read",
    }
    for token in ("first", "second"):
        api.post(
            TOKEN,
            json={"access_token": token, "expires_in": 3600},
            match=[matchers.urlencoded_params_matcher(form)],
        )
    api.get(f"{ORIGIN}/v1/health", json={})
    client = CaptelloClient(BY_TOKEN, clock=clock, on_token=told.append)
    for passed_s in (0, 3500, 60):
        clock.sleep(passed_s)
        client.health()
    signed = [call.request.headers.get("Authorization") for call in api.calls if "health" in str(call.request.url)]
    assert signed == ["Bearer first", "Bearer first", "Bearer second"]
    assert told == ["first", "second"]


def test_a_token_taken_back_early_is_replaced_once(api: responses.RequestsMock, clock: FakeClock) -> None:
    for token in ("first", "second"):
        api.post(TOKEN, json={"access_token": token, "expires_in": 3600})
    api.get(f"{ORIGIN}/v1/health", **problem(401, "unauthorized"))
    api.get(f"{ORIGIN}/v1/health", json={"version": "1"})
    assert CaptelloClient(BY_TOKEN, clock=clock).health() == {"version": "1"}
    signed = [call.request.headers.get("Authorization") for call in api.calls if "health" in str(call.request.url)]
    assert signed == ["Bearer first", "Bearer second"]


def test_wrong_client_credentials_are_an_account_fault(api: responses.RequestsMock, clock: FakeClock) -> None:
    api.post(TOKEN, status=401, json={"error": "invalid_client"})
    with pytest.raises(AccountError, match="client id or client secret is not accepted") as caught:
        CaptelloClient(BY_TOKEN, clock=clock).health()
    assert KEY not in str(caught.value)


# ---------------------------------------------------------------- paging


def test_pages_are_walked_by_cursor_with_the_same_filters(api: responses.RequestsMock, client: CaptelloClient) -> None:
    api.get(PROSPECTS, json=page([item(1), item(2)], "c1"))
    api.get(PROSPECTS, json=page([item(3)], "c2"))
    api.get(PROSPECTS, json=page([]))
    assert listed(client, form_id="frm_1") == ["pro_00000001", "pro_00000002", "pro_00000003"]
    asked = queries(api)
    assert [query.pop("cursor", None) for query in asked] == [None, "c1", "c2"]
    assert asked[0] == asked[1] == asked[2]


def test_an_expired_cursor_goes_on_from_the_last_change_seen(
    api: responses.RequestsMock, client: CaptelloClient
) -> None:
    api.get(PROSPECTS, json=page([item(1, 1), item(2, 2)], "c1"))
    api.get(PROSPECTS, **problem(410, "cursor_expired"))
    api.get(PROSPECTS, json=page([item(2, 2), item(3, 3)]))
    assert listed(client, event_id="evt_1") == ["pro_00000001", "pro_00000002", "pro_00000002", "pro_00000003"]
    last = queries(api)[-1]
    assert (last["updated_since"], last["event_id"], "cursor" in last) == ("2026-03-14T10:00:02.000Z", "evt_1", False)


def test_lookups_name_200_ids_at_most_and_never_in_the_address(
    api: responses.RequestsMock, client: CaptelloClient
) -> None:
    api.post(f"{PROSPECTS}:lookup", json={"data": [item(1)]})
    asked = [f"pro_{n:08}" for n in range(450)]
    assert len(list(client.lookup(asked))) == 3
    bodies = [json.loads(call.request.body or b"") for call in api.calls]
    assert [len(body["ids"]) for body in bodies] == [200, 200, 50]
    assert [prospect_id for body in bodies for prospect_id in body["ids"]] == asked
    assert {call.request.url for call in api.calls} == {f"{PROSPECTS}:lookup"}


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ([], "the answer is no JSON object"),
        ({"page": {"next_cursor": None}}, "'data' is no list of prospects"),
        ({"data": {}, "page": {"next_cursor": None}}, "'data' is no list of prospects"),
        ({"data": [1], "page": {"next_cursor": None}}, "'data' is no list of prospects"),
        ({"data": []}, "'page.next_cursor' is neither a cursor nor null"),
        ({"data": [], "page": {"next_cursor": ""}}, "'page.next_cursor' is neither a cursor nor null"),
        ({"data": [], "page": {"next_cursor": "c"}}, "the cursor does not advance"),
        ({"data": [{}], "page": {"next_cursor": None}}, "a prospect has no 'updated_at'"),
    ],
)
def test_an_answer_outside_the_contract_stops(
    api: responses.RequestsMock, client: CaptelloClient, answer: Any, detail: str
) -> None:
    api.get(PROSPECTS, json=answer)
    with pytest.raises(ContractError, match=detail):
        listed(client)


def test_a_cursor_that_comes_again_stops(api: responses.RequestsMock, client: CaptelloClient) -> None:
    api.get(PROSPECTS, json=page([item(1)], "c1"))
    with pytest.raises(ContractError, match="does not advance"):
        listed(client)


# ---------------------------------------------------------------- repeating


@pytest.mark.parametrize(
    ("failure", "waits_s"),
    [
        (problem(429, "rate_limited", **{"Retry-After": "17"}), 17.0),
        (problem(503, "unavailable", **{"Retry-After": "Sat, 14 Mar 2026 12:00:40 GMT"}), 40.0),
        (problem(503, "unavailable", **{"Retry-After": "Sat, 14 Mar 2020 12:00:40 GMT"}), 0.0),
        (problem(429, "rate_limited", **{"Retry-After": "soon"}), 1.0),
        (problem(502, "bad_gateway"), 1.0),
        (problem(500, "internal"), 1.0),
        ({"body": requests.exceptions.ConnectionError("reset")}, 1.0),
        ({"body": requests.exceptions.ReadTimeout("slow")}, 1.0),
        ({"body": requests.exceptions.ChunkedEncodingError("cut")}, 1.0),
    ],
)
def test_a_read_that_was_not_served_is_repeated(
    api: responses.RequestsMock, client: CaptelloClient, clock: FakeClock, failure: dict[str, Any], waits_s: float
) -> None:
    began = clock.monotonic()
    api.get(PROSPECTS, **failure)
    api.get(PROSPECTS, json=page([item(1)]))
    assert listed(client) == ["pro_00000001"]
    assert clock.monotonic() - began == waits_s


def test_a_read_that_waits_stops_when_it_is_asked_to(
    api: responses.RequestsMock, client: CaptelloClient, clock: FakeClock
) -> None:
    api.get(PROSPECTS, **problem(503, "unavailable"))
    clock.sleep = lambda _: setattr(clock, "stopping", True)  # type: ignore[method-assign, assignment]
    with pytest.raises(StoppedError):
        listed(client)
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("failure", "kind", "calls", "retry_after_s"),
    [
        (problem(429, "rate_limited", **{"Retry-After": "7"}), RateLimitedError, transport.MAX_TRIES, 7.0),
        (problem(429, "rate_limited", **{"Retry-After": "3600"}), RateLimitedError, 1, 3600.0),
        (problem(503, "unavailable"), ServiceUnavailableError, transport.MAX_TRIES, None),
        (
            {"body": requests.exceptions.ConnectionError("reset")},
            ServiceUnavailableError,
            transport.MAX_TRIES,
            None,
        ),
    ],
)
def test_repeating_ends(
    api: responses.RequestsMock,
    client: CaptelloClient,
    failure: dict[str, Any],
    kind: type[ServiceUnavailableError],
    calls: int,
    retry_after_s: float | None,
) -> None:
    api.get(PROSPECTS, **failure)
    with pytest.raises(kind) as caught:
        listed(client)
    assert (len(api.calls), caught.value.retry_after_s) == (calls, retry_after_s)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (problem(401, "unauthorized"), AccountError, "enter a valid one in 'API key or client secret'"),
        (problem(403, "insufficient_scope"), AccountError, "it needs the scopes prospects:read"),
        (problem(404, "not_found"), ContractError, "there is no Capture Source API: check 'API address'"),
        (problem(400, "cursor_filter_mismatch"), ContractError, "code cursor_filter_mismatch"),
        (problem(410, "cursor_expired"), ContractError, "code cursor_expired"),
        (
            {"status": 302, "headers": {"Location": "https://evil.example/?q=1"}},
            ContractError,
            "redirects, which is not followed",
        ),
        (
            {"body": requests.exceptions.SSLError("self-signed")},
            AccountError,
            "is not trusted: check 'API address' and 'CA bundle'",
        ),
        ({"body": b"<html>canary@example.com</html>"}, ContractError, "the answer is no JSON object"),
    ],
)
def test_a_refusal_is_final_and_names_no_person(
    api: responses.RequestsMock,
    client: CaptelloClient,
    caplog: pytest.LogCaptureFixture,
    answer: dict[str, Any],
    kind: type[DynamicsError],
    text: str,
) -> None:
    caplog.set_level(logging.DEBUG, "dynamics")
    api.get(PROSPECTS, **answer)
    with pytest.raises(kind, match=text) as caught:
        listed(client)
    assert len(api.calls) == 1
    assert "canary" not in str(caught.value) + caplog.text
    if "json" in answer:
        assert caught.value.request_id == "req_77"


def test_an_answer_without_end_is_cut(
    api: responses.RequestsMock, client: CaptelloClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BYTES", 1000)
    api.get(PROSPECTS, body=b" " * 1001)
    with pytest.raises(ContractError, match="more than 1000 bytes"):
        listed(client)


def test_cookies_are_not_kept(api: responses.RequestsMock, client: CaptelloClient) -> None:
    api.get(f"{ORIGIN}/v1/health", json={}, headers={"Set-Cookie": "session=1"})
    client.health()
    client.health()
    assert "Cookie" not in api.calls[1].request.headers


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ([item(1)], f"Connected to {ORIGIN}, version 1.4: prospects can be read."),
        ([], f"Connected to {ORIGIN}, version 1.4: prospects can be read, there is none yet."),
    ],
)
def test_the_test_reads_one_prospect(
    api: responses.RequestsMock, client: CaptelloClient, first: list[dict[str, Any]], text: str
) -> None:
    api.get(f"{ORIGIN}/v1/health", json={"version": "1.4"})
    api.get(PROSPECTS, json=page(first), match=[matchers.query_param_matcher({"limit": "1"}, strict_match=False)])
    assert client.test() == text


# ---------------------------------------------------------------- fields


def test_fields_are_read_to_the_end(api: responses.RequestsMock, client: CaptelloClient) -> None:
    for path, cursor in (("first_name", "c1"), ("custom.budget", None)):
        api.get(f"{ORIGIN}/v1/fields", json=page([{"path": path, "label": path, "type": "string"}], cursor))
    assert [field["path"] for field in client.fields()] == ["first_name", "custom.budget"]
    assert queries(api) == [{}, {"cursor": "c1"}]


def test_fields_that_never_end_are_a_broken_contract(api: responses.RequestsMock, client: CaptelloClient) -> None:
    api.get(f"{ORIGIN}/v1/fields", json=page([{"path": "first_name"}], "c1"))
    with pytest.raises(ContractError, match=r"list /v1/fields: the cursor does not advance"):
        client.fields()
