"""Puts the capture API together: storage, access, webhooks, and the table of its routes.

Source: Capture Source API v1, endpoints. Throttling and faults are the server's affair.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from sandbox.capture.access import Access
from sandbox.capture.documents import Prospects
from sandbox.capture.listing import Pager
from sandbox.capture.prospects import ProspectRoutes
from sandbox.capture.replay import Replay
from sandbox.capture.subscriptions import SubscriptionRoutes
from sandbox.capture.webhooks import Outbox
from sandbox.capture.wire import Json, Problem, answer, instant, new_id
from sandbox.capture.writing import Writing

VERSION = "1.0"
RETRY_DELAYS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0, 86400.0)
REQUEST_ID = web.RequestKey("capture_request_id", str)
METADATA = ("events", "forms", "users", "fields")

Handler = Callable[[web.Request], Awaitable[web.Response]]


class CaptureService:
    """The capture API of one account.

    Args:
        clock: gives now, aware.
        keys: API keys; each has all scopes until `keys` says otherwise.
        clients: OAuth client id -> secret.
        webhook_secret: the first secret of every subscription; without it each gets its own.
        retry_delays_s: how long an undelivered webhook waits before each further attempt.
        tls: how https receivers of webhooks are verified; by default as everybody else is.

    Attributes:
        keys, clients: API key -> scopes, client id -> secret; may be changed while it runs.
        outbox: webhook subscriptions and deliveries; `await outbox.settled()` waits for what is under way.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        keys: Iterable[str] = (),
        clients: Mapping[str, str] | None = None,
        webhook_secret: str | None = None,
        token_lifetime_s: float = 3600.0,
        retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
        tls: ssl.SSLContext | None = None,
        account_id: str = "acc_sandbox",
    ) -> None:
        self._clock = clock
        self._access = Access(clock, keys, clients or {}, token_lifetime_s)
        self._replay = Replay(clock)
        self._metadata: dict[str, dict[str, Json]] = {name: {} for name in METADATA}
        self._prospects = Prospects(clock)
        self.outbox = Outbox(clock, account_id, retry_delays_s, tls)
        self._writing = Writing(clock, self._prospects, self.outbox)
        self._routes = ProspectRoutes(self._prospects, Pager(clock), self._writing, self._envelope)
        self._webhooks = SubscriptionRoutes(clock, self.outbox, webhook_secret)

    @property
    def keys(self) -> dict[str, frozenset[str]]:
        return self._access.keys

    @property
    def clients(self) -> dict[str, str]:
        return self._access.clients

    # ------------------------------------------------------------ content

    def load(
        self,
        prospects: Iterable[Mapping[str, Any]] = (),
        events: Iterable[Mapping[str, Any]] = (),
        forms: Iterable[Mapping[str, Any]] = (),
        users: Iterable[Mapping[str, Any]] = (),
        fields: Iterable[Mapping[str, Any]] = (),
    ) -> int:
        """Add or replace by id, keeping revisions and times as given; tells nobody. Returns the number of prospects."""
        for name, rows in zip(METADATA, (events, forms, users, fields), strict=True):
            self._metadata[name].update((str(row.get("id") or row["path"]), dict(row)) for row in rows)
        return self._prospects.load(prospects)

    def content(self) -> dict[str, list[Any]]:
        """Everything `load` takes, under the names of its parameters, for orjson; tombstones included."""
        prospects = [orjson.Fragment(row.body) for row in self._prospects.table.rows()]
        return {"prospects": prospects, **{name: list(rows.values()) for name, rows in self._metadata.items()}}

    def reset(self) -> None:
        """Forget prospects, metadata, subscriptions and deliveries; keys and clients stay."""
        for rows in self._metadata.values():
            rows.clear()
        self._prospects.clear()
        self._replay.clear()
        self.outbox.clear()

    def edit(self, change: Mapping[str, Any]) -> Json:
        """Change a prospect behind the client's back, webhooks included; returns it as it is then.

        `{"action": "change", "id", "values"}` (a merge patch, not validated),
        `{"action": "complete" | "hold" | "recycle" | "delete" | "erase", "id"}`,
        `{"action": "merge", "id", "master"}`, or
        `{"action": "request_action", "trigger", "action_id", "prospect_ids"}`.

        Raises:
            ValueError: no such prospect, trigger or action, or something it needs is missing.
        """
        return self._writing.edit(change)

    # ------------------------------------------------------------ routes

    def add_routes(self, app: web.Application) -> None:
        """Mount `/v1/...` and `/capture/oauth2/token`, and stop deliveries when the application ends."""
        app.router.add_post("/capture/oauth2/token", self._access.token)
        for method, path, scope, handler in self._table():
            app.router.add_route(method, f"/v1/{path}", self._guarded(scope, handler))
        for name in METADATA:
            guarded = self._guarded("metadata:read", self._listed(name))
            app.router.add_get(f"/v1/{name}", guarded)
            if name in ("events", "forms"):
                app.router.add_get(f"/v1/{name}/{{id}}", self._guarded("metadata:read", self._one_of(name)))
        app.router.add_route("*", "/v1/{rest:.*}", self._guarded(None, _no_such_route))
        app.on_cleanup.append(self._close)

    def _table(self) -> list[tuple[str, str, str | None, Handler]]:
        """Method, path, the scope it needs, and who answers."""
        prospects, webhooks = self._routes, self._webhooks
        read, write, manage = "prospects:read", "prospects:write", "webhooks:manage"
        return [
            ("GET", "health", None, self._health),
            ("GET", "prospects", read, prospects.list_prospects),
            ("POST", "prospects", write, prospects.create),
            ("POST", "prospects:lookup", read, prospects.lookup),
            ("GET", "prospects/{id}", read, prospects.get_prospect),
            ("PATCH", "prospects/{id}", write, prospects.patch),
            ("POST", "prospects/{id}/crm_links", write, prospects.link),
            ("GET", "submissions", "submissions:read", prospects.list_submissions),
            ("GET", "submissions/{id}", "submissions:read", prospects.get_submission),
            ("GET", "webhooks", manage, webhooks.list_webhooks),
            ("POST", "webhooks", manage, webhooks.create),
            ("DELETE", "webhooks/{id}", manage, webhooks.delete),
            ("POST", "webhooks/{id}:rotate_secret", manage, webhooks.rotate_secret),
            ("POST", "webhooks/{id}:test", manage, webhooks.test),
            ("GET", "deliveries", manage, webhooks.list_deliveries),
            ("POST", "deliveries/{id}:redeliver", manage, webhooks.redeliver),
        ]

    def _guarded(self, scope: str | None, handler: Handler) -> Handler:
        """The handler behind authentication, with refusals as problems and a request id on every answer."""

        async def guarded(request: web.Request) -> web.Response:
            request[REQUEST_ID] = new_id("req")
            try:
                caller = "" if scope is None else self._access.require(request, scope).caller
                response = await self._replay.once(request, caller, handler)
            except Problem as problem:
                response = problem.response(request.path, request[REQUEST_ID])
            response.headers["X-Request-Id"] = request[REQUEST_ID]
            return response

        return guarded

    def _envelope(self, request: web.Request, data: list[Any], page: Json, meta: Json) -> web.Response:
        meta = {**meta, "server_time": instant(self._clock()), "request_id": request[REQUEST_ID]}
        return answer({"data": data, "page": page, "meta": meta})

    def _listed(self, name: str) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            rows = list(self._metadata[name].values())
            return self._envelope(request, rows, {"next_cursor": None, "limit": len(rows), "has_more": False}, {})

        return listed

    def _one_of(self, name: str) -> Handler:
        async def one(request: web.Request) -> web.Response:
            row = self._metadata[name].get(request.match_info["id"])
            if row is None:
                raise Problem(404, "not_found", "There is nothing under this id.")
            return answer(row)

        return one

    async def _health(self, _: web.Request) -> web.Response:
        return answer({"status": "ok", "version": VERSION, "server_time": instant(self._clock())})

    async def _close(self, _: web.Application) -> None:
        await self.outbox.close()


async def _no_such_route(request: web.Request) -> web.Response:
    raise Problem(404, "no_such_route", f"The API has no {request.method} here.")
