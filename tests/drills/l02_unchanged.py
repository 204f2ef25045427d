"""L02, one million again: nothing changed, so nothing is written; then 1,000 changed, so 1,000 are updated.

100,000 prospects unless DRILL_SIZE says otherwise. The first load is L01's, and judged as there.
"""

from __future__ import annotations

import random

from tests.drills import l01_million, load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.world import World

CHANGED = 1_000
MOST_S_PER_MILLION = 600
START_S = 20  # of the processes, whatever the size


def drill(
    world: World, seed: int, count: int | None = None, changed: int = CHANGED, workers: int = l01_million.WORKERS
) -> Verdict:
    """First load, again, and again with some changed."""
    asked = load.size(l01_million.CI_SIZE) if count is None else count
    l01_million.disturb(world, seed, asked)
    file = load.write_stream(world, asked)
    first = l01_million.first_load(world, file, asked, workers)
    wrong = [f"first load: {text}" for text in first.wrong]

    before = world.crm.control("GET", "stats")
    again = load.watched_sync(world, file, workers)
    after = world.crm.control("GET", "stats")
    wrong += [] if again.returncode == 0 else [f"exit code {again.returncode}: {again.errors[-300:]}"]
    wrong += load.newest_run(world, unchanged=asked)
    if any(after[name] != before[name] for name in ("rows_written", "events")):
        wrong.append(f"the CRM was written to: {after['events']} after {before['events']}")
    wrong += l01_million.within_memory(again, workers)
    looked_up = f"pro_{random.Random(seed).randrange(asked):08d}"
    query = "SELECT outcome FROM sync.audit_outcome WHERE prospect_id = :id ORDER BY settled_at"
    if [row["outcome"] for row in world.sql(query, id=looked_up)] != ["created", "unchanged"]:
        wrong.append(f"prospect {looked_up} cannot be looked up in both runs")

    chosen = frozenset(random.Random(seed).sample(range(asked), changed))
    third = load.watched_sync(world, load.write_stream(world, asked, chosen), workers)
    wrong += [] if third.returncode == 0 else [f"exit code {third.returncode}: {third.errors[-300:]}"]
    wrong += load.newest_run(world, updated=changed, unchanged=asked - changed)
    wrong += load.right_records(world, asked, chosen)
    wrong += oracles.settled(world)
    # The third run too: what the database's planner knows of two runs has misled it about the next one.
    allowed_s = START_S + MOST_S_PER_MILLION * asked / 1_000_000
    for name, run in (("unchanged", again), ("changed", third)):
        if run.seconds > allowed_s:
            wrong.append(f"the {name} run took {run.seconds:.0f} s instead of at most {allowed_s:.0f}")
    figures = {
        "unchanged s": again.seconds,
        "unchanged requests": after["requests"] - before["requests"],
        "unchanged CPU s": again.cpu_s,
        "worker MB": max(first.figures["worker MB"], again.workers_mb, third.workers_mb),
        "parent MB": max(first.figures["parent MB"], again.parent_mb, third.parent_mb),
        "changed s": third.seconds,
        "database MB": load.database_mb(world),
        "first load rows/s": first.figures["rows/s settling"],
    }
    return Verdict(wrong, figures)


DRILL = Drill("L02", "S1", {"again, then 1,000 changed": drill}, seeds=1)
