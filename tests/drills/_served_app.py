"""The web app of the plugin on a server of its own, without Airflow's: starts at once, for drills in the test suite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from dynamics.captello.account import CaptelloAccount
from dynamics.config import captello_account
from dynamics.config.connections import connection_from_environment
from dynamics.store.database import create_store
from dynamics.store.inbox import Inbox
from dynamics.web.app import _behind_door
from dynamics.web.webhooks import Desk
from tests.drills.watching import wait_for
from tests.drills.world import World


@contextmanager
def served_app(world: World) -> Iterator[str]:
    """Serve the app at /dynamics, its connections as the world has them. Gives its origin. Nobody may enter."""
    environment = world.environment()

    def account_of(source: str) -> CaptelloAccount:
        return captello_account(connection_from_environment(source, environment))

    async def nobody(request: Request) -> None:
        raise HTTPException(401, "Not authenticated")

    store = create_store(world.audit_url)
    outer = FastAPI()
    outer.mount("/dynamics", _behind_door(nobody, Desk(account_of, Inbox(store))))
    server = uvicorn.Server(uvicorn.Config(outer, "127.0.0.1", 0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        if not wait_for(lambda: server.started, 20):
            raise RuntimeError("the web app did not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        store.dispose()
