"""Tells subscribers what happened: signed messages, retried, with a log of every attempt.

Delivers to this machine only. Order is not promised: receivers compare revisions. Signatures are those of the Standard
Webhooks convention. Source: Capture Source API v1, webhook.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import random
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

import aiohttp
import orjson

from sandbox.capture.wire import Json, instant, new_id

EVENTS = frozenset(
    {
        "submission.created",
        "submission.updated",
        "submission.deleted",
        "prospect.created",
        "prospect.updated",
        "prospect.merged",
        "prospect.deleted",
        "consent.changed",
        "action.requested",
        "webhook.test",
    }
)
TIMEOUT_S = 10.0
ROTATION_GRACE = timedelta(hours=24)  # a rotated secret signs beside its successor so long
_LOG_SIZE = 10_000
_GONE = 410


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, `v1,<base64>`. `secret` begins with `whsec_`, `timestamp` is Unix seconds."""
    key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    return (
        "v1,"
        + base64.b64encode(hmac.digest(key, b"%b.%d.%b" % (message_id.encode(), timestamp, body), sha256)).decode()
    )


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def is_local(url: str) -> bool:
    """Whether messages may go there: http or https on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.hostname in ("localhost", "127.0.0.1", "::1")


@dataclass
class Subscription:
    """Who is told what. `retired` holds rotated secrets and when they stop signing."""

    id: str
    url: str
    events: frozenset[str]
    thin: bool
    secret: str = field(repr=False)
    created_at: str
    active: bool = True
    retired: list[tuple[str, datetime]] = field(default_factory=list, repr=False)

    def as_json(self) -> Json:
        """Without secrets: they are shown once, when they are made."""
        return {
            "id": self.id,
            "url": self.url,
            "events": sorted(self.events),
            "thin": self.thin,
            "active": self.active,
            "created_at": self.created_at,
        }

    def secrets_at(self, now: datetime) -> list[str]:
        return [self.secret, *(secret for secret, until in self.retired if now < until)]

    def rotate(self, now: datetime) -> None:
        self.retired.append((self.secret, now + ROTATION_GRACE))
        self.secret = new_secret()


@dataclass
class Delivery:
    """One message to one subscriber, and what came of it: pending, delivered or failed."""

    id: str
    webhook_id: str
    message_id: str
    type: str
    created_at: str
    content: Json = field(repr=False)
    status: str = "pending"
    attempts: list[Json] = field(default_factory=list)

    def as_json(self) -> Json:
        facts = (self.id, self.webhook_id, self.message_id, self.type, self.created_at, self.status, self.attempts)
        names = ("id", "webhook_id", "message_id", "type", "created_at", "status", "attempts")
        return dict(zip(names, facts, strict=True))


class Outbox:
    """Subscriptions, deliveries, and the tasks that carry them."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        account_id: str,
        retry_delays_s: Sequence[float],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._clock = clock
        self._account_id = account_id
        self._retry_delays_s = tuple(retry_delays_s)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=_LOG_SIZE)

    def emit(self, event: str, data: Json, *, only: str | None = None) -> None:
        """Send to every active subscriber of an event, or to `only` one. Needs a running event loop."""
        for subscription in self.subscriptions.values():
            wanted = event in subscription.events if only is None else subscription.id == only
            if subscription.active and wanted:
                self.send(Delivery(new_id("dlv"), subscription.id, new_id("msg"), event, self._now(), data))

    def send(self, delivery: Delivery) -> None:
        """Begin, or begin again, to deliver."""
        if delivery not in self.deliveries:
            self.deliveries.append(delivery)
        delivery.status = "pending"
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def clear(self) -> None:
        """Forget subscribers and deliveries; what is under way is given up."""
        for task in self._tasks:
            task.cancel()
        self.subscriptions.clear()
        self.deliveries.clear()

    async def close(self) -> None:
        self.clear()
        await self.settled()
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, delivery: Delivery) -> None:
        for delay_s in (*self._retry_delays_s, None):
            subscription = self.subscriptions.get(delivery.webhook_id)
            if subscription is None or not subscription.active:
                break
            status = await self._attempt(subscription, delivery)
            if status is not None and 200 <= status < 300:
                delivery.status = "delivered"
                return
            if status == _GONE:
                subscription.active = False
            elif delay_s is not None:
                await asyncio.sleep(delay_s * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        delivery.status = "failed"

    async def _attempt(self, subscription: Subscription, delivery: Delivery) -> int | None:
        """One request; the answer's status, or None when there was no answer."""
        now, number = self._clock(), len(delivery.attempts) + 1
        body = self._body(subscription, delivery, number)
        timestamp = int(now.timestamp())
        signatures = [sign(secret, delivery.message_id, timestamp, body) for secret in subscription.secrets_at(now)]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }
        status, error = None, None
        try:
            async with self._client().post(
                subscription.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            error = type(fault).__name__
        delivery.attempts.append({"number": number, "at": instant(now), "status": status, "error": error})
        return status

    def _body(self, subscription: Subscription, delivery: Delivery, attempt: int) -> bytes:
        thin = subscription.thin and delivery.type not in ("action.requested", "webhook.test")
        ids = ("id", "prospect_id", "revision")
        data = {name: delivery.content[name] for name in ids if name in delivery.content} if thin else delivery.content
        message = {
            "id": delivery.message_id,
            "type": delivery.type,
            "api_version": "1",
            "occurred_at": delivery.created_at,
            "attempt": attempt,
            "account_id": self._account_id,
            "data": data,
        }
        return orjson.dumps(message)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session

    def _now(self) -> str:
        return instant(self._clock())
