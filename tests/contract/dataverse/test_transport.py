"""The table of statuses: what is sent again, what is never sent again, and where nothing is sent at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
import requests
import responses
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NameResolutionError, ProtocolError

from dynamics.core.throttle import Traffic
from dynamics.dataverse import session
from dynamics.dataverse.transport import Call, Transport
from dynamics.errors import (
    AccessError,
    AccountError,
    ContractError,
    DynamicsError,
    OutcomeUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
    StoppedError,
)
from tests.contract.dataverse.support import ACCOUNT, API, ORG, READ, TOKEN, WRITE, error, sent, sign_in, transport
from tests.fakes.clock import FakeClock

LEADS = f"{API}/leads"


class Listening:
    """A budget that gives places to these users, one after the other, and keeps what it is told."""

    def __init__(self, *users: str) -> None:
        self.users = iter(users)
        self.slots = 0
        self.heard: list[tuple[object, ...]] = []
        self.traffic = Traffic()

    @contextmanager
    def slot(self, patience_s: float = 35.0) -> Iterator[str]:
        self.slots += 1
        yield next(self.users)

    def pause(self, user: str, seconds: float | None, fewer: bool = False) -> None:
        self.heard.append(("pause", user, seconds, fewer))

    def advise(self, user: str, dop_hint: int) -> None:
        self.heard.append(("advise", user, dop_hint))

    def unavailable(self, user: str, seconds: float | None = None) -> None:
        self.heard.append(("unavailable", user, seconds))

    def served(self, user: str) -> None:
        self.heard.append(("served", user))


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
    assert (down.value.status, down.value.operation) == (503, "read")
    assert len(sent(web, LEADS)) == 6


MISHAP = error("0x80040216", "An unexpected error occurred.")


def test_a_failure_with_one_request_is_repeated_a_few_times_and_nobody_else_waits(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=500, json=MISHAP)
    clock, budget = FakeClock(), Listening(*["one"] * 9)
    started = clock.monotonic()
    with pytest.raises(ServiceUnavailableError) as failed:
        Transport(ACCOUNT, budget, clock).send(READ)
    assert (failed.value.status, failed.value.code) == (500, "0x80040216")
    assert len(sent(web, LEADS)) == 5
    assert clock.monotonic() - started == 1 + 2 + 4 + 8
    assert set(budget.heard) == {("served", "one")}


@pytest.mark.parametrize(
    ("answer", "outage"),
    [
        ({"status": 500, "json": MISHAP}, False),
        ({"status": 500, "json": error("0x0", "Something went wrong.")}, False),
        ({"status": 500, "json": MISHAP, "headers": {"Retry-After": "7"}}, True),
        ({"status": 500, "json": error("0x80072324", "Overloaded.")}, True),
        ({"status": 503, "json": MISHAP}, True),
        ({"status": 500, "body": "<html>"}, True),
        ({"status": 502}, True),
        ({"body": CUT}, True),
    ],
)
def test_everyone_leaves_alone_only_a_service_that_fails(
    web: responses.RequestsMock, answer: dict[str, Any], outage: bool
) -> None:
    sign_in(web)
    web.post(LEADS, **answer)
    budget = Listening("one")
    with pytest.raises(OutcomeUnknownError):
        Transport(ACCOUNT, budget, FakeClock()).send(WRITE)
    assert [told[0] for told in budget.heard] == ["unavailable" if outage else "served"]


@pytest.mark.parametrize(
    ("status", "body", "outage"), [(500, MISHAP, False), (500, {}, False), (502, {}, True), (503, MISHAP, True)]
)
def test_a_part_of_a_batch_that_failed_is_no_outage_unless_a_gateway_says_so(
    status: int, body: object, outage: bool
) -> None:
    budget = Listening()
    line = Transport(ACCOUNT, budget, FakeClock())
    with pytest.raises(OutcomeUnknownError):
        line.judge(WRITE, session.Answer(status, {}, orjson.dumps(body), "one"), part=True)
    assert [told[0] for told in budget.heard] == ["unavailable" if outage else "served"]


def test_an_outage_is_waited_for_less_than_a_minute_however_long_the_service_asks(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=503, headers={"Retry-After": "200"})
    clock = FakeClock()
    started = clock.monotonic()
    with pytest.raises(ServiceUnavailableError) as down:
        transport(clock).send(READ)
    assert clock.monotonic() - started == 35
    assert down.value.retry_after_s == 165
    assert len(sent(web, LEADS)) == 1


def test_a_call_that_is_to_stop_waits_for_nothing(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=503)
    clock = FakeClock()
    clock.sleep = lambda _: setattr(clock, "stopping", True)  # type: ignore[method-assign, assignment]
    with pytest.raises(StoppedError):
        transport(clock).send(READ)
    assert len(sent(web, LEADS)) == 1


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


def test_no_pause_is_longer_than_the_window_and_a_call_waits_for_a_quarter_of_an_hour(
    web: responses.RequestsMock,
) -> None:
    sign_in(web)
    web.post(LEADS, status=429, headers={"Retry-After": "86400"}, json=error("0x80072322"))
    clock = FakeClock()
    started = clock.monotonic()
    with pytest.raises(RateLimitedError) as limited:
        transport(clock).send(WRITE)
    assert (limited.value.retry_after_s, limited.value.code) == (300, "0x80072322")
    assert len(sent(web, LEADS)) == 4
    assert clock.monotonic() - started == 900


@pytest.mark.parametrize(("code", "fewer"), [("0x80072321", True), ("0x80072326", True), ("0x80072322", False)])
def test_the_budget_hears_whether_it_was_too_much_at_once(web: responses.RequestsMock, code: str, fewer: bool) -> None:
    sign_in(web)
    web.get(LEADS, status=429, headers={"Retry-After": "7"}, json=error(code))
    web.get(LEADS, json={})
    budget = Listening("one", "one")
    Transport(ACCOUNT, budget, FakeClock()).send(READ)
    assert budget.heard == [("pause", "one", 7.0, fewer), ("served", "one")]


def test_what_the_organisation_recommends_is_told_when_it_changes(web: responses.RequestsMock) -> None:
    sign_in(web)
    for hint in ("8", "8", "none", "", "12"):
        web.get(LEADS, json={}, headers={"x-ms-dop-hint": hint})
    budget = Listening(*["one"] * 5)
    line = Transport(ACCOUNT, budget, FakeClock())
    for _ in range(5):
        line.send(READ)
    assert [told for told in budget.heard if told[0] == "advise"] == [("advise", "one", 8), ("advise", "one", 12)]


# ---------------------------------------------------------------- several application users


def test_each_application_user_signs_in_for_itself_and_replaces_its_own_token(web: responses.RequestsMock) -> None:
    sign_in(web, "first", "second", "second anew")
    web.get(LEADS, json={})
    web.get(LEADS, status=401)
    web.get(LEADS, json={})
    web.get(LEADS, json={})
    line = Transport(ACCOUNT, Listening("one", "two", "two", "one"), FakeClock())
    for _ in range(3):
        line.send(READ)
    signed = [request.headers["Authorization"] for request in sent(web, LEADS)]
    assert signed == ["Bearer first", "Bearer second", "Bearer second anew", "Bearer first"]
    clients = [parse_qs(request.body)["client_id"] for request in sent(web, TOKEN)]
    assert clients == [["one"], ["two"], ["two"]]


def test_a_place_is_not_used_after_a_long_sign_in_because_a_pause_may_have_begun(web: responses.RequestsMock) -> None:
    clock = FakeClock()
    web.post(TOKEN, status=429, headers={"Retry-After": "20"}, json={})
    sign_in(web)
    web.get(LEADS, json={})
    budget = Listening("", "")
    Transport(ACCOUNT, budget, clock).send(READ)
    assert budget.slots == 2


def test_of_several_users_the_one_kept_out_is_named(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=403, json=error("0x80040225"))
    account = ACCOUNT.model_copy(update={"application_users": ("two",), "connection_id": "dynamics_default"})
    with pytest.raises(AccessError) as kept_out:
        Transport(account, Listening("two"), FakeClock()).send(READ)
    assert str(kept_out.value) == (
        "connection dynamics_default, application user two: the application user is disabled: enable it in the "
        "environment (HTTP 403, code 0x80040225)"
    )


def test_one_refusal_speaks_for_all_who_wait_behind_it(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.get(LEADS, status=403, json=error("0x80040225"))
    web.get(LEADS, json={})
    clock = FakeClock()
    line = transport(clock)
    for _ in range(3):
        with pytest.raises(AccessError):
            line.send(READ)
    assert len(sent(web, LEADS)) == 1
    clock.sleep(4.0)
    line.send(READ)
    assert len(sent(web, LEADS)) == 2


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
    account = ACCOUNT.model_copy(update={"connection_id": "dynamics_default"})
    with pytest.raises(AccessError, match=r"^connection dynamics_default: .* refuses our token") as refused:
        transport(account=account).send(WRITE)
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
    with pytest.raises(AccessError, match=remedy):
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
