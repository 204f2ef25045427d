"""An organisation made of recorded exchanges, and a client on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
import requests
import responses
from pydantic import SecretStr

from dynamics.core.metadata import Column, TableMetadata
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.dataverse.transport import Call, Transport
from tests.fakes.clock import FakeClock

ORG = "https://contoso.crm4.dynamics.com"
API = f"{ORG}/api/data/v9.2"
BATCH = f"{API}/$batch"
TENANT = "11111111-0000-4000-8000-000000000001"
AUTHORITY = f"https://login.microsoftonline.com/{TENANT}"
DISCOVERY = f"{AUTHORITY}/v2.0/.well-known/openid-configuration"
TOKEN = f"{AUTHORITY}/oauth2/v2.0/token"
SECRET = "secret-canary"
ACCOUNT = DataverseAccount(environment_url=ORG, tenant_id=TENANT, client_id="client", client_secret=SecretStr(SECRET))
LEAD = TableMetadata(
    "lead",
    "leads",
    "leadid",
    {
        column.logical_name: column
        for column in (
            Column("leadid", "Uniqueidentifier"),
            Column("statecode", "State"),
            Column("subject", "String", max_length=300),
            Column("lastname", "String", max_length=50),
            Column("firstname", "String", max_length=50),
            Column("emailaddress1", "String", max_length=100),
            Column("campaignid", "Lookup", navigation={"campaign": "campaignid"}),
            Column(
                "customerid", "Customer", navigation={"account": "customerid_account", "contact": "customerid_contact"}
            ),
            Column("createdby", "Lookup", navigation={"systemuser": "createdby"}),
        )
    },
)
CAMPAIGN = TableMetadata(
    "campaign",
    "campaigns",
    "campaignid",
    {
        column.logical_name: column
        for column in (
            Column("campaignid", "Uniqueidentifier"),
            Column("statecode", "State"),
            Column("codename", "String", max_length=32),
        )
    },
)
READ = Call("read", "lead", "GET", "leads")
WRITE = Call("create", "lead", "POST", "leads", body=b"{}", writes=True)

Part = tuple[int, Mapping[str, str], object]
Handler = Callable[[requests.PreparedRequest], tuple[int, Mapping[str, str], bytes | str]]


def sign_in(mock: responses.RequestsMock, *tokens: str, expires_in: int = 3600) -> None:
    """Let Entra ID give these tokens, the last one again and again."""
    mock.get(
        DISCOVERY,
        json={
            "authorization_endpoint": f"{AUTHORITY}/oauth2/v2.0/authorize",
            "token_endpoint": TOKEN,
            "issuer": AUTHORITY,
        },
    )
    for token in tokens or ("token-canary",):
        mock.post(TOKEN, json={"token_type": "Bearer", "expires_in": expires_in, "access_token": token})


def transport(clock: FakeClock | None = None, account: DataverseAccount = ACCOUNT) -> Transport:
    """A transport in fake time."""
    clock = clock or FakeClock()
    return Transport(account, LocalBudget(clock=clock), clock)


def error(code: str, message: str = "") -> dict[str, object]:
    """The body of a refusal."""
    return {"error": {"code": code, "message": message}}


def record_id(number: int) -> UUID:
    """Ids in the order of their numbers."""
    return UUID(int=(0xABC << 64) + number)


def parts_of(request: requests.PreparedRequest) -> list[tuple[str, dict[str, str], bytes]]:
    """Request line, headers and body of each part of a batch that was sent."""
    body = request.body
    assert isinstance(body, bytes)
    boundary = request.headers["Content-Type"].partition('boundary="')[2].rstrip('"').encode()
    parts = []
    for section in body.split(b"--" + boundary)[1:-1]:
        _, head, content = section.split(b"\r\n\r\n", 2)
        line, *lines = head.decode().split("\r\n")
        parts.append((line, dict(line.split(": ", 1) for line in lines), content.removesuffix(b"\r\n")))
    return parts


def batch_answer(*parts: Part) -> tuple[int, dict[str, str], bytes]:
    """What a `responses` callback gives back for a batch."""
    pieces = []
    for status, headers, body in parts:
        content = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        pieces.append(
            b"--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            + f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode()
            + content
            + b"\r\n"
        )
    return 200, {"Content-Type": "multipart/mixed; boundary=b"}, b"".join([*pieces, b"--b--\r\n"])


def on_batch(mock: responses.RequestsMock, handler: Handler) -> None:
    """Answer every batch by a function."""
    mock.add_callback(responses.POST, BATCH, callback=handler)


def sent(mock: responses.RequestsMock, url: str) -> list[Any]:
    """The requests that went to an address, in order."""
    return [call.request for call in mock.calls if (call.request.url or "").split("?")[0] == url]
