"""Tokens: when they are asked for, what is said when there is none, and that they stay out of sight."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
import requests
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from dynamics.dataverse.auth import TokenSource
from dynamics.errors import (
    AccessError,
    AccountError,
    RateLimitedError,
    ServiceUnavailableError,
    StoppedError,
    TransientError,
)
from tests.contract.dataverse.support import ACCOUNT, AUTHORITY, DISCOVERY, ORG, SECRET, TOKEN, sent, sign_in
from tests.fakes.clock import FakeClock


def source(clock: FakeClock | None = None, **changes: Any) -> TokenSource:
    return TokenSource(ACCOUNT.model_copy(update=changes), clock or FakeClock())


def refusal(code: int, error: str = "invalid_client") -> dict[str, object]:
    text = f"AADSTS{code}: canary text Trace ID: 1 Correlation ID: 2 Timestamp: 3"
    return {"error": error, "error_description": text, "error_codes": [code]}


def test_a_token_is_for_the_environment_and_nothing_else(web: responses.RequestsMock) -> None:
    sign_in(web)
    assert source().token() == "token-canary"
    form = parse_qs(sent(web, TOKEN)[0].body)
    assert form["scope"] == [f"{ORG}/.default"]
    assert form["grant_type"] == ["client_credentials"]
    assert form["client_secret"] == [SECRET]


def test_a_token_serves_until_shortly_before_its_end(web: responses.RequestsMock) -> None:
    sign_in(web, "one", "two", expires_in=3600)
    clock = FakeClock()
    tokens = source(clock)
    assert tokens.token() == "one"
    clock.sleep(3299)
    assert tokens.token() == "one"
    clock.sleep(1)
    assert tokens.token() == "two"


def test_a_short_lived_token_serves_most_of_its_life(web: responses.RequestsMock) -> None:
    sign_in(web, "one", "two", expires_in=60)
    clock = FakeClock()
    tokens = source(clock)
    assert tokens.token() == "one"
    clock.sleep(53)
    assert tokens.token() == "one"
    clock.sleep(2)
    assert tokens.token() == "two"


def test_a_refused_token_is_replaced_by_one_caller_for_all(web: responses.RequestsMock) -> None:
    sign_in(web, "one", "two", "three")
    tokens = source()
    old = tokens.token()
    assert [tokens.replace(old), tokens.replace(old), tokens.token()] == ["two", "two", "two"]


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        (7000215, 401, "the secret's value, not its id"),
        (7000222, 401, "the client secret has expired"),
        (700016, 400, "client id is not known"),
        (500011, 400, "environment address is not known"),
        (700027, 401, "the certificate does not belong"),
        (99999, 400, "look up the code"),
    ],
)
def test_a_refusal_says_what_to_do(web: responses.RequestsMock, code: int, status: int, remedy: str) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, json=refusal(code), status=status)
    with pytest.raises(AccessError, match=remedy) as refused:
        source().token()
    assert refused.value.code == f"AADSTS{code}"
    assert "canary" not in str(refused.value)


def test_a_refusal_names_the_connection(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, json=refusal(7000222), status=401)
    with pytest.raises(AccessError) as refused:
        source(connection_id="dynamics_default").token()
    assert str(refused.value) == (
        "connection dynamics_default: the client secret has expired: create a new one in the app registration and put "
        "it into the connection (HTTP 401, code AADSTS7000222)"
    )


def test_an_unknown_tenant_says_what_to_do(web: responses.RequestsMock) -> None:
    web.get(DISCOVERY, json=refusal(90002, "invalid_tenant"), status=400)
    with pytest.raises(AccountError, match="check the tenant id") as refused:
        source().token()
    assert refused.value.code == "AADSTS90002"


def test_waiting_callers_of_a_refused_one_do_not_ask_again_at_once_but_later(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, json=refusal(7000215), status=400)
    clock = FakeClock()
    tokens = source(clock)
    failures: list[AccountError] = []
    for _ in range(3):
        with pytest.raises(AccountError) as refused:
            tokens.token()
        failures.append(refused.value)
    assert len(sent(web, TOKEN)) == 1
    assert len({id(failure) for failure in failures}) == 3  # no traceback grows with the callers
    assert len({(type(failure), str(failure), failure.code, failure.status) for failure in failures}) == 1
    clock.sleep(5)
    web.replace(responses.POST, TOKEN, json={"token_type": "Bearer", "expires_in": 60, "access_token": "one"})
    assert tokens.token() == "one"


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        ({"status": 429, "headers": {"Retry-After": "17"}, "json": {}}, 17),
        ({"status": 429, "headers": {"Retry-After": "Sat, 14 Mar 2026 12:00:09 GMT"}, "json": {}}, 9),
        ({"status": 503, "body": "<html>canary</html>"}, 2),
        ({"status": 200, "body": "<html>a proxy's page</html>"}, 2),
        ({"body": requests.ConnectionError("canary")}, 2),
    ],
)
def test_a_busy_sign_in_is_waited_for(web: responses.RequestsMock, answer: dict[str, Any], wait_s: float) -> None:
    web.post(TOKEN, **answer)
    sign_in(web)
    clock = FakeClock()
    before = clock.monotonic()
    assert source(clock).token() == "token-canary"
    assert clock.monotonic() - before == wait_s


def test_tokens_of_a_minute_cost_one_sign_in_each_also_when_sign_in_is_busy_once(web: responses.RequestsMock) -> None:
    sign_in(web, *(f"token {n}" for n in range(5)), expires_in=60)
    web.post(TOKEN, status=429, headers={"Retry-After": "3"}, json={})
    web.post(TOKEN, json={"token_type": "Bearer", "expires_in": 60, "access_token": "the last"})
    clock = FakeClock()
    tokens, started = source(clock), clock.monotonic()
    while clock.monotonic() - started < 600:
        tokens.token()
        clock.sleep(0.5)
    assert 11 <= len(sent(web, TOKEN)) <= 15


def test_a_sign_in_that_stays_busy_is_given_up(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, status=503)
    with pytest.raises(ServiceUnavailableError):
        source().token()
    assert len(sent(web, TOKEN)) == 4


def test_a_sign_in_that_waits_stops_when_it_is_asked_to(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, status=503)
    clock = FakeClock()
    clock.sleep = lambda _: setattr(clock, "stopping", True)  # type: ignore[method-assign, assignment]
    with pytest.raises(StoppedError):
        source(clock).token()
    assert len(sent(web, TOKEN)) == 1


def test_a_long_pause_is_left_to_the_caller(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, status=429, headers={"Retry-After": "600"})
    with pytest.raises(RateLimitedError) as limited:
        source().token()
    assert limited.value.retry_after_s == 600
    assert isinstance(limited.value, TransientError)


def test_credentials_do_not_follow_the_authority_to_another_host(web: responses.RequestsMock) -> None:
    web.get(DISCOVERY, json={"authorization_endpoint": "https://evil.test/a", "token_endpoint": "https://evil.test/t"})
    with pytest.raises(AccountError, match="another host"):
        source().token()
    assert [call.request.url for call in web.calls] == [DISCOVERY]


def test_an_authority_nobody_knows_is_not_asked_about_at_microsoft(web: responses.RequestsMock) -> None:
    own = "https://localhost:8443/tenant"
    endpoints = {"authorization_endpoint": f"{own}/authorize", "token_endpoint": f"{own}/token", "issuer": own}
    web.get(f"{own}/v2.0/.well-known/openid-configuration", json=endpoints)
    web.post(f"{own}/token", json={"token_type": "Bearer", "expires_in": 60, "access_token": "one"})
    assert source(authority=own).token() == "one"


def test_the_authority_is_asked_once_where_it_signs_in(web: responses.RequestsMock) -> None:
    sign_in(web, "one", "two")
    tokens = source()
    tokens.replace(tokens.token())
    assert [call.request.url for call in web.calls] == [DISCOVERY, TOKEN, TOKEN]


def test_a_sign_in_that_redirects_is_an_account_fault_at_once(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.replace(responses.POST, TOKEN, status=302, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(AccountError, match="redirects: check the authority"):
        source().token()


@pytest.mark.parametrize("by", ["text", "path"])
@pytest.mark.parametrize("password", [None, "pass-canary"])
def test_a_certificate_signs_instead_of_a_secret(
    web: responses.RequestsMock, tmp_path: Path, by: str, password: str | None
) -> None:
    sign_in(web)
    pem, public_key = certificate(password)
    file = tmp_path / "client.pem"
    file.write_text(pem, encoding="ascii")
    changes: dict[str, Any] = {"certificate": SecretStr(pem if by == "text" else str(file)), "client_secret": None}
    tokens = source(**changes, certificate_password=SecretStr(password) if password else None)
    assert tokens.token() == "token-canary"
    form = parse_qs(sent(web, TOKEN)[0].body)
    assert "client_secret" not in form
    claims = jwt.decode(
        form["client_assertion"][0], public_key, algorithms=["PS256"], audience=TOKEN, options={"verify_exp": False}
    )
    assert claims["sub"] == "client"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/no/such/file.pem", "neither PEM text nor a file"),
        ("x" * 10_000, "neither PEM text nor a file"),
        ("-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----", "and its private key"),
        (
            "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"
            "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
            "cannot be opened",
        ),
    ],
)
def test_an_unusable_certificate_is_an_account_fault(web: responses.RequestsMock, text: str, why: str) -> None:
    with pytest.raises(AccountError, match=why) as refused:
        source(certificate=SecretStr(text)).token()
    assert "canary" not in str(refused.value)


def test_a_certificate_with_the_wrong_password_is_an_account_fault() -> None:
    pem, _ = certificate("right")
    for password in (None, SecretStr("wrong-canary")):
        with pytest.raises(AccountError, match="cannot be opened"):
            source(certificate=SecretStr(pem), certificate_password=password).token()


def test_no_token_and_no_secret_is_ever_shown(web: responses.RequestsMock, caplog: pytest.LogCaptureFixture) -> None:
    sign_in(web)
    heard: list[str] = []
    with caplog.at_level(logging.DEBUG):
        tokens = TokenSource(ACCOUNT, FakeClock(), heard.append)
        tokens.token()
    assert heard == ["token-canary"]
    assert "canary" not in caplog.text + repr(tokens)


def test_a_netrc_entry_and_the_environments_bundle_do_not_interfere(
    web: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine login.microsoftonline.com login someone password canary\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "theirs.pem"))
    sign_in(web)
    source(ca_bundle="ours.pem").token()
    for call in web.calls:
        assert "Authorization" not in call.request.headers
        assert call.request.req_kwargs["verify"] == "ours.pem"  # type: ignore[attr-defined]


def certificate(password: str | None) -> tuple[str, rsa.RSAPublicKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sync")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    return (signed.public_bytes(serialization.Encoding.PEM) + pem).decode(), key.public_key()


def test_the_authority_is_the_tenants() -> None:
    assert ACCOUNT.authority_url == AUTHORITY
