"""The app as Airflow mounts it, with a desk whose connections the test gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from pydantic import SecretStr

from dynamics.captello.account import Auth, CaptelloAccount
from dynamics.errors import ConfigurationError, Fault
from dynamics.store.inbox import Inbox
from dynamics.web import app as web_app
from dynamics.web.webhooks import Desk
from tests.contract.web.posting import SECRET


@dataclass
class Site:
    """A server with the app at /dynamics. `asked`: the connections that were looked up."""

    client: TestClient
    app: FastAPI
    accounts: dict[str, CaptelloAccount]
    asked: list[str] = field(default_factory=list)


def account(**changes: Any) -> CaptelloAccount:
    given: dict[str, Any] = {"webhook_secret": SecretStr(SECRET), "account_id": "acc_1"} | changes
    return CaptelloAccount("https://capture.example", Auth.API_KEY, SecretStr("key"), **given)


async def nobody_may(request: Request) -> None:
    raise HTTPException(401, "Not authenticated")


@pytest.fixture
def site(store: sa.Engine) -> Iterator[Site]:
    accounts = {"captello_default": account(), "unset": account(webhook_secret=None)}
    asked: list[str] = []

    def account_of(source: str) -> CaptelloAccount:
        asked.append(source)
        if source not in accounts:
            raise ConfigurationError([Fault(f"connection {source}", None, "does not exist.", "")])
        return accounts[source]

    inner = web_app._behind_door(nobody_may, Desk(account_of, Inbox(store, ())))
    outer = FastAPI()
    outer.mount("/dynamics", inner)
    with TestClient(outer) as client:
        yield Site(client, inner, accounts, asked)
