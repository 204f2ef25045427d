"""The doors: what nobody has declared open is closed, to everybody who may not enter."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from dynamics.web import app as web_app
from dynamics.web.app import OPEN, hide_token
from dynamics.web.doors import OWN_PAGE_HEADER, airflow_check
from tests.contract.web.conftest import Site
from tests.contract.web.posting import message, signed

OWN = {"Origin": "http://testserver", OWN_PAGE_HEADER: "1"}


def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("a page")


def with_pages(check: Any) -> TestClient:
    """The app with a page and a form, added as anybody would add them."""
    inner = web_app._behind_door(check, None)
    inner.add_api_route("/page", page, methods=["GET", "POST"], response_model=None)
    inner.mount("/files", PlainTextResponse("a file"))
    outer = FastAPI()
    outer.mount("/dynamics", inner)
    return TestClient(outer)


async def anybody(request: Request) -> None:
    return


async def nobody(request: Request) -> None:
    raise HTTPException(401, "Not authenticated")


def test_webhooks_are_all_that_is_open(site: Site) -> None:
    open_paths = [route.path for route in site.app.routes if getattr(route, "endpoint", None) in OPEN]
    assert open_paths == ["/webhooks/{source}", "/webhooks/{source}/{token}"]


@pytest.mark.parametrize(
    "path", ["page", "files/x", "", "nothing", "docs", "openapi.json", "webhooks/captello_default"]
)
def test_everything_else_is_closed_to_anonymous_callers_whether_it_exists_or_not(path: str) -> None:
    assert with_pages(nobody).get(f"/dynamics/{path}").status_code == 401


def test_who_may_enter_sees_pages_and_nothing_is_kept_by_browsers() -> None:
    answer = with_pages(anybody).get("/dynamics/page")
    assert (answer.status_code, answer.text, answer.headers["cache-control"]) == (200, "a page", "no-store")
    assert with_pages(anybody).get("/dynamics/docs").status_code == 404


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OWN, 200),
        ({"Authorization": "Bearer x"}, 200),
        ({}, 403),
        ({"Origin": "http://testserver"}, 403),
        ({OWN_PAGE_HEADER: "1"}, 403),
        (OWN | {"Origin": "http://evil.example"}, 403),
        (OWN | {"Origin": "null"}, 403),
        (OWN | {"Origin": "http://testserver.evil.example"}, 403),
        (OWN | {"Origin": "http://["}, 403),
    ],
)
def test_what_may_change_something_must_come_from_a_page_of_this_server(headers: Any, expected: int) -> None:
    assert with_pages(anybody).post("/dynamics/page", headers=headers).status_code == expected


def test_without_a_way_to_check_all_routes_are_closed_webhooks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name == "airflow.api_fastapi.core_api.security":
            raise ImportError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    check = airflow_check()
    monkeypatch.undo()
    assert check is None
    client = with_pages(check)
    body = message("msg_1", "webhook.test")
    assert client.get("/dynamics/page").status_code == 503
    answer = client.post("/dynamics/webhooks/captello_default", content=body, headers=signed("msg_1", body))
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/dynamics/webhooks/c/secret", "/dynamics/webhooks/c/***"),
        ("/webhooks/c/secret/more", "/webhooks/c/***"),
        ("/dynamics/webhooks/c", "/dynamics/webhooks/c"),
        ("/dynamics/webhooks/c/", "/dynamics/webhooks/c/"),
    ],
)
def test_a_token_does_not_stay_in_the_path(path: str, shown: str) -> None:
    scope: dict[str, Any] = {"path": path, "raw_path": path.encode()}
    hide_token(scope)
    assert scope == {"path": shown, "raw_path": shown.encode()}


def test_the_app_of_the_plugin_is_made_only_when_asked_for() -> None:
    asks = "import sys; sys.path.insert(0, 'plugins'); import dynamics_plugin as p; p.DynamicsPlugin(); "
    told = subprocess.run(
        [sys.executable, "-c", asks + "print({'dynamics.web', 'pandas', 'fastapi'} & set(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip().splitlines()[-1] == "set()"
