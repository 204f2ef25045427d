"""Who may enter: every path of the app is closed, whoever adds it, unless its endpoint is declared open.

Airflow mounts a plugin's app without any check of its own, so the check stands before the router: for routes, mounted
files and paths that do not exist alike. Who someone is and what they may do is asked of Airflow's auth manager, by the
rights on DAG runs: reading needs the right to read them, anything else the right to start them. What can change
something must also show that it comes from a page of this server, not from another site's. Source: Airflow
documentation, "Auth manager"; Airflow 3.3 checks neither an origin nor a token against cross-site requests.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("dynamics.web")

Endpoint = Callable[..., Any]
Check = Callable[[Request], Awaitable[None]]

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OWN_PAGE_HEADER = "X-Dynamics-Page"  # a page of another site cannot send it without being asked about first
_FOR_ALL_ANSWERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}


class Door:
    """Stands before the router.

    Args:
        app: what is behind it.
        routes: the routes of the app, as they are when a request comes.
        open_to_all: endpoints that look after themselves, such as webhooks, which are known by their signature.
        check: raises HTTPException for who may not enter; None when nobody can be told apart, then nobody enters.
    """

    def __init__(
        self, app: ASGIApp, routes: Sequence[BaseRoute], open_to_all: Collection[Endpoint], check: Check | None
    ) -> None:
        self._app = app
        self._routes = routes
        self._open_to_all = open_to_all
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # there is no websocket; a lifespan is not for a mounted app
            return
        refusal = await self._refusal(scope, receive)
        target = self._app if refusal is None else refusal
        await target(scope, receive, _with_headers(send))

    async def _refusal(self, scope: Scope, receive: Receive) -> JSONResponse | None:
        """Why the request may not pass, as an answer."""
        if self._check is None:
            return JSONResponse({"detail": "Access cannot be checked"}, 503)
        if self._is_open(scope):
            return None
        request = Request(scope, receive)
        try:
            await self._check(request)
        except HTTPException as refused:
            return JSONResponse({"detail": refused.detail}, refused.status_code)
        if not comes_from_own_page(request.method, request.headers):
            return JSONResponse({"detail": "Not sent by a page of this server"}, 403)
        return None

    def _is_open(self, scope: Scope) -> bool:
        """Whether the router would hand the request to an open endpoint."""
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return isinstance(route, APIRoute) and route.endpoint in self._open_to_all
        return False


def comes_from_own_page(method: str, headers: Headers) -> bool:
    """Whether a request that may change something was sent by a page of this server.

    Whoever names its token in a header is no browser led astray, which has nothing but its cookie.
    """
    if method in SAFE_METHODS or headers.get("authorization", "").lower().startswith("bearer "):
        return True
    try:
        origin = urlsplit(headers.get("origin", "")).netloc
    except ValueError:
        return False
    return bool(origin) and origin == headers.get("host") and OWN_PAGE_HEADER in headers


def airflow_check() -> Check | None:
    """The check by Airflow's own sign-in and rights; None when this Airflow does not have what it takes."""
    try:
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
        from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
    except ImportError as missing:
        log.error("all pages of this plugin are closed: Airflow's sign-in cannot be used (%s)", missing.name)
        return None

    async def check(request: Request) -> None:
        user = await get_user(request, None, await bearer_scheme(request))

        def may() -> bool:
            method: Any = "GET" if request.method in SAFE_METHODS else "POST"
            return get_auth_manager().is_authorized_dag(method=method, access_entity=DagAccessEntity.RUN, user=user)

        if not await run_in_threadpool(may):
            raise HTTPException(403, "Forbidden")

    return check


def _with_headers(send: Send) -> Send:
    """Answers are not kept, sniffed or told to other sites."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _FOR_ALL_ANSWERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
