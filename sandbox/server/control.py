"""The control API: how a test or a demo prepares, disturbs and judges a sandbox. Not part of any product.

Every route asks for the control key. On an organisation's port it speaks of that organisation; on the hub of
the one named by `?organization=` (index or id), else of all, or of the first where only one can be meant.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import TypeAdapter

from sandbox.server.digest import digest
from sandbox.server.environment import Environment
from sandbox.server.exchange import CONTROL
from sandbox.server.faults import Fault
from sandbox.server.settings import Limits
from sandbox.server.throttle import possible_requests_per_s
from sandbox.server.world import World

FAULTS = TypeAdapter(list[Fault])
UNLIMITED = Limits(requests=None, execution_s=None, concurrency=None)

Handler = Callable[[web.Request], Awaitable[web.Response]]


class ControlRoutes:
    """The routes of one port.

    Args:
        only: the organisation this port belongs to; None on the hub.
    """

    def __init__(self, world: World, only: Environment | None) -> None:
        self._world = world
        self._only = only

    def add_to(self, app: web.Application) -> None:
        """Mount all routes below `/_sandbox/`."""
        routes: list[tuple[str, str, Handler]] = [
            ("POST", "reset", self.reset),
            ("POST", "seed", self.seed),
            ("POST", "schema", self.schema),
            ("POST", "edit", self.edit),
            ("POST", "capture/edit", self.edit_capture),
            ("GET", "settings", self.show_settings),
            ("PUT", "settings", self.change_settings),
            ("GET", "faults", self.show_faults),
            ("PUT", "faults", self.replace_faults),
            ("GET", "journal", self.show_journal),
            ("DELETE", "journal", self.clear_journal),
            ("GET", "events", self.show_events),
            ("GET", "rows", self.show_rows),
            ("GET", "digest", self.show_digest),
            ("GET", "stats", self.show_stats),
        ]
        for method, name, handler in routes:
            app.router.add_route(method, f"{CONTROL}/{name}", self._guarded(handler))

    async def reset(self, _request: web.Request) -> web.Response:
        """POST: as freshly started; credentials and tokens stay good."""
        self._world.reset()
        return _json({})

    async def seed(self, request: web.Request) -> web.Response:
        """POST {"sample": {"seed", "prospects"}, "tables": {table: rows}, "prospects": [...]}: counts loaded."""
        return _json(self._world.seed(await _object(request), self._one(request)))

    async def schema(self, request: web.Request) -> web.Response:
        """POST: change the organisation's schema, or install a plug-in."""
        self._one(request).organization.change_schema(await _object(request))
        return _json({})

    async def edit(self, request: web.Request) -> web.Response:
        """POST: change, merge, deactivate, qualify or delete a record behind the client's back."""
        self._one(request).organization.edit(await _object(request))
        return _json({})

    async def edit_capture(self, request: web.Request) -> web.Response:
        """POST: change a prospect behind the client's back."""
        return _json(self._world.capture.edit(await _object(request)))

    async def show_settings(self, request: web.Request) -> web.Response:
        """GET: all settings in force for one organisation."""
        return _json(self._world.settings(self._one(request)))

    async def change_settings(self, request: web.Request) -> web.Response:
        """PUT: merge a change; answers what is then in force."""
        self._world.configure(await _object(request), self._chosen(request))
        return await self.show_settings(request)

    async def show_faults(self, _request: web.Request) -> web.Response:
        """GET: the rules in force, with what each has matched, fired and has left."""
        return _json(self._world.faults.describe())

    async def replace_faults(self, request: web.Request) -> web.Response:
        """PUT: a list of rules in place of all before."""
        self._world.faults.replace(FAULTS.validate_json(await request.read()))
        return await self.show_faults(request)

    async def show_journal(self, request: web.Request) -> web.Response:
        """GET: entries, oldest first; `after` (seq), `method`, `table`, `limit` narrow them."""
        query = request.query
        named = self._only is not None or "organization" in query
        entries = self._world.journal.entries(
            after=int(query.get("after", 0)),
            method=query.get("method"),
            table=query.get("table"),
            organization=self._one(request).organization_id if named else None,
            limit=int(query["limit"]) if "limit" in query else None,
        )
        return _json([entry.described() for entry in entries])

    async def clear_journal(self, _request: web.Request) -> web.Response:
        """DELETE: forget entries, events and counts."""
        self._world.journal.clear()
        return _json({})

    async def show_events(self, request: web.Request) -> web.Response:
        """GET: how often each record was created, updated and deleted; `table` narrows."""
        return _json(self._world.journal.events(request.query.get("table")))

    async def show_rows(self, request: web.Request) -> web.Response:
        """GET ?table=: every row of a table, past all paging and privileges."""
        return _json(list(self._one(request).organization.rows(request.query["table"])))

    async def show_digest(self, request: web.Request) -> web.Response:
        """GET ?table=&columns=a,b: its rows counted and hashed by these columns, with their events.

        `events` says for each kind how many records had how many of them.
        """
        table, columns = request.query["table"], request.query["columns"].split(",")
        rows = self._one(request).organization.rows(table)
        summed_up = digest([row.get(column) for column in columns] for row in rows)
        return _json({**summed_up, "events": self._world.journal.event_counts(table)})

    async def show_stats(self, request: web.Request) -> web.Response:
        """GET: counts of requests by status, rows by table, events by kind.

        With `rows_per_request`: also the rows a second that latency and limits leave one user (null: no bound).
        """
        stats = self._world.journal.stats()
        if "rows_per_request" in request.query:
            rows, settings = int(request.query["rows_per_request"]), self._one(request).settings
            limits = settings.limits or UNLIMITED
            requests_per_s = possible_requests_per_s(limits, settings.latency, settings.servers, rows)
            stats["possible_rows_per_s"] = requests_per_s * rows if math.isfinite(requests_per_s) else None
        return _json(stats)

    def _chosen(self, request: web.Request) -> list[Environment]:
        if self._only is not None:
            return [self._only]
        name = request.query.get("organization")
        if name is None:
            return self._world.environments
        found = [one for one in self._world.environments if name in (str(one.index), one.organization_id)]
        if not found:
            raise ValueError(f"no organisation '{name}'")
        return found

    def _one(self, request: web.Request) -> Environment:
        return self._chosen(request)[0]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            if not self._has_key(request):
                return _json({"error": "the control key is missing or wrong"}, status=401)
            try:
                return await handler(request)
            except (ValueError, LookupError, TypeError) as error:
                return _json({"error": f"{type(error).__name__}: {error}"}, status=400)

        return guarded

    def _has_key(self, request: web.Request) -> bool:
        authorization = request.headers.get("Authorization", "")
        presented = request.headers.get("X-Control-Key") or authorization.removeprefix("Bearer ")
        return hmac.compare_digest(presented.encode(), self._world.credentials.control_key.encode())


async def _object(request: web.Request) -> Mapping[str, Any]:
    content = orjson.loads(await request.read() or b"{}")
    if not isinstance(content, dict):
        raise ValueError("a JSON object is needed")
    return content


def _json(content: object, status: int = 200) -> web.Response:
    body = orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(status=status, body=body, content_type="application/json")


def _plain(value: object) -> object:
    """What orjson does not know of itself."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
