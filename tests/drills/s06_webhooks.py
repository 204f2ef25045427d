"""S06: webhooks. Only fresh, correct, first deliveries have an effect, and that effect is "due".

On a real API server of Airflow: signatures that are missing, wrong, stripped, double or stale; a replay in the window
and after it; another body under an old signature; clocks four minutes apart; and 10,000 forged calls, after which a
true one is served. Forged traffic takes no connection of the audit database and no place of the request budget.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.contract.web.posting import OTHER_SECRET, SECRET, message, prospect, signed
from tests.drills.api_server import api_server
from tests.drills.drill import Drill, Verdict
from tests.drills.watching import wait_s
from tests.drills.world import World

FORGED = 10_000
SENDERS = 16
WINDOW_S = 300
Headers = Mapping[str, str] | list[tuple[str, str]]
Post = Callable[[bytes, Headers], int]


def signatures(world: World, seed: int) -> Verdict:
    """Every kind of signature, on a real server."""
    world.captello_extra["webhook_secret"] = f"{OTHER_SECRET} {SECRET}"
    with api_server(world) as server:
        return judged(world, poster(f"{server.url}/dynamics/webhooks/captello_default"), seed)


def judged(world: World, post: Post, seed: int) -> Verdict:
    """What is wrong with how a server answers, and with what it stores."""
    wrong: list[str] = []
    body = message(f"msg_{seed}", data=prospect(str(seed)))
    for name, headers in refusable(f"msg_{seed}", body):
        before = effects(world)
        if (status := post(body, headers)) != 401:
            wrong.append(f"{name}: answered {status}")
        if effects(world) != before:
            wrong.append(f"{name}: had an effect")
    for minutes, secret in ((-4, SECRET), (4, OTHER_SECRET)):
        early = message(f"msg_{seed}_{minutes}", data=prospect(f"{seed}{minutes + 5}"))
        if post(early, signed(f"msg_{seed}_{minutes}", early, secret, time.time() + 60 * minutes)) != 202:
            wrong.append(f"a clock {minutes} minutes off: refused")
    wrong += _replayed(world, post, f"msg_{seed}", body)
    states = {row["state"] for row in world.sql("SELECT state FROM sync.webhook_delivery")}
    if states != {"due"}:
        wrong.append(f"what was accepted is {states}, not due")
    touched = world.sql("SELECT (SELECT count(*) FROM sync.sync_run) + (SELECT count(*) FROM sync.work_item) AS n")
    if touched[0]["n"]:
        wrong.append("a webhook has done more than to mark something as due")
    return Verdict(wrong)


def refusable(message_id: str, body: bytes) -> Iterable[tuple[str, Headers]]:
    """Headers that may not pass, each with what is wrong with them."""
    good = signed(message_id, body)
    other = message(message_id, data=prospect("999"))
    for name in good:
        yield f"without {name}", {key: value for key, value in good.items() if key != name}
        yield f"{name} twice", [*good.items(), (name, good[name])]
        yield f"{name} empty", {**good, name: ""}
    yield "no headers", {}
    yield "signed by nobody we know", signed(message_id, body, "whsec_bm9ib2R5LWtub3dzLXRoaXMtc2VjcmV0LWtleQ==")
    yield "a signature of another body", signed(message_id, other)
    yield "a signature of another id", {**signed("msg_other", body), "webhook-id": message_id}
    yield "a signature of another time", {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}
    yield "the scheme stripped", {**good, "webhook-signature": good["webhook-signature"].removeprefix("v1,")}
    yield "another scheme", {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v1a,")}
    yield "cut short", {**good, "webhook-signature": good["webhook-signature"][:-4]}
    for minutes in (-6, 6):
        yield f"{minutes} minutes off", signed(message_id, body, at=time.time() + 60 * minutes)


def _replayed(world: World, post: Post, message_id: str, body: bytes) -> list[str]:
    wrong = []
    headers = signed(message_id, body, at=time.time() - (WINDOW_S - 4))
    first, before = post(body, headers), effects(world)
    again, after = post(body, headers), effects(world)
    if (first, again) != (202, 202) or before != after:
        wrong.append(f"a replay in the window: answered {first}, {again}; an effect: {before != after}")
    newer = message(message_id, data=prospect("1", revision=9))
    if post(newer, signed(message_id, newer)) != 202 or effects(world) != before:
        wrong.append("a known id with another body, well signed, had an effect")
    wait_s(6.0)
    if (late := post(body, headers)) != 401 or effects(world) != before:
        wrong.append(f"a replay after the window: answered {late}")
    return wrong


def forged_calls(world: World, seed: int, count: int = FORGED) -> Verdict:
    """A flood of forged calls, of good form and none, to a known source and to many unknown ones."""
    world.captello_extra["webhook_secret"] = SECRET
    with api_server(world) as server:
        return flooded(world, f"{server.url}/dynamics/webhooks", seed, count)


def flooded(world: World, base: str, seed: int, count: int) -> Verdict:
    wrong: list[str] = []
    before, numbers = effects(world), itertools.count(1)
    body = message("msg_forged", data=prospect("forged"))
    forged = signed("msg_forged", body, OTHER_SECRET)
    answers: Counter[int] = Counter()
    connected, arrived = _backends(world), set[int]()
    local = threading.local()

    def call(_: int) -> int:
        if not hasattr(local, "session"):
            local.session = _session()
        number = next(numbers)
        source = "captello_default" if number % 2 else f"nobody_{seed}_{number}"
        headers = forged if number % 3 else {}
        return int(local.session.post(f"{base}/{source}", data=body, headers=headers, timeout=30).status_code)

    started = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as senders:
        calls = [senders.submit(call, number) for number in range(count)]
        for done, each in enumerate(calls):
            answers[each.result()] += 1
            if done % max(1, count // 20) == 0:
                arrived |= _backends(world) - connected
    seconds = time.monotonic() - started
    if unexpected := set(answers) - {401, 404, 503}:
        wrong.append(f"forged calls were answered {sorted(unexpected)}")
    if effects(world) != before:
        wrong.append("forged calls had an effect")
    if arrived:
        wrong.append(f"forged calls took {len(arrived)} connections of the audit database")
    true = message("msg_true", data=prospect("1"))
    if (status := poster(f"{base}/captello_default")(true, signed("msg_true", true))) != 202:
        wrong.append(f"a true call after the flood was answered {status}")
    return Verdict(wrong, {"calls a second": round(count / seconds), "shed (503)": answers[503]})


def effects(world: World) -> Any:
    """Everything a webhook could have changed, and places of the request budget besides."""
    tables = ("webhook_delivery", "webhook_errand", "prospect", "sync_run", "work_item", "budget", "budget_place")
    counts = ", ".join(f"(SELECT count(*) FROM sync.{table}) AS {table}" for table in tables)
    newest = "(SELECT max(stored_at) FROM sync.prospect) AS newest"
    taken = "(SELECT count(*) FROM sync.budget_place WHERE lease_until > now()) AS taken"
    return dict(world.sql(f"SELECT {counts}, {newest}, {taken}")[0])


def poster(url: str) -> Post:
    """Posts to a server; header names may come twice."""
    session = _session()

    def post(body: bytes, headers: Headers) -> int:
        request = requests.Request("POST", url, data=body).prepare()
        listed = list(headers.items()) if isinstance(headers, Mapping) else headers
        double = {name for name, _ in listed if [other for other, _ in listed].count(name) > 1}
        for name, value in listed:
            request.headers[name] = value
        if not double:
            return session.send(request, timeout=30).status_code
        return _sent_raw(url, body, listed)

    return post


def _sent_raw(url: str, body: bytes, headers: list[tuple[str, str]]) -> int:
    """By the standard library: requests knows each header once."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    connection.putrequest("POST", parts.path)
    for name, value in [*headers, ("Content-Length", str(len(body)))]:
        connection.putheader(name, value)
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _backends(world: World) -> set[int]:
    """Who is connected to the audit database."""
    return {row["pid"] for row in world.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")}


DRILL = Drill(
    number="S06",
    severity="S1",
    seeds=2,
    variants={"signatures and replays": signatures, "10,000 forged calls": forged_calls},
)
