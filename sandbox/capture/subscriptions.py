"""Handlers of webhook subscriptions and of the delivery log.

Source: Capture Source API v1, endpoints; what is sent is `webhooks`' affair.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from sandbox.capture.webhooks import EVENTS, Outbox, Subscription, is_local, new_secret
from sandbox.capture.wire import Fault, Json, Problem, answer, instant, json_object, new_id


class SubscriptionRoutes:
    """What `/v1/webhooks` and `/v1/deliveries` do. The first secret of a subscription is `secret`, when given."""

    def __init__(self, clock: Callable[[], datetime], outbox: Outbox, secret: str | None) -> None:
        self._clock = clock
        self._outbox = outbox
        self._secret = secret

    async def list_webhooks(self, _: web.Request) -> web.Response:
        return answer({"data": [subscription.as_json() for subscription in self._outbox.subscriptions.values()]})

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/webhooks`: `{"url", "events": [...], "thin": false}`. The secret is in this answer only."""
        content = await json_object(request)
        faults = _faults(content)
        if faults:
            raise Problem(422, "validation_failed", "The subscription is not valid.", errors=faults)
        subscription = Subscription(
            id=new_id("whk"),
            url=content["url"],
            events=frozenset(content["events"]),
            thin=content.get("thin", False),
            secret=self._secret or new_secret(),
            created_at=instant(self._clock()),
        )
        self._outbox.subscriptions[subscription.id] = subscription
        return answer({**subscription.as_json(), "secret": subscription.secret}, 201)

    async def delete(self, request: web.Request) -> web.Response:
        del self._outbox.subscriptions[self._named(request).id]
        return web.Response(status=204)

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """The old secret goes on signing for a day, beside the new one, which is in this answer only."""
        subscription = self._named(request)
        subscription.rotate(self._clock())
        return answer({**subscription.as_json(), "secret": subscription.secret})

    async def test(self, request: web.Request) -> web.Response:
        self._outbox.emit("webhook.test", {}, only=self._named(request).id)
        return web.Response(status=202)

    async def list_deliveries(self, request: web.Request) -> web.Response:
        """`GET /v1/deliveries?webhook_id=&status=`, newest first."""
        webhook, status = request.query.get("webhook_id"), request.query.get("status")
        found = [
            delivery.as_json()
            for delivery in reversed(self._outbox.deliveries)
            if webhook in (None, delivery.webhook_id) and status in (None, delivery.status)
        ]
        return answer({"data": found})

    async def redeliver(self, request: web.Request) -> web.Response:
        """`POST /v1/deliveries/{id}:redeliver`: the same message again, under its own id."""
        for delivery in self._outbox.deliveries:
            if delivery.id == request.match_info["id"]:
                if delivery.status == "pending":
                    raise Problem(409, "delivery_pending", "The delivery is still under way.")
                self._outbox.send(delivery)
                return answer(delivery.as_json(), 202)
        raise Problem(404, "not_found", "There is no such delivery.")

    def _named(self, request: web.Request) -> Subscription:
        subscription = self._outbox.subscriptions.get(request.match_info["id"])
        if subscription is None:
            raise Problem(404, "not_found", "There is no such webhook.")
        return subscription


def _faults(content: Json) -> list[Fault]:
    url, events = content.get("url"), content.get("events")
    faults = []
    if not isinstance(url, str) or not is_local(url):
        faults.append(Fault("/url", "target_not_allowed", "An http or https address on localhost."))
    if not isinstance(events, list) or not events or not all(event in EVENTS for event in map(str, events)):
        faults.append(Fault("/events", "invalid_value", f"One or more of {', '.join(sorted(EVENTS))}."))
    if not isinstance(content.get("thin", False), bool):
        faults.append(Fault("/thin", "invalid_value", "Either true or false."))
    return faults
