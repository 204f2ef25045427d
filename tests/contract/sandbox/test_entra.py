"""The token endpoint, by msal and by hand."""

from __future__ import annotations

from pathlib import Path

import msal  # type: ignore[import-untyped]  # ships no types
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox.process import SandboxProcess
from tests.fixtures.sandbox import WebApiCaller, token_answer


@pytest.fixture
def http(sandbox: SandboxProcess) -> requests.Session:
    session = requests.Session()
    session.trust_env, session.verify = False, sandbox.ca_bundle
    return session


def scope(sandbox: SandboxProcess) -> str:
    return f"{sandbox.ready['organizations'][0]['url']}/.default"


def application(
    sandbox: SandboxProcess, http: requests.Session, credential: object
) -> msal.ConfidentialClientApplication:
    ready = sandbox.ready
    return msal.ConfidentialClientApplication(
        ready["client_id"],
        client_credential=credential,
        authority=ready["authority"],
        instance_discovery=False,
        http_client=http,
    )


def registered(sandbox: SandboxProcess) -> tuple[str, str, str]:
    """Key, certificate and SHA-1 thumbprint of the certificate the ready file names."""
    text = Path(sandbox.ready["certificate"]).read_text()
    key, marker, certificate = text.partition("-----BEGIN CERTIFICATE-----")
    pem = marker + certificate
    return key, pem, x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA1()).hex()


def test_msal_with_a_secret(sandbox: SandboxProcess, http: requests.Session) -> None:
    app = application(sandbox, http, sandbox.ready["client_secret"])
    answer = app.acquire_token_for_client([scope(sandbox)])
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3599
    assert app.acquire_token_for_client([scope(sandbox)])["token_source"] == "cache"


@pytest.mark.parametrize("form", ["x5t", "x5t with chain", "x5t#S256"])
def test_msal_with_a_certificate(sandbox: SandboxProcess, http: requests.Session, form: str) -> None:
    key, certificate, thumbprint = registered(sandbox)
    credential = {"private_key": key}
    if form != "x5t#S256":
        credential["thumbprint"] = thumbprint
    if form != "x5t":
        credential["public_certificate"] = certificate
    answer = application(sandbox, http, credential).acquire_token_for_client([scope(sandbox)])
    assert "access_token" in answer, answer.get("error_description")


def test_a_signature_by_another_key_is_refused(sandbox: SandboxProcess, http: requests.Session) -> None:
    _, certificate, _ = registered(sandbox)
    other = rsa.generate_private_key(65537, 2048)
    key = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credential = {"private_key": key, "public_certificate": certificate}
    answer = application(sandbox, http, credential).acquire_token_for_client([scope(sandbox)])
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [700027])


def test_an_unknown_tenant_fails_at_discovery(sandbox: SandboxProcess, http: requests.Session) -> None:
    url = f"{sandbox.ready['control_url']}/00000000-0000-4000-8000-000000000000/v2.0/.well-known/openid-configuration"
    answer = http.get(url, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]


@pytest.mark.parametrize(
    ("form", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"client_id": "00000000-0000-4000-8000-000000000001"}, 400, "unauthorized_client", 700016),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"scope": "https://nowhere.crm.dynamics.com/.default"}, 400, "invalid_resource", 500011),
        ({"scope": "https://localhost/"}, 400, "invalid_scope", 70011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_refusals(sandbox: SandboxProcess, form: dict[str, str], status: int, error: str, code: int) -> None:
    answer = token_answer(sandbox, form)
    assert (answer["error"], answer["error_codes"]) == (error, [code])
    assert answer["error_description"].startswith(f"AADSTS{code}: ")
    assert sandbox.ready["client_secret"] not in str(answer)
    (entry,) = sandbox.control("GET", "journal")
    assert (entry["status"], entry["code"], entry["body_sha256"]) == (status, f"AADSTS{code}", None)


def settings(sandbox: SandboxProcess, **application: object) -> None:
    sandbox.control("PUT", "settings", {"applications": {sandbox.ready["client_id"]: application}})


def test_a_secret_is_revoked_expired_and_rotated(sandbox: SandboxProcess) -> None:
    settings(sandbox, secret="revoked")
    assert token_answer(sandbox, {})["error_codes"] == [7000215]
    settings(sandbox, secret="expired")
    assert token_answer(sandbox, {})["error_codes"] == [7000222]
    settings(sandbox, secret="valid", rotated_secret="another-secret")
    assert token_answer(sandbox, {})["error_codes"] == [7000215]
    assert "access_token" in token_answer(sandbox, {"client_secret": "another-secret"})


def test_a_token_is_good_until_it_ends_or_is_revoked_and_for_one_organisation(sandbox: SandboxProcess) -> None:
    first, second = WebApiCaller(sandbox, 0), WebApiCaller(sandbox, 1)
    assert first.call("GET", "WhoAmI").status_code == 200
    second.session.headers["Authorization"] = first.session.headers["Authorization"]
    assert second.call("GET", "WhoAmI").status_code == 401
    settings(sandbox, secret="revoked")
    assert first.call("GET", "WhoAmI").status_code == 200, "a token outlives the secret it was bought with"
    settings(sandbox, tokens="revoked")
    assert first.call("GET", "WhoAmI").status_code == 401


def test_token_lifetime_is_a_setting(sandbox: SandboxProcess) -> None:
    sandbox.control("PUT", "settings", {"token_lifetime_s": 60})
    assert token_answer(sandbox, {})["expires_in"] == 60


def test_tokens_can_be_made_easy_to_find(sandbox: SandboxProcess) -> None:
    sandbox.control("PUT", "settings", {"token_prefix": "canary"})
    assert token_answer(sandbox, {})["access_token"].startswith("canary")


def test_a_fault_at_the_token_endpoint_is_obeyed_by_msal(sandbox: SandboxProcess, http: requests.Session) -> None:
    rule = {"match": {"operation": "Token"}, "effect": "status", "status": 429, "retry_after": 30, "times": 1}
    sandbox.control("PUT", "faults", [rule])
    app = application(sandbox, http, sandbox.ready["client_secret"])
    for _ in range(2):
        assert app.acquire_token_for_client([scope(sandbox)])["error"] == "temporarily_unavailable"
    tokens = [entry for entry in sandbox.control("GET", "journal") if entry["operation"] == "Token"]
    assert [entry["status"] for entry in tokens] == [429], "the second one waits, as Retry-After says"
