"""F09, short-lived tokens: a run that outlives several of them asks for new ones now and then, and shows none."""

from __future__ import annotations

import math
import re
import subprocess
import time

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.watching import ended, requests_since, rows_written, running, tail, wait_for
from tests.drills.world import World

LIFETIMES = 2  # that a run must outlast, or nothing is drilled
SPARE = 5  # token requests of each worker, besides one in each lifetime
PACE_EVERY_S = 1.0
FASTEST_ROW_S = 0.0005
TOKEN = re.compile(r"[A-Za-z0-9_-]{64}(?![A-Za-z0-9_-])")  # as the sandbox makes them; digests of 64 digits look alike
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'sync' AND table_type = 'BASE TABLE'"


def drill(
    world: World,
    seed: int,
    count: int = 40_000,
    workers: int = 8,
    token_lifetime_s: int = 60,
    run_s: float = 180.0,
    slowest_row_s: float = 0.15,
) -> Verdict:
    """A run that takes about `run_s`; the seed says which request for a token is answered with 429."""
    world.crm.control("PUT", "settings", {"token_lifetime_s": token_lifetime_s})
    busy = {"match": {"operation": "Token", "nth": 2 + seed % workers}, "effect": "status", "status": 429}
    world.crm.control("PUT", "faults", [busy | {"retry_after": 2}])
    people = prospects(count)
    began = time.monotonic()
    with running(world, world.write_prospects(people), workers) as run:
        _keep_pace(world, run, count, run_s, slowest_row_s)
        code, text = ended(run, 600)
    took_s = time.monotonic() - began
    wrong = [] if code == 0 else [f"exit code {code}: {tail(text)}"]
    if took_s < LIFETIMES * token_lifetime_s:
        wrong.append(f"the run took {took_s:.0f} s only, too short for tokens of {token_lifetime_s} s")
    asked = [entry for entry in requests_since(world) if entry["operation"] == "Token"]
    allowed = workers * (math.ceil(took_s / token_lifetime_s) + SPARE)
    if len(asked) > allowed:
        wrong.append(f"{len(asked)} token requests of {workers} workers in {took_s:.0f} s, more than {allowed}")
    if not any(entry["status"] == 429 for entry in asked):
        wrong.append("the token endpoint was never busy")
    wrong += _shown(world, text)
    wrong += oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"token requests": len(asked), "allowed": allowed, "run seconds": round(took_s)})


def _keep_pace(world: World, run: subprocess.Popen[str], count: int, run_s: float, slowest_row_s: float) -> None:
    """Make rows slower or faster once a second, so that the run lasts, however many requests it has side by side."""
    began, row_s = time.monotonic(), slowest_row_s / 2
    while run.poll() is None:
        world.crm.control("PUT", "settings", {"latency": {"per_row_s": row_s}})
        wait_for(lambda: run.poll() is not None, PACE_EVERY_S)
        ahead = rows_written(world) / count > (time.monotonic() - began) / run_s
        row_s = min(row_s * 1.25, slowest_row_s) if ahead else max(row_s * 0.8, FASTEST_ROW_S)


def _shown(world: World, text: str) -> list[str]:
    """Where a token or the secret can be read: in what the run said, in a table."""
    secret = str(world.crm.ready["client_secret"])
    places = {"the run's text": text}
    for table in world.sql(TABLES):
        rows = world.sql(f'SELECT t::text AS row FROM sync."{table["table_name"]}" t')
        places[f"table {table['table_name']}"] = "\n".join(row["row"] for row in rows)
    wrong = [f"{place} holds the secret" for place, content in places.items() if secret in content]
    for place, content in places.items():
        tokens = [found for found in TOKEN.findall(content) if not re.fullmatch(r"[0-9a-f]{64}", found)]
        wrong += [f"{place} holds what looks like a token"] if tokens else []
    return wrong


# Several lifetimes of a minute: three minutes a run.
DRILL = Drill("F09", "S2", {"60 s tokens": drill}, seeds=1)
