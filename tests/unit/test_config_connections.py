"""Connections: Airflow's two forms of them, and what is said of a broken one. No fault repeats a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from pydantic import SecretStr

from dynamics.captello.account import Auth, CaptelloAccount
from dynamics.config import (
    ConnectionFields,
    audit_url,
    captello_account,
    connection_from_environment,
    dynamics_account,
)
from dynamics.dataverse.account import DataverseAccount
from dynamics.errors import ConfigurationError, NoConnectionError

CLIENT = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CANARY = "s3cr3t-canary/with:odd@chars?&#%"
CANARY_TOKEN = "s3cr3t-canary-0123456789-0123456789"
WHSEC = "whsec_Y2FwdHVyZS1zb3VyY2UtdGVzdA=="
DYNAMICS: dict[str, Any] = {
    "conn_type": "dynamics",
    "host": "https://contoso.crm4.dynamics.com",
    "login": CLIENT,
    "password": CANARY,
    "extra": {"tenant_id": TENANT},
}
CAPTELLO: dict[str, Any] = {"conn_type": "captello", "host": "https://capture.example.com", "password": CANARY}
PEM = "-----BEGIN PRIVATE KEY-----\nAAAA\nBBBB\n-----END PRIVATE KEY-----\n"


def fields(**content: Any) -> ConnectionFields:
    return connection_from_environment("c1", {"AIRFLOW_CONN_C1": json.dumps(content)})


def faults_of(error: pytest.ExceptionInfo[ConfigurationError]) -> list[str]:
    assert CANARY not in str(error.value)
    return [str(fault).removeprefix("connection c1: ") for fault in error.value.faults]


# ---------------------------------------------------------------- the environment


@pytest.mark.parametrize("content", [DYNAMICS, CAPTELLO | {"port": 8443, "schema": "a b", "login": "me@x/y"}])
def test_json_and_uri_form_say_the_same_as_airflow(content: dict[str, Any]) -> None:
    connection = Connection.from_json(json.dumps(content), conn_id="c1")
    by_json = fields(**content)
    by_uri = connection_from_environment("c1", {"AIRFLOW_CONN_C1": connection.get_uri()})
    assert by_json == by_uri
    assert (by_uri.host, by_uri.login, by_uri.port) == (connection.host, connection.login, connection.port)
    assert by_uri.password == SecretStr(CANARY)
    assert by_uri.extra == connection.extra_dejson


def test_extra_may_be_json_within_json() -> None:
    assert fields(**DYNAMICS | {"extra": json.dumps({"tenant_id": TENANT})}) == fields(**DYNAMICS)


def test_a_repr_shows_no_secret() -> None:
    shown = repr(fields(**DYNAMICS | {"extra": {"certificate": CANARY}}))
    assert CANARY not in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "",
            "is not set: there is no environment variable AIRFLOW_CONN_C1. "
            "Set it to what `airflow connections get c1 -o json` shows as get_uri.",
        ),
        ('{"password": "' + CANARY, 'is not JSON (column 14). Write it as {"conn_type": "...", "host": "..."}.'),
        (CANARY, "is neither JSON nor a URI. Percent-encode what is special in its parts, or use the JSON form."),
        (
            f"dynamics://x:{CANARY}@host",
            "is neither JSON nor a URI. Percent-encode what is special in its parts, or use the JSON form.",
        ),
        ('{"host": 7, "login": []}', "holds something else than text in host. Put it in quotes."),
        ('{"port": "https"}', "has a port that is no number. Correct the field 'Port'."),
        ('{"extra": "[1]"}', 'has extra fields that are no JSON object. Write them as {"name": "value"}.'),
        ('{"extra": "{"}', 'has extra fields that are no JSON object. Write them as {"name": "value"}.'),
    ],
)
def test_a_connection_that_cannot_be_read_says_why(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connection_from_environment("c1", {"AIRFLOW_CONN_C1": text})
    assert faults_of(caught) == [fault]
    assert isinstance(caught.value, NoConnectionError) == (not text), "one that is there is not gone"


# ---------------------------------------------------------------- Dynamics


def test_a_dynamics_connection_becomes_an_account() -> None:
    extra = {"tenant_id": TENANT, "application_users": f"{OTHER}, {CLIENT}", "sandbox": "false"}
    assert dynamics_account(fields(**DYNAMICS | {"extra": extra})) == DataverseAccount(
        environment_url="https://contoso.crm4.dynamics.com",
        tenant_id=TENANT,
        client_id=CLIENT,
        client_secret=SecretStr(CANARY),
        application_users=(OTHER, CLIENT),
        connection_id="c1",
    )


def test_a_sandbox_is_an_address_of_this_machine() -> None:
    extra = {"tenant_id": TENANT, "authority": f"https://localhost:8443/{TENANT}/", "sandbox": True}
    account = dynamics_account(fields(**DYNAMICS | {"host": "https://localhost:8444/", "extra": extra}))
    assert (account.environment_url, account.sandbox) == ("https://localhost:8444", True)
    assert account.authority == f"https://localhost:8443/{TENANT}"
    parted = DYNAMICS | {"host": "https://localhost", "port": 8444, "extra": extra}
    assert dynamics_account(fields(**parted)) == account


@pytest.mark.parametrize(
    "pasted", [PEM, PEM.replace("\n", " "), PEM.replace("\n", "\\n"), PEM.replace("\n", "\r\n"), PEM.replace("\n", "")]
)
def test_a_certificate_pasted_into_one_line_gets_its_lines_back(pasted: str) -> None:
    content = DYNAMICS | {"password": None, "extra": {"tenant_id": TENANT, "certificate": pasted}}
    certificate = dynamics_account(fields(**content)).certificate
    assert certificate is not None
    lines = certificate.get_secret_value().splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
    assert "".join(lines[1:-1]) == "AAAABBBB"


def test_a_certificate_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(PEM)
    account = dynamics_account(fields(**DYNAMICS | {"extra": {"tenant_id": TENANT, "certificate": str(path)}}))
    assert account.certificate == SecretStr(str(path))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"conn_type": "http"}, "is of type 'http'. Choose 'Connection Type' Microsoft Dynamics 365 (dynamics)."),
        ({"host": None}, "'Environment URL' is empty. Fill it in."),
        (
            {"host": "https://contoso.example.com"},
            "'Environment URL': The environment address names no Dynamics 365 host. "
            "Write it like https://contoso.crm4.dynamics.com.",
        ),
        (
            {"host": "http://contoso.crm4.dynamics.com"},
            "'Environment URL': The environment address does not begin with https://. "
            "Write it like https://contoso.crm4.dynamics.com.",
        ),
        (
            {"host": "https://localhost:8444"},
            "'Environment URL': The environment address names no Dynamics 365 host. "
            "Write it like https://contoso.crm4.dynamics.com.",
        ),
        ({"login": ""}, "'Client id' is empty. Fill it in."),
        (
            {"login": CANARY},
            "'Client id' is no id. Copy 'Application (client) id' of the app registration.",
        ),
        (
            {"password": ""},
            "has neither a client secret nor a certificate. Fill in 'Client secret' or 'Certificate'.",
        ),
        ({"extra": {}}, "'Tenant id' is empty. Fill it in."),
        (
            {"extra": {"tenant_id": "contoso"}},
            "'Tenant id' is neither an id nor a domain. Copy 'Directory (tenant) id' of the registration.",
        ),
        ({"extra": {"tenant_id": 7}}, "'Tenant id' is no text. Write it as a text."),
        (
            {"extra": {"tenant_id": TENANT, "tenant": CANARY}},
            "has an extra field 'tenant' that nobody reads. Did you mean 'tenant_id'? Known: tenant_id, authority, "
            "certificate, certificate_password, application_users, sandbox, ca_bundle.",
        ),
        (
            {"extra": {"tenant_id": TENANT, "certificate": CANARY * 200}},
            "'Certificate' is neither a PEM text nor an existing file. Paste the PEM text, with its key.",
        ),
        (
            {"extra": {"tenant_id": TENANT, "application_users": [OTHER, "me"]}},
            "'Further client ids' holds something else than ids. Part client ids by commas.",
        ),
        (
            {"extra": {"tenant_id": TENANT, "sandbox": "perhaps"}},
            "'Local sandbox' is neither true nor false. Write true or false.",
        ),
        (
            {"extra": {"tenant_id": TENANT, "ca_bundle": "/no/such.pem"}},
            "'CA bundle' names no file. Give the path of a PEM file that this machine can read.",
        ),
        (
            {"extra": {"tenant_id": TENANT, "authority": "login.example.com"}},
            "'Authority' is no https address. Write it as https://login.microsoftonline.com/<tenant id>.",
        ),
    ],
)
def test_a_broken_dynamics_connection_names_the_field(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        dynamics_account(fields(**DYNAMICS | change))
    assert fault in faults_of(caught)
    assert len(caught.value.faults) == (2 if fault.startswith("'Tenant id' is no text") else 1)


def test_all_faults_of_a_connection_come_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        dynamics_account(fields(conn_type="http", host="example.com", extra={"tenantid": CANARY}))
    assert len(faults_of(caught)) == 6


# ---------------------------------------------------------------- Captello


def test_a_captello_connection_becomes_an_account() -> None:
    assert captello_account(fields(**CAPTELLO)) == CaptelloAccount(
        "https://capture.example.com", Auth.API_KEY, SecretStr(CANARY)
    )
    extra = {"auth": "client_credentials", "account_id": "acc_1", "webhook_secret": WHSEC}
    content = CAPTELLO | {"host": "https://localhost", "port": 8443, "login": "client", "extra": extra}
    assert captello_account(fields(**content)) == CaptelloAccount(
        "https://localhost:8443",
        Auth.CLIENT_CREDENTIALS,
        SecretStr(CANARY),
        client_id="client",
        account_id="acc_1",
        webhook_secret=SecretStr(WHSEC),
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"conn_type": "dynamics"}, "is of type 'dynamics'. Choose 'Connection Type' Captello (captello)."),
        ({"host": ""}, "'API address' is empty. Fill it in."),
        (
            {"host": "http://capture.example.com"},
            "'API address' does not begin with https://. Write it as https://capture.example.com.",
        ),
        (
            {"host": f"https://capture.example.com/v1?api_key={CANARY}"},
            "'API address' goes on after the host. Write it as https://capture.example.com.",
        ),
        (
            {"host": "https://key@capture.example.com"},
            "'API address' has a user name or password in it. Write it as https://capture.example.com.",
        ),
        ({"password": None}, "'API key or client secret' is empty. Fill it in."),
        (
            {"extra": {"auth": "basic"}},
            "'Sign in with' is no way to sign in. Choose one of: api_key, client_credentials.",
        ),
        ({"extra": {"auth": "client_credentials"}}, "'Client id' is empty. Fill it in."),
        (
            {"extra": {"webhook_secret": CANARY}},
            "'Webhook secret' does not begin with whsec_. Copy the whole secret from the subscription.",
        ),
        *(
            (
                {"extra": {"webhook_secret": secret}},
                "'Webhook secret' is no base64 of 16 bytes or more after whsec_. "
                "Copy the whole secret from the subscription.",
            )
            for secret in ("whsec_", "whsec_c2hvcnQ=", f"whsec_{CANARY}!", f"{WHSEC} whsec_")
        ),
        (
            {"extra": {"webhook_secret": f"{WHSEC} {WHSEC} {WHSEC}"}},
            "'Webhook secret' holds more than two secrets. Keep the new one, and the old one for a day.",
        ),
        (
            {"extra": {"api_key": CANARY}},
            "has an extra field 'api_key' that nobody reads. "
            "Known: auth, account_id, webhook_secret, webhook_template, ca_bundle.",
        ),
    ],
)
def test_a_broken_captello_connection_names_the_field(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        captello_account(fields(**CAPTELLO | change))
    assert faults_of(caught) == [fault]


# ---------------------------------------------------------------- audit database


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://u:p%40ss@db.example.com:5433/audit", "postgresql+psycopg://u:p%40ss@db.example.com:5433/audit"),
        ("postgresql+psycopg2://u@db/audit", "postgresql+psycopg://u@db/audit"),
        ("postgresql://db/audit?sslmode=require", "postgresql+psycopg://db/audit?sslmode=require"),
        ("postgresql://postgres:@/audit?host=/tmp/Pg", "postgresql+psycopg://postgres@/audit?host=%2Ftmp%2FPg"),
        ("postgresql://u@[::1]:5433/audit", "postgresql+psycopg://u@[::1]:5433/audit"),
        (
            json.dumps({"conn_type": "postgres", "extra": {"url": "postgresql://postgres:@/audit?host=/tmp/Pg"}}),
            "postgresql+psycopg://postgres:@/audit?host=%2Ftmp%2FPg",
        ),
        (
            json.dumps({"conn_type": "postgres", "host": "db", "login": "u", "password": "a/b", "schema": "audit"}),
            "postgresql+psycopg://u:a%2Fb@db/audit",
        ),
    ],
)
def test_the_audit_database_is_named_by_fields_or_whole(text: str, url: str) -> None:
    read = connection_from_environment("dynamics_audit", {"AIRFLOW_CONN_DYNAMICS_AUDIT": text})
    assert audit_url(read).render_as_string(hide_password=False) == url


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"conn_type": "mysql", "schema": "x"}, "is of type 'mysql'. Choose 'Connection Type' Postgres (postgres)."),
        ({"conn_type": "postgres", "host": "db"}, "'Database' is empty. Fill it in."),
        (
            {"conn_type": "postgres", "extra": {"url": f"mysql://u:{CANARY}@db/x"}},
            "The extra field 'url' is no PostgreSQL address. Write postgresql://user:password@host/name.",
        ),
        (
            {"conn_type": "postgres", "extra": {"url": "nonsense"}},
            "The extra field 'url' is no PostgreSQL address. Write postgresql://user:password@host/name.",
        ),
    ],
)
def test_a_broken_audit_connection_names_the_field(content: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        audit_url(fields(**content))
    assert faults_of(caught) == [fault]


# ---------------------------------------------------------------- unsigned webhooks

TEMPLATE: dict[str, Any] = {"token": CANARY_TOKEN, "addresses": ["203.0.113.0/24"], "fields": {"/Id": "id"}}


@pytest.mark.parametrize("written", [TEMPLATE, json.dumps(TEMPLATE)])
def test_an_unsigned_webhook_is_read_from_an_object_or_its_text(written: Any) -> None:
    read = captello_account(fields(**CAPTELLO | {"extra": {"webhook_template": written}})).webhook_template
    assert read is not None
    assert (read.token.get_secret_value(), read.proxies, read.repeat_window_s) == (CANARY_TOKEN, 0, 300.0)
    assert CANARY_TOKEN not in repr(read)


@pytest.mark.parametrize("nothing", [None, "", {}])
def test_unsigned_webhooks_are_off_unless_switched_on(nothing: Any) -> None:
    assert captello_account(fields(**CAPTELLO | {"extra": {"webhook_template": nothing}})).webhook_template is None


def test_an_unsigned_webhook_tells_all_its_faults_at_once_and_no_value() -> None:
    wrong = {
        "token": "canary-short",
        "addresses": ["0.0.0.0/0"],
        "fields": {"Email": "email", "/x": "canary", "/y": "last_name", "/z": "last_name"},
        "proxies": -1,
        "repeat_window_s": True,
        "secret": 1,
    }
    with pytest.raises(ConfigurationError) as caught:
        captello_account(fields(**CAPTELLO | {"extra": {"webhook_template": wrong}}))
    told = " ".join(faults_of(caught))
    said = ("'token' has not 32", "whole internet", "no map of JSON pointers", "names 'canary', which no prospect has")
    said += ("same path twice", "what the prospect's id is", "'proxies' is no", "'repeat_window_s' is no", "'secret'")
    assert [words for words in said if words not in told] == []
    assert "canary-short" not in told


def test_an_unsigned_webhook_that_is_no_json_says_so() -> None:
    with pytest.raises(ConfigurationError, match="'Webhook template' is no JSON object"):
        captello_account(fields(**CAPTELLO | {"extra": {"webhook_template": "{canary"}}))
