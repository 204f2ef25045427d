"""Answers a repeated write as it was answered the first time, by its `Idempotency-Key`.

Source: Capture Source API v1, transport: kept for 24 hours; the same key with another body is a conflict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web
from multidict import CIMultiDict

from sandbox.capture.wire import Problem

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class _Kept:
    body_sha256: str
    status: int
    headers: CIMultiDict[str]
    content: bytes
    until: datetime


class Replay:
    """Answers by caller, method, path and key."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str, str, str], _Kept] = {}

    def clear(self) -> None:
        self._kept.clear()

    async def once(
        self, request: web.Request, caller: str, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> web.Response:
        """Run the handler, or repeat the answer its key had before. Refusals are not kept: they changed nothing.

        Raises:
            Problem: 409, the key was used for another body.
        """
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method not in ("POST", "PATCH"):
            return await handler(request)
        place = (caller, request.method, request.path, key)
        digest = hashlib.sha256(await request.read()).hexdigest()
        kept = self._kept.get(place)
        if kept is not None and self._clock() < kept.until:
            if kept.body_sha256 != digest:
                raise Problem(409, "idempotency_key_reused", "This Idempotency-Key was used for another body.")
            return web.Response(status=kept.status, headers=kept.headers, body=kept.content)
        response = await handler(request)
        content = response.body if isinstance(response.body, bytes) else b""
        headers = CIMultiDict(response.headers)
        headers.popall("Content-Length", None)
        self._kept[place] = _Kept(digest, response.status, headers, content, self._clock() + LIFETIME)
        return response
