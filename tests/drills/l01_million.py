"""L01, one million for the first time: 50 ms a request and 3 ms a row, faults now and then, four workers.

100,000 prospects unless DRILL_SIZE says otherwise: `DRILL_SIZE=1000000 make drills ONLY=L01`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.drills import load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.world import World

CI_SIZE = 100_000
WORKERS = 4
MOST_MB = 512
LEAST_ROWS_PER_S = 500
SHARE = 0.001
BULK = 250
EFFECTS: tuple[dict[str, Any], ...] = (
    {"effect": "drop_before_commit"},
    {"effect": "drop_after_commit"},
    {"effect": "status", "status": 502, "committed": True},
    {"effect": "status", "status": 503},
    {"effect": "status", "status": 504, "committed": True},
    {"effect": "status", "status": 429, "code": "0x80072322", "retry_after": 1},
)


def drill(world: World, seed: int, count: int | None = None, workers: int = WORKERS) -> Verdict:
    """The first load."""
    asked = load.size(CI_SIZE) if count is None else count
    disturb(world, seed, asked)
    file = load.write_stream(world, asked)
    return first_load(world, file, asked, workers)


def disturb(world: World, seed: int, count: int) -> None:
    """Latency, and faults on 0.1 % of writes: each kind at least once, at a moment that the seed says.

    Where there are few requests, so many kinds only: what is sent again goes in other requests.
    """
    world.crm.control("PUT", "settings", {"latency": load.latency()})
    draw = random.Random(seed)
    kinds = min(len(EFFECTS), max(1, count // BULK // 2))
    moments = draw.sample(range(1, max(kinds, count // BULK * 3 // 4) + 1), kinds)
    rules = [
        {"match": {"operation": "CreateMultiple", "nth": moment}, **effect}
        for moment, effect in zip(moments, EFFECTS, strict=False)
    ]
    rules += [
        {
            "match": {"operation": operation, "probability": SHARE / len(EFFECTS), "seed": draw.randrange(10**6)},
            **effect,
        }
        for operation in ("CreateMultiple", "Batch")
        for effect in EFFECTS
    ]
    world.crm.control("PUT", "faults", rules)


def first_load(world: World, file: Path, count: int, workers: int) -> Verdict:
    """Run on the file into the empty organisation, and judge."""
    run = load.watched_sync(world, file, workers)
    wrong = [] if run.returncode == 0 else [f"exit code {run.returncode}: {run.errors[-300:]}"]
    fired = [rule["fired"] for rule in world.crm.control("GET", "faults") if "nth" in rule["match"]]
    if not all(fired):
        wrong.append("a kind of fault never fired")
    wrong += load.newest_run(world, created=count)
    wrong += load.right_records(world, count)
    wrong += load.true_outcomes(world, count)
    wrong += oracles.settled(world)
    wrong += within_memory(run, workers)
    whole_s, settling_s = load.seconds_of_run(world)
    if count >= CI_SIZE and count / settling_s < LEAST_ROWS_PER_S:
        wrong.append(f"{count / settling_s:.0f} rows a second instead of {LEAST_ROWS_PER_S}")
    figures = {
        "rows/s settling": count / settling_s,
        "rows/s whole": count / whole_s,
        "worker MB": run.workers_mb,
        "parent MB": run.parent_mb,
        "requests": world.crm.control("GET", "stats")["requests"],
        "faults": sum(fired),
        "CPU s": run.cpu_s,
        "database MB": load.database_mb(world),
        "sandbox MB": load.peak_mb(world.crm.pid),
    }
    return Verdict(wrong, figures)


def within_memory(run: load.Watched, workers: int) -> list[str]:
    if len(run.peaks) != workers:
        return [f"{len(run.peaks)} processes were seen instead of {workers}"]
    return [f"a process took {mb:.0f} MB" for mb in run.peaks.values() if mb > MOST_MB]


DRILL = Drill("L01", "S1", {"first load": drill}, seeds=1)
