"""The app that Airflow's API server mounts at /dynamics: every route of this project, behind one door.

A route that people use is closed by being here (see `doors`); one that looks after itself is named in `OPEN`.
"""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynamics.web import runs, webhooks
from dynamics.web.doors import Check, Door, airflow_check

OPEN = (webhooks.receive_signed, webhooks.receive_template)

_TOKEN = re.compile(r"(?P<kept>/webhooks/[^/]*/).+", re.DOTALL)


def create_app(desk: webhooks.Desk | None = None) -> FastAPI:
    """The app, closed by default. Connects to nothing before it is asked.

    Args:
        desk: receives webhooks; Airflow's connections are behind it unless one is given.
    """
    return _behind_door(airflow_check(), desk)


def _behind_door(check: Check | None, desk: webhooks.Desk | None) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.webhooks = desk or webhooks.airflow_desk()
    app.state.reading = runs.airflow_reading()
    app.include_router(webhooks.router)
    app.include_router(runs.router)
    app.add_middleware(Door, routes=app.router.routes, open_to_all=frozenset(OPEN), check=check)
    app.add_middleware(HiddenTokens)  # added last, it stands before all others
    return app


class HiddenTokens:
    """Takes tokens out of the path before anybody logs it.

    Airflow's access log and uvicorn's own read the path from the request's scope, the one when the answer is complete,
    the other when it begins. Routing is over by then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            hide_token(scope)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            hide_token(scope)


def hide_token(scope: Scope) -> None:
    """Write stars for whatever follows the source in the path of a webhook."""
    for name in ("path", "raw_path"):
        path = scope.get(name)
        if isinstance(path, str):
            scope[name] = _TOKEN.sub(r"\g<kept>***", path)
        elif isinstance(path, bytes):
            scope[name] = _TOKEN.sub(r"\g<kept>***", path.decode("latin-1")).encode("latin-1")
