"""Puts the capture API together: storage, access, routes and webhooks."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiohttp import web

Json = dict[str, Any]


class CaptureService:
    """The capture API of one account.

    `keys` maps an API key to its scopes, `clients` an OAuth client id to its secret; both may be changed while it runs.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        keys: Iterable[str] = (),
        clients: Mapping[str, str] | None = None,
        webhook_secret: str | None = None,
        token_lifetime_s: float = 3600.0,
        retry_delays_s: Sequence[float] = (5, 30, 120, 600, 3600, 21600, 86400),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        raise NotImplementedError

    def add_routes(self, app: web.Application) -> None:
        """Mount `/v1/...` and `/capture/oauth2/token`, and stop deliveries when the application ends."""
        raise NotImplementedError

    def load(
        self,
        prospects: Iterable[Mapping[str, Any]] = (),
        events: Iterable[Mapping[str, Any]] = (),
        forms: Iterable[Mapping[str, Any]] = (),
        users: Iterable[Mapping[str, Any]] = (),
        fields: Iterable[Mapping[str, Any]] = (),
    ) -> int:
        """Add or replace by id, keeping revisions and times as given. Returns the number of prospects."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget prospects, metadata, subscriptions and deliveries; keys and clients stay."""
        raise NotImplementedError

    def edit(self, change: Mapping[str, Any]) -> Json:
        """Change a prospect behind the client's back.

        `{"action": "change", "id", "values"}`, `{"action": "complete"|"hold"|"recycle"|"delete"|"erase", "id"}`,
        `{"action": "merge", "id", "master"}` or `{"action": "request_action", "trigger", "action_id", "prospect_ids"}`.
        """
        raise NotImplementedError
