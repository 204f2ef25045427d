"""Receives webhooks: the body up to a cap, the signature, then one short transaction, and 202. What is asked for is
done later, by the fulfillment worker.

A call that is not signed by the source reaches no database: neither ours nor, beyond a look at the connection every few
seconds, Airflow's. Answers say nothing about why; the log does, with ids and counts.
Source: Capture Source API v1, webhook; Standard Webhooks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Protocol

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, Response

from dynamics.captello.account import CaptelloAccount
from dynamics.captello.message import read_message
from dynamics.captello.template import read_template
from dynamics.captello.webhook import is_signed
from dynamics.config import captello_account
from dynamics.core.capture import DiscoveredProspect
from dynamics.core.fulfillment import Accepted, Delivery, Repeats
from dynamics.core.matching import with_match_keys
from dynamics.errors import ContractError, DynamicsError
from dynamics.hooks.audit import audit_url
from dynamics.hooks.connections import connection_fields
from dynamics.store.database import create_store
from dynamics.store.inbox import Inbox
from dynamics.web.sources import Sources, TooManyStrangersError

log = logging.getLogger("dynamics.web")

MAX_BODY = 1024 * 1024
READ_S = 10.0  # as long as a sender waits for the answer
CONNECTIONS = 4  # to the audit database, of each process of the API server
DATABASE_PATIENCE_S = 3
REPEATS_S = (0.05, 0.2)
MOST_WAITING = 200
RETRY_AFTER_S = 5
TELL_EVERY_S = 30.0
_MAX_HEADER = 4096

router = APIRouter()


class Accepts(Protocol):
    """Where deliveries are stored: an `Inbox`."""

    def accept(self, delivery: Delivery, prospects: list[DiscoveredProspect], repeats: Repeats | None) -> bool:
        """False: it was there already."""


@router.post("/webhooks/{source}")
async def receive_signed(source: str, request: Request) -> Response:
    """A message of Captello, signed as its contract says."""
    desk: Desk = request.app.state.webhooks
    return await desk.signed(source, request)


@router.post("/webhooks/{source}/{token}")
async def receive_template(source: str, token: str, request: Request) -> Response:
    """A call as a customer's template has it: form or JSON, unsigned. Off unless the connection switches it on."""
    desk: Desk = request.app.state.webhooks
    return await desk.templated(source, token, request)


class Desk:
    """Takes deliveries in.

    Args:
        account_of: connection id -> account; raises ConfigurationError for one that there is not. May take its time.
        inbox: where they are stored. May take its time.
    """

    def __init__(
        self,
        account_of: Callable[[str], CaptelloAccount],
        inbox: Accepts,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sources = Sources(account_of)
        self._inbox = inbox
        self._now = now
        self._places = anyio.CapacityLimiter(CONNECTIONS)
        self._refused = Refusals()

    async def signed(self, source: str, request: Request) -> Response:
        """Answer a signed message; see the steps in the contract."""
        body = await read_body(request)
        if body is None:
            return Response(status_code=413, headers={"Connection": "close"})
        head = _one_each(request, "webhook-id", "webhook-timestamp", "webhook-signature")
        if head is None:
            return self._refuse("headers are missing, double or odd", 401)
        try:
            account = await self._sources.find(source)
        except TooManyStrangersError:
            return _later()
        if account is None or account.webhook_secret is None:
            return self._refuse("of a source that is not set up for webhooks", 404)
        secrets = account.webhook_secret.get_secret_value().split()
        if not is_signed(secrets, *head, body, self._now()):
            return self._refuse("not signed, or not freshly", 401)
        try:
            accepted = read_message(source, account.account_id, head[0], body)
        except ContractError as wrong:
            log.warning("webhook of %s refused: %s", source, wrong.detail)
            return Response(status_code=400)
        return await self.store(accepted)

    async def templated(self, source: str, token: str, request: Request) -> Response:
        """Answer an unsigned call. Whatever is wrong with who calls looks like an address that there is not."""
        body = await read_body(request)
        if body is None:
            return Response(status_code=413, headers={"Connection": "close"})
        try:
            account = await self._sources.find(source)
        except TooManyStrangersError:
            return _later()
        template = account.webhook_template if account is not None else None
        if template is None or not compare_digest(token.encode(), template.token.get_secret_value().encode()):
            return self._refuse("of no template, or with another token", 404)
        caller = request.client.host if request.client is not None else None
        if not template.admits(caller, ",".join(request.headers.getlist("x-forwarded-for"))):
            return self._refuse("with the right token, from an address that is not listed", 404)
        try:
            accepted = read_template(source, template, body, request.headers.get("content-type", ""), self._now())
        except ContractError as wrong:
            log.warning("webhook of %s refused: %s", source, wrong.detail)
            return Response(status_code=400)
        return await self.store(accepted)

    async def store(self, accepted: Accepted) -> Response:
        """Store what was accepted and say so: 202; or, when the database is away, 503, so that the sender repeats."""
        delivery = accepted.delivery
        if self._places.statistics().tasks_waiting > MOST_WAITING:
            return _later()
        try:
            first = await anyio.to_thread.run_sync(self._accept, accepted, limiter=self._places)
        except DynamicsError as error:
            log.error("webhook %s of %s could not be stored: %s", delivery.delivery_id, delivery.source, error)
            return _later()
        about = f"{len(delivery.prospect_ids)} prospects" if delivery.prospect_ids else "nobody, nothing to do"
        log.info(
            "webhook %s of %s: %s about %s%s",
            *(delivery.delivery_id, delivery.source, delivery.type, about, "" if first else "; a repetition"),
        )
        return Response(status_code=202)

    def _accept(self, accepted: Accepted) -> bool:
        prospects = with_match_keys(accepted.prospects) if accepted.prospects else []
        return self._inbox.accept(accepted.delivery, prospects, accepted.repeats)

    def _refuse(self, why: str, status: int) -> Response:
        self._refused.note(why)
        return Response(status_code=status)


class Refusals:
    """Tells of refused calls, not of each: the first, and from time to time how many there were."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._told_at = float("-inf")

    def note(self, why: str) -> None:
        self._counts[why] = self._counts.get(why, 0) + 1
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            log.warning("webhooks refused: %s", ", ".join(f"{n} {why}" for why, n in sorted(self._counts.items())))
            self._counts.clear()


class AuditInbox:
    """The inbox behind Airflow's connection, with a few connections of its own, made when they are first needed."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._inbox: Inbox | None = None

    def accept(self, delivery: Delivery, prospects: list[DiscoveredProspect], repeats: Repeats | None) -> bool:
        """As `Inbox.accept`. Raises ConfigurationError too when there is no such connection."""
        with self._making:
            if self._inbox is None:
                self._inbox = Inbox(create_store(audit_url(), CONNECTIONS, DATABASE_PATIENCE_S), REPEATS_S)
        return self._inbox.accept(delivery, prospects, repeats)


def airflow_desk() -> Desk:
    """The desk on Airflow's connections."""
    return Desk(lambda source: captello_account(connection_fields(source)), AuditInbox())


async def read_body(request: Request) -> bytes | None:
    """The body as sent; None when it is longer than `MAX_BODY`, or takes longer than `READ_S`. Not read beyond that."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > MAX_BODY:
        return None
    body = bytearray()
    with anyio.move_on_after(READ_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return None
        return bytes(body)
    return None


def _one_each(request: Request, *names: str) -> tuple[str, str, str] | None:
    """Headers that must be there once each, in plain characters."""
    found = [request.headers.getlist(name) for name in names]
    if any(len(values) != 1 or len(values[0]) > _MAX_HEADER or not values[0].isascii() for values in found):
        return None
    identity, timestamp, signature = (values[0] for values in found)
    return (identity, timestamp, signature) if identity.isprintable() and 0 < len(identity) <= 200 else None


def _later() -> Response:
    return Response(status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})
