"""Opens the sandbox's ports, and closes them: one event loop, TLS everywhere.

On disk are credentials and, if it is asked to keep its content, what `keeping` wrote at the last stop.
Source: aiohttp documentation, "Application runners".
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from sandbox.server import certificates, credentials, keeping
from sandbox.server.answers import JSON_TYPE, fault_answer
from sandbox.server.control import ControlRoutes
from sandbox.server.entra import EntraRoutes
from sandbox.server.environment import Environment
from sandbox.server.exchange import Exchange
from sandbox.server.faults import Call, Fault
from sandbox.server.journal import Entry
from sandbox.server.target import Target
from sandbox.server.webapi import WebApi
from sandbox.server.world import World, utc_now

HOSTS = {"localhost": "127.0.0.1", "sandbox": "0.0.0.0"}  # noqa: S104 - name -> where it listens
LONGEST_LINE = 131_072
LARGEST_SEED_BYTES = 2**30


class SandboxServer:
    """A running sandbox.

    Args:
        state_dir: where certificates and credentials are kept.
        port: of the hub; organisations follow on the next ones. 0 takes any free ones.
        orgs: number of organisations.
        host: "localhost", or "sandbox" for other machines of a private network that know it by this name.
        ready_file: written once all ports listen.
        sample: begin with the sample prospects and their CRM records loaded, unless content was kept.
        keep: begin with the content of the last clean stop in `state_dir`, and write it there at the end.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int = 0,
        orgs: int = 2,
        host: str = "localhost",
        ready_file: Path | None = None,
        sample: bool = False,
        keep: bool = False,
    ) -> None:
        self._state_dir = state_dir.resolve()  # the ready file is read from other folders
        self._port = port
        self._orgs = orgs
        self._host = host
        self._ready_file = ready_file
        self._sample = sample
        self._content_dir = self._state_dir / "content" if keep else None
        self._filled = False
        self._runners: list[web.AppRunner] = []
        self.world: World | None = None

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready file holds."""
        if self.world is None:
            raise RuntimeError("the sandbox has not been started")
        return self.world.ready()

    async def start(self) -> None:
        """Listen on every port, then say so in the ready file."""
        self._state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        sockets = self._bind()
        ports = [listening.getsockname()[1] for listening in sockets]
        files = certificates.load_or_make(self._state_dir)
        kept = credentials.load_or_make(self._state_dir, self._orgs)
        world = self.world = World(kept, files, ports[0], ports[1:], self._host)
        self._fill(world)
        context = files.server_context()
        apps = [hub_app(world), *(organization_app(world, environment) for environment in world.environments)]
        for app, listening in zip(apps, sockets, strict=True):
            await self._listen(app, listening, context)
        if self._ready_file is not None:
            certificates.write_private(self._ready_file, orjson.dumps(self.ready, option=orjson.OPT_INDENT_2))

    async def stop(self) -> None:
        """Close every port, breaking off requests in flight, then write what is to be kept."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)
        if self._content_dir is not None and self.world is not None and self._filled:
            keeping.save(self._content_dir, self.world)

    def _fill(self, world: World) -> None:
        """Begin with what was kept, else with the sample if it is wanted."""
        found = self._content_dir is not None and keeping.load(self._content_dir, world)
        if self._sample and not found:
            world.seed({"sample": {}}, world.environments[0])
        self._filled = True  # from here on a stop may replace what is kept

    def _bind(self) -> list[socket.socket]:
        """Take all ports first: an organisation's address is part of what it answers."""
        count = 1 + self._orgs
        wanted = [self._port + index if self._port else 0 for index in range(count)]
        sockets: list[socket.socket] = []
        for port in wanted:
            try:
                sockets.append(socket.create_server((HOSTS[self._host], port), backlog=512))
            except OSError as error:
                for taken in sockets:
                    taken.close()
                raise OSError(error.errno, f"port {port} cannot be opened: {error.strerror}") from error
        return sockets

    async def _listen(self, app: web.Application, listening: socket.socket, context: ssl.SSLContext) -> None:
        runner = web.AppRunner(
            app,
            access_log=None,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            shutdown_timeout=0.5,
        )
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listening, ssl_context=context).start()


def organization_app(world: World, environment: Environment) -> web.Application:
    """What an organisation's port serves: its Web API, and the control API for it alone."""
    api = WebApi(environment, world.authority, world.authority_url, world.journal, world.faults)
    exchange = Exchange(world.journal, world.faults, utc_now, api.describe, api.refuse, environment.interfere)
    app = web.Application(middlewares=[exchange.middleware], client_max_size=LARGEST_SEED_BYTES)
    ControlRoutes(world, environment).add_to(app)
    app.router.add_route("*", "/{anything:.*}", api.handle)
    return app


def hub_app(world: World) -> web.Application:
    """What the hub's port serves: the authority, the capture API and the control API for everything."""

    def describe(request: web.Request, target: Target, entry: Entry) -> Call:
        entry.operation = "Token" if target.path.endswith("/token") else None
        return Call(request.method, target.path, None, entry.operation, None, world.hub_port)

    exchange = Exchange(world.journal, world.faults, utc_now, describe, _refuse)
    app = web.Application(middlewares=[exchange.middleware], client_max_size=LARGEST_SEED_BYTES)
    ControlRoutes(world, None).add_to(app)
    EntraRoutes(world.authority).add_to(app)
    world.capture.add_routes(app)
    return app


def _refuse(request: web.Request, fault: Fault) -> web.Response:
    """A fault as authority or capture API would word it; a gateway's page looks the same everywhere."""
    status, headers, body = fault_answer(fault)
    if dict(headers)["Content-Type"] == JSON_TYPE:
        text = fault.message or f"Refused with status {status}."
        if request.path.startswith(("/v1/", "/capture/")):
            headers[-1] = ("Content-Type", "application/problem+json")
            body = orjson.dumps({"type": "about:blank", "title": text, "status": status, "detail": text})
        else:
            error = fault.code or "temporarily_unavailable"
            body = orjson.dumps({"error": error, "error_description": text, "error_codes": []})
    return web.Response(status=status, headers=dict(headers), body=body)
