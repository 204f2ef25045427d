"""Tokens end on time, and client assertions are good only within theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.server import assertion, certificates, credentials
from sandbox.server.authority import Authority

ORGANIZATION = "https://localhost:8444"
ENDPOINT = "https://localhost:8443/t/oauth2/v2.0/token"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_token_ends_with_its_lifetime(tmp_path: Path) -> None:
    kept = credentials.load_or_make(tmp_path, 1)
    files = certificates.load_or_make(tmp_path)
    now = [NOON]
    authority = Authority(kept, certificates.read_certificate(files.client), lambda: now[0])
    authority.audiences = {ORGANIZATION}
    authority.configure({"token_lifetime_s": 60})
    form = {
        "grant_type": "client_credentials",
        "client_id": kept.client_id.upper(),
        "client_secret": kept.client_secret,
        "scope": f"{ORGANIZATION}//.default",
    }
    token, lifetime_s = authority.issue(form, ENDPOINT)
    assert lifetime_s == 60
    now[0] = NOON + timedelta(seconds=59)
    grant = authority.grant(token, ORGANIZATION)
    assert grant is not None
    assert grant.client_id == kept.client_id
    now[0] = NOON + timedelta(seconds=60)
    assert authority.grant(token, ORGANIZATION) is None


def test_secrets_have_no_repr(tmp_path: Path) -> None:
    kept = credentials.load_or_make(tmp_path, 1)
    for secret in (kept.client_secret, kept.capture_key, kept.capture_webhook_secret, kept.control_key):
        assert secret not in repr(kept)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "bnVsbA.bnVsbA.x", "{}.{}.{}"])
def test_what_is_no_jwt_is_refused(text: str) -> None:
    with pytest.raises(assertion.InvalidAssertionError) as refused:
        assertion.verify(text, [], client_id="c", audience=ENDPOINT, now=NOON)
    assert refused.value.code == 50027


def test_certificates_are_kept_until_they_are_about_to_end(tmp_path: Path) -> None:
    first = certificates.load_or_make(tmp_path, NOON).ca_bundle.read_bytes()
    assert certificates.load_or_make(tmp_path, NOON + timedelta(days=360)).ca_bundle.read_bytes() == first
    assert certificates.load_or_make(tmp_path, NOON + timedelta(days=370)).ca_bundle.read_bytes() != first
