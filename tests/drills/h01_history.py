"""H01, a year of history: prospects of twelve months brought in by `airflow backfill create` on a real scheduler.

Some were captured in two months, so that two runs meet them. The same year again changes nothing; when some have
changed in the source, it changes those; a rehearsal of a quarter nothing at all.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.drills import load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.scheduler import Scheduler, airflow, write_action
from tests.drills.watching import rows_written
from tests.drills.world import World

COUNT, CHANGED, MONTHS = 50_000, 500, 12
DAG = "dynamics_backfill__drill"
YEAR = ("--from-date", "2025-01-01", "--to-date", "2025-12-01")
QUARTER = ("--from-date", "2025-01-01", "--to-date", "2025-03-01")
ACTIVE = "3"
PATIENCE_S = 1_500.0
TITLE = "Director"


def drill(world: World, seed: int, count: int = COUNT, changed: int = CHANGED) -> Verdict:
    """Backfill the year, the same again, again with some changed, rehearse a quarter; judge after each."""
    chosen = random.Random(seed)
    people = _people(count, chosen)
    for start in range(0, count, 5_000):
        world.crm.control("POST", "seed", {"prospects": people[start : start + 5_000]})
    write_action(world, {"schedule": '"*/5 * * * *"', "workers": "4"})
    months = [{s["captured_at"][:7] for s in person["submissions"]} for person in people]
    selected = sum(map(len, months))
    quarter = sum(len(each & {"2025-01", "2025-02", "2025-03"}) for each in months)
    wrong: list[str] = []
    with airflow(world, [DAG]) as running:
        try:
            running.pause(DAG, paused=False)
            first_s = _backfill(running, "first", wrong, *YEAR)
            wrong += _judge(world, 1, selected, {"created": count, "unchanged": selected - count})
            wrong += load.right_records(world, count)
            written = rows_written(world)
            same_s = _backfill(running, "repeated", wrong, *YEAR, "--reprocess-behavior", "completed")
            wrong += _judge(world, 2, selected, {"unchanged": selected})
            if (more := rows_written(world) - written) > 0:
                wrong.append(f"the same year again wrote {more} rows")
            victims = chosen.sample(people, changed)
            for person in victims:
                edit = {"action": "change", "id": person["id"], "values": {"job_title": TITLE}}
                world.crm.control("POST", "capture/edit", edit)
            again_s = _backfill(running, "changed", wrong, *YEAR, "--reprocess-behavior", "completed")
            changes = {"updated": changed, "unchanged": selected - changed}
            wrong += _judge(world, 3, selected, changes)
            numbers = {int(person["id"][4:]) for person in victims}
            wrong += load.right_records(world, count, numbers)
            conf = ("--dag-run-conf", '{"dry_run": true}')
            _backfill(running, "rehearsed", wrong, *QUARTER, "--reprocess-behavior", "completed", *conf)
            wrong += _judge(world, 4, quarter, {"unchanged": quarter}, months=3, dry_run=True)
            wrong += load.right_records(world, count, numbers)
        except RuntimeError as error:
            return Verdict([str(error), *running.ends_of_logs()])
        wrong += running.too_many_tasks()
        runs = running.runs(DAG)
        tasks = running.sql("SELECT count(*) AS n FROM task_instance GROUP BY run_id ORDER BY n DESC LIMIT 1")[0]["n"]
    if len(runs) != MONTHS or {run["run_type"] for run in runs} != {"backfill"}:
        wrong.append(f"DAG runs are {Counter(run['run_type'] for run in runs)}: the DAG began one by itself")
    wrong += oracles.one_outcome(world)
    wrong += oracles.settled(world)
    figures = {
        "prospects": count,
        "runs": len(runs),
        "most tasks of a run": tasks,
        "first s": first_s,
        "prospects a second": count / first_s,
        "the same again s": same_s,
        "500 changed s": again_s,
    }
    return Verdict(wrong, figures)


def _people(count: int, chosen: random.Random) -> list[dict[str, Any]]:
    """Captured at any time of 2025; a tenth of them again, mostly in another month."""
    began = datetime(2025, 1, 1, tzinfo=UTC)
    people = prospects(count)
    for n, person in enumerate(people):
        times = [began + timedelta(seconds=chosen.randrange(365 * 86_400)) for _ in range(2 if n % 10 == 0 else 1)]
        person["submissions"] = [_submission(person["id"], number, at) for number, at in enumerate(times)]
    return people


def _submission(prospect_id: str, number: int, at: datetime) -> dict[str, Any]:
    captured_at = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": f"sub_{prospect_id[4:]}{number}",
        "prospect_id": prospect_id,
        "captured_at": captured_at,
        "received_at": captured_at,
        "method": "badge_scan",
        "state": "complete",
    }


def _backfill(running: Scheduler, which: str, wrong: list[str], *words: str) -> float:
    """`airflow backfill create` for the year, to the end of its runs. Returns the seconds that took."""
    began = time.monotonic()
    running.command("backfill", "create", "--dag-id", DAG, "--max-active-runs", ACTIVE, *words)
    running.wait(lambda: _is_over(running), f"for the {which} backfill", PATIENCE_S)
    wrong += [f"{which}: a run is {run['state']}" for run in running.runs(DAG) if run["state"] != "success"]
    return time.monotonic() - began


def _is_over(running: Scheduler) -> bool:
    open_backfills = running.sql("SELECT count(*) AS n FROM backfill WHERE completed_at IS NULL")[0]["n"]
    return running.are_over(DAG, MONTHS) and not open_backfills


def _judge(
    world: World, nth: int, selected: int, expected: dict[str, int], months: int = MONTHS, dry_run: bool = False
) -> list[str]:
    """What the runs of the nth backfill have selected and how that ended. Of a DAG run that is cleared the run before
    stays."""
    before = (nth - 1) * MONTHS
    runs = world.sql("SELECT * FROM sync.audit_run ORDER BY started_at OFFSET :n", n=before)
    wrong = [] if len(runs) == months else [f"backfill {nth} has {len(runs)} runs instead of {months}"]
    told = {word: sum(run[word] for run in runs) for word in oracles.WORDS}
    told = {word: n for word, n in told.items() if n}
    if told != {word: n for word, n in expected.items() if n}:
        wrong.append(f"backfill {nth}: {told} instead of {expected}")
    if sum(run["selected"] for run in runs) != selected:
        wrong.append(f"backfill {nth} selected {sum(run['selected'] for run in runs)} instead of {selected}")
    if any(run["dry_run"] is not dry_run or run["trigger"] != "backfill" for run in runs):
        wrong.append(f"backfill {nth}: triggers or dry runs are not as asked for")
    return wrong


DRILL = Drill("H01", "S1", {"a year by month": drill}, seeds=1)
