"""The capture API over HTTP: what a client of the Capture Source API v1 may rely on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sandbox.capture import CaptureService
from sandbox.capture.webhooks import sign

KEY = "test-key"
AUTH = {"X-Api-Key": KEY}
EVERYTHING = "submissions,answers,attachments,consents"
Client = TestClient[web.Request, web.Application]
Scenario = Callable[[Client, CaptureService], Awaitable[None]]


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Receiver:
    """A webhook's other end: keeps what it is sent and answers what it is told to."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.received.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]


def run(scenario: Scenario, prospects: list[dict[str, Any]] | None = None, **options: Any) -> None:
    """Serve a fresh capture system and play a scenario against it."""

    async def play() -> None:
        options.setdefault("clock", Clock())
        service = CaptureService(keys=[KEY], clients={"app": "s3cret"}, retry_delays_s=(0.0, 0.0), **options)
        service.load(prospects if prospects is not None else [prospect(n) for n in range(1, 8)])
        app = web.Application()
        service.add_routes(app)
        async with TestClient(TestServer(app)) as client:
            await scenario(client, service)

    asyncio.run(play())


def prospect(number: int, **values: Any) -> dict[str, Any]:
    """Prospect number n, changed n minutes after nine."""
    key = f"pro_0000000{number}"
    changed = f"2026-03-05T09:{number:02d}:00.000Z"
    submission = {
        "id": f"sub_0000000{number}",
        "prospect_id": key,
        "captured_at": changed,
        "received_at": changed,
        "method": "typed",
        "state": "complete",
        "event": {"id": f"evt_{number % 2}"},
        "form": {"id": "frm_1"},
        "answers": [{"element_id": "el_1", "question": "When?", "type": "text", "value": "soon"}],
    }
    return {
        "id": key,
        "revision": 1,
        "status": "active",
        "created_at": changed,
        "updated_at": changed,
        "first_name": "Ines",
        "last_name": f"Okafor {number}",
        "email": f"ines{number}@example.com",
        "owner": {"id": "usr_1"},
        "consents": [{"purpose": "marketing", "state": "granted", "recorded_at": changed}],
        "submissions": [submission],
        **values,
    }


async def get(client: Client, path: str, expect: int = 200, /, **params: Any) -> dict[str, Any]:
    async with client.get(path, params=params, headers=AUTH) as response:
        assert response.status == expect, await response.text()
        return await response.json(content_type=None)  # type: ignore[no-any-return]


async def send(
    client: Client, method: str, path: str, body: object, status: int, **headers: str
) -> tuple[dict[str, Any], Mapping[str, str]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.request(method, path, json=body, headers=AUTH | named) as response:
        assert response.status == status, await response.text()
        content = await response.read()
        return (json.loads(content) if content else {}), response.headers


async def all_pages(client: Client, **params: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    page = await get(client, "/v1/prospects", **params)
    found = page["data"]
    while page["page"]["has_more"]:
        page = await get(client, "/v1/prospects", **params, cursor=page["page"]["next_cursor"])
        found += page["data"]
    assert page["page"]["next_cursor"] is None
    return found, page["meta"]


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["id"][-1]) for row in rows]


# ---------------------------------------------------------------- access


def test_without_credentials_nothing_is_answered_but_health() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        async with client.get("/v1/prospects") as response:
            assert response.status == 401
            assert response.content_type == "application/problem+json"
            assert "Bearer" in response.headers["WWW-Authenticate"]
            problem = await response.json()
            assert problem["status"] == 401
            assert problem["request_id"] == response.headers["X-Request-Id"]
        async with client.get("/v1/prospects", headers={"X-Api-Key": "wrong"}) as response:
            assert response.status == 401
        async with client.get("/v1/health") as response:
            assert (await response.json())["server_time"] == "2026-03-05T12:00:00.000Z"

    run(scenario)


def test_credentials_in_the_query_are_refused_even_when_good() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        problem = await get(client, "/v1/prospects", 400, api_key=KEY)
        assert problem["code"] == "credentials_in_query"
        assert KEY not in json.dumps(problem)

    run(scenario)


def test_a_token_lets_in_for_its_scopes_and_its_time() -> None:
    clock = Clock()

    async def scenario(client: Client, _: CaptureService) -> None:
        form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s3cret"}
        async with client.post("/capture/oauth2/token", data=form | {"scope": "prospects:read"}) as response:
            token = (await response.json())["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        async with client.get("/v1/prospects", headers=bearer) as response:
            assert response.status == 200
        async with client.get("/v1/users", headers=bearer) as response:
            assert response.status == 403
            assert 'scope="metadata:read"' in response.headers["WWW-Authenticate"]
        clock.now += timedelta(hours=1)
        async with client.get("/v1/prospects", headers=bearer) as response:
            assert response.status == 401
        async with client.post("/capture/oauth2/token", data=form | {"client_secret": "no"}) as response:
            assert (response.status, await response.json()) == (401, {"error": "invalid_client"})

    run(scenario, clock=clock)


# ---------------------------------------------------------------- listing


def test_pages_hold_every_prospect_once_in_the_order_of_change() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        found, meta = await all_pages(client, limit=3)
        assert ids(found) == [1, 2, 3, 4, 5, 6, 7]
        assert meta["high_watermark"] == "2026-03-05T09:07:00.000Z"
        assert meta["server_time"] == "2026-03-05T12:00:00.000Z"

    run(scenario)


def test_what_changes_during_paging_comes_in_the_next_window_and_only_there() -> None:
    async def scenario(client: Client, service: CaptureService) -> None:
        first = await get(client, "/v1/prospects", limit=3)
        service.edit({"action": "change", "id": "pro_00000001", "values": {"job_title": "CEO"}})
        service.edit({"action": "change", "id": "pro_00000006", "values": {"job_title": "CTO"}})
        second = await get(client, "/v1/prospects", limit=3, cursor=first["page"]["next_cursor"])
        assert ids(second["data"]) == [4, 5, 7]
        assert second["page"]["has_more"] is False
        mark = second["meta"]["high_watermark"]
        following, _ = await all_pages(client, updated_since=mark)
        assert ids(following) == [7, 1, 6]
        assert [row["revision"] for row in following] == [1, 2, 2]

    run(scenario)


def test_changes_in_one_millisecond_still_stand_in_order() -> None:
    async def scenario(client: Client, service: CaptureService) -> None:
        for number in (3, 1, 2):
            service.edit({"action": "recycle", "id": f"pro_0000000{number}"})
        found, _ = await all_pages(client, updated_since="2026-03-05T12:00:00Z")
        assert ids(found) == [3, 1, 2]
        assert len({row["updated_at"] for row in found}) == 3

    run(scenario)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"updated_since": "2026-03-05T09:03:00Z", "updated_until": "2026-03-05T09:05:00Z"}, [3, 4]),
        ({"updated_since": "2026-03-05T10:06:00+01:00"}, [6, 7]),
        ({"captured_since": "2026-03-05T09:05:00Z"}, [5, 6, 7]),
        ({"captured_until": "2026-03-05T09:02:00Z"}, [1]),
        ({"event_id": "evt_0"}, [2, 4, 6]),
        ({"event_id": "evt_0,evt_1", "limit": 200}, [1, 2, 3, 4, 5, 6, 7]),
        ({"form_id": "frm_2"}, []),
        ({"owner_id": "usr_1", "limit": 200}, [1, 2, 3, 4, 5, 6, 7]),
        ({"captured_by_id": "usr_1"}, []),
        ({"email": " INES3@example.com "}, [3]),
        ({"status": "recycled"}, []),
    ],
)
def test_filters(params: dict[str, Any], expected: list[int]) -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        found, _meta = await all_pages(client, **params)
        assert ids(found) == expected

    run(scenario)


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"updated_since": "yesterday"}, "updated_since"),
        ({"updated_since": "2026-03-05T09:00:00"}, "updated_since"),
        ({"include": "everything"}, "include"),
        ({"status": "gone"}, "status"),
        ({"offset": 3}, "offset"),
        ({"cursor": "bm9uZQ"}, "cursor"),
        ({"cursor": "%%"}, "cursor"),
    ],
)
def test_a_bad_parameter_is_named(params: dict[str, Any], pointer: str) -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        problem = await get(client, "/v1/prospects", 400, **params)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]

    run(scenario)


def test_a_cursor_belongs_to_its_filters_and_its_day() -> None:
    clock = Clock()

    async def scenario(client: Client, _: CaptureService) -> None:
        page = await get(client, "/v1/prospects", limit=1, event_id="evt_1")
        cursor = page["page"]["next_cursor"]
        other = await get(client, "/v1/prospects", 400, limit=1, event_id="evt_0", cursor=cursor)
        assert other["code"] == "cursor_filter_mismatch"
        clock.now += timedelta(hours=24, seconds=1)
        late = await get(client, "/v1/prospects", 410, limit=1, event_id="evt_1", cursor=cursor)
        assert late["code"] == "cursor_expired"

    run(scenario, clock=clock)


def test_parts_come_only_when_asked_for() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        plain = (await get(client, "/v1/prospects", limit=1))["data"][0]
        assert not {"submissions", "consents"} & plain.keys()
        some = (await get(client, "/v1/prospects", limit=1, include="submissions"))["data"][0]
        assert "answers" not in some["submissions"][0]
        full = (await get(client, "/v1/prospects", limit=1, include=EVERYTHING))["data"][0]
        assert full == prospect(1)

    run(scenario)


# ---------------------------------------------------------------- one prospect


def test_deleted_prospects_leave_tombstones_for_those_who_ask() -> None:
    async def scenario(client: Client, service: CaptureService) -> None:
        service.edit({"action": "delete", "id": "pro_00000001"})
        service.edit({"action": "merge", "id": "pro_00000002", "master": "pro_00000003"})
        service.edit({"action": "erase", "id": "pro_00000004"})
        assert ids((await all_pages(client))[0]) == [3, 5, 6, 7]
        found, _ = await all_pages(client, include_deleted="true", event_id="evt_1", include=EVERYTHING)
        assert ids(found) == [3, 5, 7, 1, 2, 4]
        assert [row.get("deletion_reason") for row in found[3:]] == ["user", "merge", "erasure"]
        assert all(row["deleted_at"] == row["updated_at"] and row["revision"] == 2 for row in found[3:])
        assert "Ines" not in json.dumps(found[3:])
        merged = await get(client, "/v1/prospects/pro_00000002")
        assert merged["merged_into"] == "pro_00000003"
        assert (await get(client, "/v1/prospects/pro_00000004", 410))["code"] == "erased"
        assert (await get(client, "/v1/prospects/pro_99999999", 404))["code"] == "not_found"

    run(scenario)


def test_an_etag_names_a_revision() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        async with client.get("/v1/prospects/pro_00000001", headers=AUTH) as response:
            etag = response.headers["ETag"]
            assert await response.json() == prospect(1)
        async with client.get("/v1/prospects/pro_00000001", headers=AUTH | {"If-None-Match": etag}) as response:
            assert response.status == 304
        path = "/v1/prospects/pro_00000001"
        await send(client, "PATCH", path, {"job_title": "CEO"}, 428)
        changed, headers = await send(client, "PATCH", path, {"job_title": "CEO"}, 200, If_Match=etag)
        assert (changed["revision"], changed["job_title"]) == (2, "CEO")
        assert headers["ETag"] != etag
        await send(client, "PATCH", path, {"job_title": "CTO"}, 412, If_Match=etag)

    run(scenario)


def test_a_merge_patch_merges_objects_and_removes_nulls() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        path = "/v1/prospects/pro_00000001"
        patch = {"owner": {"name": "Sam"}, "consents": None, "tags": ["hot"]}
        changed, _headers = await send(client, "PATCH", path, patch, 200, If_Match="*")
        assert changed["owner"] == {"id": "usr_1", "name": "Sam"}
        assert "consents" not in changed
        assert changed["tags"] == ["hot"]

    run(scenario)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"first_name": "Ines"}, "/"),
        ({"email": "a@example.com", "status": "gone"}, "/status"),
        ({"email": "a@example.com", "phones": [{"raw": "1", "kind": "pager"}]}, "/phones/0/kind"),
        ({"email": "a@example.com", "revision": 7}, "/revision"),
        ({"email": "a@example.com", "nonsense": 1}, "/"),
    ],
)
def test_an_invalid_prospect_is_refused_with_pointers_and_without_values(body: dict[str, Any], pointer: str) -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        problem, _headers = await send(client, "POST", "/v1/prospects", body, 422)
        assert pointer in [error["pointer"] for error in problem["errors"]]
        assert "a@example.com" not in json.dumps(problem)

    run(scenario)


def test_addresses_are_unique() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        problem, _headers = await send(client, "POST", "/v1/prospects", {"email": "INES1@example.com"}, 409)
        assert problem["code"] == "email_taken"

    run(scenario)


def test_a_repeated_write_is_done_once() -> None:
    clock = Clock()

    async def scenario(client: Client, _: CaptureService) -> None:
        body = {"email": "new@example.com"}
        first, headers = await send(client, "POST", "/v1/prospects", body, 201, Idempotency_Key="k1")
        again, _headers = await send(client, "POST", "/v1/prospects", body, 201, Idempotency_Key="k1")
        assert again == first
        assert headers["Location"] == f"/v1/prospects/{first['id']}"
        assert len((await all_pages(client))[0]) == 8
        other = {"email": "other@example.com"}
        problem, _headers = await send(client, "POST", "/v1/prospects", other, 409, Idempotency_Key="k1")
        assert problem["code"] == "idempotency_key_reused"
        clock.now += timedelta(hours=24)
        await send(client, "POST", "/v1/prospects", other, 201, Idempotency_Key="k1")

    run(scenario, clock=clock)


def test_lookup_finds_by_id_and_by_address() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        body = {"ids": ["pro_00000003", "pro_99999999"], "emails": ["INES5@example.com", "ines3@example.com"]}
        found, _headers = await send(client, "POST", "/v1/prospects:lookup", body, 200)
        assert found["data"] == [prospect(3), prospect(5)]
        await send(client, "POST", "/v1/prospects:lookup", {"ids": ["x"] * 201}, 422)
        await send(client, "POST", "/v1/prospects:lookup", {}, 422)

    run(scenario)


def test_a_crm_link_is_kept_without_a_new_revision() -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        path = "/v1/prospects/pro_00000001/crm_links"
        link = {"system": "dynamics", "account": "dev", "table": "lead", "record_id": "1", "last_result": "created"}
        await send(client, "POST", path, link, 200)
        await send(client, "POST", path, link | {"record_id": "2"}, 200)
        stored = await get(client, "/v1/prospects/pro_00000001")
        assert [entry["record_id"] for entry in stored["crm_links"]] == ["2"]
        assert (stored["revision"], stored["updated_at"]) == (1, prospect(1)["updated_at"])
        await send(client, "POST", path, link | {"last_result": "maybe"}, 422)

    run(scenario)


def test_submissions_are_listed_on_their_own() -> None:
    async def scenario(client: Client, service: CaptureService) -> None:
        service.edit({"action": "hold", "id": "pro_00000002"})
        page = await get(client, "/v1/submissions", state="on_hold")
        assert [(row["id"], row["revision"]) for row in page["data"]] == [("sub_00000002", 1)]
        rest = await get(client, "/v1/submissions", prospect_id="pro_00000003", limit=1)
        assert rest["data"] == prospect(3)["submissions"]
        one = await get(client, "/v1/submissions/sub_00000002")
        assert one["hold_reason"] == "on hold"
        await get(client, "/v1/submissions/sub_99999999", 404)

    run(scenario)


def test_metadata_is_listed_and_unknown_routes_are_problems() -> None:
    async def scenario(client: Client, service: CaptureService) -> None:
        service.load(events=[{"id": "evt_1", "name": "Expo"}], fields=[{"path": "email", "label": "E-mail"}])
        assert (await get(client, "/v1/events"))["data"] == [{"id": "evt_1", "name": "Expo"}]
        assert (await get(client, "/v1/events/evt_1"))["name"] == "Expo"
        assert (await get(client, "/v1/fields"))["data"][0]["path"] == "email"
        assert (await get(client, "/v1/nothing", 404))["code"] == "no_such_route"

    run(scenario)


# ---------------------------------------------------------------- webhooks


def test_the_published_signature_vector_holds() -> None:
    secret = "whsec_Y2FwdHVyZS1zb3VyY2UtdGVzdC1rZXktMzJieXRlcyE="
    signature = sign(secret, "msg_test_0001", 1741079730, b'{"type":"webhook.test"}')
    assert signature == "v1,FzVCT6ti2bx+2rvoTFOhoI56weI3ekDCpn13L1fbK6c="


def run_with_receiver(scenario: Callable[..., Awaitable[None]], receiver: Receiver, **options: Any) -> None:
    """As `run`, with a receiver on this machine; the scenario is given its address too."""

    async def with_receiver(client: Client, service: CaptureService) -> None:
        app = web.Application()
        app.router.add_post("/hook", receiver.answer)
        async with TestServer(app) as server:
            await scenario(client, service, f"http://127.0.0.1:{server.port}/hook")

    run(with_receiver, **options)


def test_subscribers_are_told_with_a_signature_by_every_active_secret() -> None:
    receiver = Receiver()

    async def scenario(client: Client, service: CaptureService, url: str) -> None:
        body = {"url": url, "events": ["prospect.updated"]}
        made, _headers = await send(client, "POST", "/v1/webhooks", body, 201)
        listed = await get(client, "/v1/webhooks")
        assert made["secret"] not in json.dumps(listed)
        rotated, _headers = await send(client, "POST", f"/v1/webhooks/{made['id']}:rotate_secret", {}, 200)
        service.edit({"action": "change", "id": "pro_00000001", "values": {"job_title": "CEO"}})
        await service.outbox.settled()
        (headers, content), (message,) = receiver.received[0], receiver.messages
        assert (message["type"], message["data"]["job_title"]) == ("prospect.updated", "CEO")
        assert message["id"] == headers["webhook-id"]
        stamp = int(headers["webhook-timestamp"])
        expected = [sign(secret, message["id"], stamp, content) for secret in (rotated["secret"], made["secret"])]
        assert headers["webhook-signature"].split() == expected

    run_with_receiver(scenario, receiver)


def test_an_undelivered_message_is_tried_again_under_its_own_id() -> None:
    receiver = Receiver(503, 302, 204)

    async def scenario(client: Client, service: CaptureService, url: str) -> None:
        made, _headers = await send(client, "POST", "/v1/webhooks", {"url": url, "events": ["webhook.test"]}, 201)
        await send(client, "POST", f"/v1/webhooks/{made['id']}:test", {}, 202)
        await service.outbox.settled()
        assert [message["attempt"] for message in receiver.messages] == [1, 2, 3]
        assert len({message["id"] for message in receiver.messages}) == 1
        (delivery,) = (await get(client, "/v1/deliveries", status="delivered"))["data"]
        assert [attempt["status"] for attempt in delivery["attempts"]] == [503, 302, 204]
        await send(client, "POST", f"/v1/deliveries/{delivery['id']}:redeliver", {}, 202)
        await service.outbox.settled()
        assert len(receiver.received) == 4

    run_with_receiver(scenario, receiver)


def test_gone_ends_a_subscription_and_endless_failure_a_delivery() -> None:
    receiver = Receiver(500, 500, 500, 410)

    async def scenario(client: Client, service: CaptureService, url: str) -> None:
        made, _headers = await send(client, "POST", "/v1/webhooks", {"url": url, "events": ["prospect.deleted"]}, 201)
        for number in (1, 2, 3):
            service.edit({"action": "delete", "id": f"pro_0000000{number}"})
            await service.outbox.settled()
        assert len(receiver.received) == 4
        assert (await get(client, "/v1/webhooks"))["data"][0]["active"] is False
        failed = (await get(client, "/v1/deliveries", webhook_id=made["id"], status="failed"))["data"]
        assert len(failed) == 2

    run_with_receiver(scenario, receiver)


def test_a_thin_subscription_gets_ids_only() -> None:
    receiver = Receiver()

    async def scenario(client: Client, service: CaptureService, url: str) -> None:
        events = ["prospect.updated", "submission.updated"]
        await send(client, "POST", "/v1/webhooks", {"url": url, "events": events, "thin": True}, 201)
        service.edit({"action": "hold", "id": "pro_00000001"})
        await service.outbox.settled()
        told = {message["type"]: message["data"] for message in receiver.messages}
        assert told == {
            "prospect.updated": {"id": "pro_00000001", "revision": 2},
            "submission.updated": {"id": "sub_00000001", "prospect_id": "pro_00000001", "revision": 1},
        }

    run_with_receiver(scenario, receiver)


def test_an_action_is_requested_in_batches() -> None:
    receiver = Receiver()

    async def scenario(client: Client, service: CaptureService, url: str) -> None:
        await send(client, "POST", "/v1/webhooks", {"url": url, "events": ["action.requested"]}, 201)
        wanted = [f"pro_{number:08d}" for number in range(1100)]
        change = {"action": "request_action", "trigger": "bulk_action", "action_id": "booth-leads"}
        service.edit({**change, "prospect_ids": wanted})
        await service.outbox.settled()
        data = sorted((message["data"] for message in receiver.messages), key=lambda data: data["batch_index"])
        assert [len(batch["prospect_ids"]) for batch in data] == [500, 500, 100]
        assert [key for batch in data for key in batch["prospect_ids"]] == wanted
        assert len({batch["run_id"] for batch in data}) == 1

    run_with_receiver(scenario, receiver)


@pytest.mark.parametrize("url", ["http://example.com/hook", "ftp://localhost/", "http://localhost.evil.example/", 7])
def test_webhooks_go_to_this_machine_only(url: object) -> None:
    async def scenario(client: Client, _: CaptureService) -> None:
        problem, _headers = await send(client, "POST", "/v1/webhooks", {"url": url, "events": ["webhook.test"]}, 422)
        assert problem["errors"][0]["code"] == "target_not_allowed"

    run(scenario)


@pytest.mark.parametrize(
    "change",
    [
        {"action": "explode", "id": "pro_00000001"},
        {"action": "merge", "id": "pro_00000001"},
        {"action": "hold", "id": "pro_99999999"},
        {"action": "request_action", "trigger": "whim", "action_id": "a", "prospect_ids": []},
        {},
    ],
)
def test_an_impossible_edit_is_refused(change: dict[str, Any]) -> None:
    async def scenario(_: Client, service: CaptureService) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            service.edit(change)

    run(scenario)


def test_reset_forgets_everything_but_who_may_call() -> None:
    async def scenario(client: Client, service: CaptureService) -> None:
        service.reset()
        assert (await get(client, "/v1/prospects"))["data"] == []

    run(scenario)
