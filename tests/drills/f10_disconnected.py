"""F10, the account is disconnected in mid-run: the run stops soon and says which connection, or a short fault passes.

Nothing is held against a prospect either way, and after the repair one run brings the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.watching import (
    ended,
    outcomes_besides,
    requests_since,
    running,
    settled_items,
    tail,
    wait_for,
    wait_s,
)
from tests.drills.world import World

SHARE = 0.4  # settled when it happens
SHORT_S = 5.0
RED_WITHIN_S = 60.0
REFUSED = 400  # and above
MORE_REQUESTS = 5  # of each worker, once the fault lasts
CONNECTION = "dynamics_default"
TRIED_AGAIN = "; again in "  # said of a fault that a worker bears with for now
SLOW = {"latency": {"per_request_s": 0.05, "per_row_s": 0.002}}
SLOWER = {"latency": {"per_request_s": 0.05, "per_row_s": 0.01}}  # so that a run outlasts what bites late
PROMPT = {"latency": {"per_request_s": 0.0, "per_row_s": 0.0}}  # once the fault has been met, nothing is to be shown
ROTATED = "rotated~in-the-middle-of-a-run"


@dataclass(frozen=True)
class Disturbance:
    """What is done to the account, and how it is undone. `prepare` is done before the run begins."""

    disturb: Callable[[World], None]
    repair: Callable[[World], None]
    prepare: Callable[[World], None] = lambda _: None


def lasting(
    world: World, seed: int, disturbance: Disturbance, delay_s: float = 0.0, count: int = 10_000, workers: int = 2
) -> Verdict:
    """The fault stays until the run has ended; `delay_s` is how long after the moment it begins to bite."""
    world.crm.control("PUT", "settings", SLOWER if delay_s else SLOW)
    disturbance.prepare(world)
    people = prospects(count)
    file = world.write_prospects(people)
    with running(world, file, workers) as run:
        wrong = _reach(world, run.poll, count, seed)
        wait_s(delay_s)
        disturbance.disturb(world)
        began, instant = time.monotonic(), datetime.now(UTC)
        code, text = ended(run, 5 * RED_WITHIN_S)
        red_after_s = time.monotonic() - began
    if code != 2:
        wrong.append(f"exit code {code} instead of 2: {tail(text)}")
    if red_after_s > RED_WITHIN_S:
        wrong.append(f"red after {red_after_s:.0f} s")
    # A token may outlive the secret that it was given for: what it still carries is not held against the workers.
    more = [e for e in requests_since(world) if e["arrived"] > instant and e["status"] >= REFUSED]
    if not more:
        wrong.append("no request met the fault")
    if len(more) > MORE_REQUESTS * workers:
        wrong.append(f"{len(more)} further requests of {workers} workers")
    named = [line for line in text.splitlines() if CONNECTION in line and TRIED_AGAIN not in line]
    if not 1 <= len(named) <= workers:
        wrong.append(f"{len(named)} last words name the connection, of {workers} workers: {tail(text)}")
    wrong += outcomes_besides(world, "created")
    left = count - settled_items(world)
    if not left:
        wrong.append("nothing was left when the fault came")
    disturbance.repair(world)
    world.crm.control("PUT", "settings", PROMPT)
    again = world.sync(file, workers=workers)
    if again.returncode != 0:
        wrong.append(f"the run after the repair: exit code {again.returncode}: {tail(again.stderr)}")
    wrong += oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"further requests": len(more), "s until red": round(red_after_s), "left pending": left})


def short(
    world: World,
    seed: int,
    disturbance: Disturbance,
    count: int = 10_000,
    workers: int = 2,
    lasts_s: float = SHORT_S,
) -> Verdict:
    """The fault is gone after `lasts_s`: the run goes on and ends by itself."""
    world.crm.control("PUT", "settings", SLOW)
    people = prospects(count)
    with running(world, world.write_prospects(people), workers) as run:
        wrong = _reach(world, run.poll, count, seed)
        disturbance.disturb(world)
        instant = datetime.now(UTC)
        wait_s(lasts_s)
        disturbance.repair(world)
        world.crm.control("PUT", "settings", PROMPT)
        code, text = ended(run, 600)
    met = [entry for entry in requests_since(world) if entry["arrived"] > instant and entry["status"] in (403, 503)]
    if not met:
        wrong.append("no request met the fault")
    if code != 0:
        wrong.append(f"exit code {code}: {tail(text)}")
    wrong += outcomes_besides(world, "created")
    wrong += oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"requests refused": len(met)})


def _reach(world: World, ended_already: Callable[[], int | None], count: int, seed: int) -> list[str]:
    """Wait until about 40 % are settled; the seed shifts the moment by up to a tenth of the whole."""
    wanted = int(count * (SHARE + 0.005 * (seed % 20)))
    wait_for(lambda: settled_items(world) >= wanted or ended_already() is not None)
    return [] if ended_already() is None else ["the run was over before the fault"]


def _application(**standing: Any) -> Callable[[World], None]:
    """A change of our application's standing."""

    def change(world: World) -> None:
        world.crm.control("PUT", "settings", {"applications": {world.crm.ready["client_id"]: standing}})

    return change


def _short_tokens(world: World) -> None:
    world.crm.control("PUT", "settings", {"token_lifetime_s": 2})


def _new_secret(world: World) -> None:
    world.client_secret = ROTATED


def _maintenance(world: World) -> None:
    fault = {"match": {"organization": 0}, "effect": "status", "status": 503}
    world.crm.control("PUT", "faults", [fault])


def _maintenance_over(world: World) -> None:
    world.crm.control("PUT", "faults", [])


REVOKED = Disturbance(
    _application(secret="revoked", tokens="revoked"),
    _application(secret="valid", tokens="valid"),
)
DISABLED = Disturbance(_application(user="disabled"), _application(user="enabled"))
# The running process knows the old secret alone. Tokens it got for it stay good for their lifetime, as in Entra.
ROTATION = Disturbance(_application(rotated_secret=ROTATED), _new_secret, _short_tokens)
MAINTENANCE = Disturbance(_maintenance, _maintenance_over)

# A seed moves the moment by at most a tenth of the run and changes nothing else; a run takes from half a minute to a
# minute and a half, most of it the product's patience with a fault.
DRILL = Drill(
    "F10",
    "S1",
    {
        "secret revoked": partial(lasting, disturbance=REVOKED),
        "user disabled": partial(lasting, disturbance=DISABLED),
        "user disabled for 5 s": partial(short, disturbance=DISABLED),
        "secret rotated, 5 s overlap": partial(lasting, disturbance=ROTATION, delay_s=SHORT_S),
        "maintenance": partial(lasting, disturbance=MAINTENANCE),
        "maintenance for 5 s": partial(short, disturbance=MAINTENANCE),
    },
    seeds=3,
)
