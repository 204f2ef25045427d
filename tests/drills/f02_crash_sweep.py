"""F02, crash sweep: kill -9 at each kill point, then start a new run. One record and one outcome each."""

from __future__ import annotations

from functools import partial

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World

KILL_POINTS = ("K1", "K2", "K3", "K4", "K5", "K6", "K7")
SIGKILLED = -9


def drill(world: World, seed: int, point: str, count: int = 2_000) -> Verdict:
    """Kill at `point`, run again twice, judge. The seed says at which chunk; the end of a run is reached but once."""
    nth = 1 if point == "K7" else 1 + (seed - 1) % 3
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.05, "per_row_s": 0.0}})
    people = prospects(count)
    emails = [p["email"] for p in people]
    file = world.write_prospects(people)
    killed = world.sync(file, kill=f"{point}:{nth}")
    wrong = [] if killed.returncode == SIGKILLED else [f"not killed at {point}: exit code {killed.returncode}"]
    if not world.sql("SELECT 1 AS one FROM sync.prospect LIMIT 1"):
        wrong.append("no prospect is in the ledger after discovery")
    for again in (1, 2):
        run = world.sync(file)
        if run.returncode != 0:
            wrong.append(f"run {again} after the kill: exit code {run.returncode}: {run.stderr[-300:]}")
    wrong += oracles.standard_pass(world, emails)
    made = {record_id for record_id, counts in world.events("lead").items() if counts["create"]}
    told = world.sql("SELECT count(*) AS n FROM sync.audit_outcome WHERE outcome = 'created' AND recovered")
    if point in ("K5", "K6") and not told[0]["n"]:
        wrong.append("records that were created before the kill are not marked recovered")
    if len(made) != count:
        wrong.append(f"{len(made)} records made instead of {count}")
    return Verdict(wrong)


DRILL = Drill("F02", "S1", {point: partial(drill, point=point) for point in KILL_POINTS})
