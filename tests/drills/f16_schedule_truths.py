"""F16, schedule truths of Airflow: whatever a run's dates are, a run finds what is due, and everybody is synced once.

The shipped automation DAG on a real scheduler: intervals without width, runs without a logical date, dates in the
nights in which clocks change and on the 31st, a DAG that is paused while slots pass, and one that was off for a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.drills import load, oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.scheduler import Scheduler, airflow, write_action
from tests.drills.world import World

DAG, MAINTENANCE = "dynamics_automation__drill", "dynamics_maintenance"
ZERO_WIDTH = "2026-02-10T12:00:00Z"
DATES = (
    "2026-03-29T00:59:00Z",  # Berlin goes from two to three
    "2026-10-25T00:30:00Z",  # half past two for the first time
    "2026-10-25T01:30:00Z",  # and for the second
    "2026-03-08T06:59:00Z",  # New York, the same
    "2026-11-01T05:30:00Z",
    "2026-11-01T06:30:00Z",
    "2026-01-31T00:00:00Z",
)
SLOTS, SLOT_S = 3, 60.0
PATIENCE_S = 240.0


@dataclass
class Period:
    """The prospects of the drill, seeded group by group, with the moment of each group by the database's clock."""

    world: World
    groups: Iterator[Sequence[dict[str, Any]]]
    seeded: list[tuple[datetime, Sequence[str]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def seed(self) -> int:
        group = next(self.groups)
        self.world.crm.control("POST", "seed", {"prospects": list(group)})
        now = self.world.sql("SELECT clock_timestamp() AS now")[0]["now"]
        self.seeded.append((now, [person["id"] for person in group]))
        return len(group)

    def expect(self, running: Scheduler, what: str, count: int) -> None:
        """The newest run that selected anybody has ended green, and has created so many."""
        running.wait(lambda: running.are_over(DAG, 1), f"to end {what}", PATIENCE_S)
        newest = self.world.sql("SELECT * FROM sync.audit_run WHERE selected > 0 ORDER BY started_at DESC LIMIT 1")[0]
        if (newest["selected"], newest["created"], newest["state"]) != (count, count, "succeeded"):
            self.wrong.append(
                f"{what}: {newest['selected']} selected, {newest['created']} created of {count}, {newest['state']}"
            )


def dates(world: World, seed: int, group: int = 100) -> Verdict:
    """Runs whose dates say nothing, or nonsense: each finds a group of new prospects."""
    return _drill(world, 2 + 1 + len(DATES), group, {"schedule": '"0 0 31 * *"', "timezone": "Europe/Berlin"}, _dates)


def pauses(world: World, seed: int, group: int = 100) -> Verdict:
    """The DAG is paused for three slots, then switched off for a day."""
    return _drill(world, 2 + SLOTS, group, {"schedule": '"* * * * *"'}, _paused, _off_for_a_day)


def _drill(
    world: World, groups: int, group: int, schedule: dict[str, str], *cases: Callable[[Scheduler, Period], None]
) -> Verdict:
    """The cases one after the other on one Airflow; judge."""
    people = prospects(group * groups)
    for number, person in enumerate(people):  # each group is changed later than the one before
        person["updated_at"] = f"2026-03-14T{9 + number // group // 60:02d}:{number // group % 60:02d}:00.000Z"
    period = Period(world, iter([people[start : start + group] for start in range(0, len(people), group)]))
    write_action(world, {**schedule, "workers": "2"})
    with airflow(world, [DAG, MAINTENANCE]) as running:
        try:
            for case in cases:
                case(running, period)
        except RuntimeError as error:
            return Verdict([*period.wrong, str(error), *running.ends_of_logs()])
        period.wrong += running.too_many_tasks()
        runs = running.runs(DAG)
        period.wrong += [f"a {run['run_type']} run is {run['state']}" for run in runs if run["state"] != "success"]
    emails = [person["email"] for person in people]
    wrong = [*period.wrong, *_none_green_and_empty(period), *_once(world, len(people))]
    wrong += oracles.standard_pass(world, emails)
    wrong += load.right_records(world, len(people))
    return Verdict(wrong, {"prospects": len(people), "DAG runs": len(runs)})


# ---------------------------------------------------------------- the cases


def _dates(running: Scheduler, period: Period) -> None:
    """Runs whose dates say nothing, or nonsense."""
    count = period.seed()
    running.pause(DAG, paused=False)  # the scheduler's own run: of the 31st, in a summer or winter that is over
    running.wait(lambda: running.are_over(DAG, 1), "to run by itself", PATIENCE_S)
    period.expect(running, "a scheduled run on the 31st", count)
    running.pause(DAG)  # so that the dates of the next one can be changed before it begins
    count = period.seed()
    run_id = running.trigger(DAG, {}, ZERO_WIDTH)
    running.sql_do("UPDATE dag_run SET data_interval_end = data_interval_start WHERE run_id = :id", id=run_id)
    running.pause(DAG, paused=False)
    period.expect(running, "an interval without width", count)
    for date in (None, *DATES):
        count = period.seed()
        running.trigger(DAG, {}, date)
        period.expect(running, f"a run by hand dated {date}", count)


def _paused(running: Scheduler, period: Period) -> None:
    """A DAG that runs every minute is paused while slots pass, and prospects with them."""
    count = period.seed()
    _switch_on(running)
    period.expect(running, "the first run", count)
    count, before = 0, _scheduled(running)
    for _ in range(SLOTS):
        count += period.seed()
        over = time.monotonic() + SLOT_S
        running.wait(lambda over=over: time.monotonic() >= over, "to let a slot pass", 2 * SLOT_S)
    if _scheduled(running) != before:
        period.wrong.append("a paused DAG has run")
    _switch_on(running)
    period.expect(running, "the run after the pause", count)


def _off_for_a_day(running: Scheduler, period: Period) -> None:
    """Nobody reads for a day, as the database is told: the maintenance DAG is red for it, and the next run warns."""
    with period.world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync.cursor SET read_at = read_at - interval '1 day'")
    running.pause(MAINTENANCE, paused=False)
    running.trigger(MAINTENANCE, {})
    running.wait(lambda: running.are_over(MAINTENANCE, 1), "to look for backlogs", PATIENCE_S)
    states = running.sql("SELECT state FROM task_instance WHERE task_id = 'report_backlogs'")
    if not any(row["state"] == "failed" for row in states):
        period.wrong.append("nobody has noticed that the automation was off for a day")
    count = period.seed()
    _switch_on(running)
    period.expect(running, "the run after a day", count)
    logs = (running.home / "logs").rglob("dag_id=dynamics_automation__drill/**/task_id=discover/**/*.log")
    if not any("backlog: automation of drill last read its source 24 h" in log.read_text() for log in logs):
        period.wrong.append("the run after a day has not warned of it")


def _switch_on(running: Scheduler) -> None:
    """Until one more run has come to its end. A run that has begun stands still in a DAG that is paused."""
    before = _scheduled(running)
    running.pause(DAG, paused=False)
    running.wait(lambda: _scheduled(running) > before, "to run again", PATIENCE_S)

    def is_at_rest() -> bool:
        if not running.are_over(DAG, 1):
            return False
        running.pause(DAG)
        if running.are_over(DAG, 1):
            return True
        running.pause(DAG, paused=False)
        return False

    running.wait(is_at_rest, "to come to rest", PATIENCE_S)


def _scheduled(running: Scheduler) -> int:
    return sum(run["run_type"] == "scheduled" for run in running.runs(DAG))


# ---------------------------------------------------------------- what must hold


def _none_green_and_empty(period: Period) -> list[str]:
    """No run that selected nobody began when somebody was there and was synced only afterwards."""
    wrong = []
    empty = period.world.sql("SELECT started_at, finished_at FROM sync.audit_run WHERE selected = 0")
    for seeded_at, ids in period.seeded:
        first = period.world.sql(
            "SELECT min(settled_at) AS at FROM sync.audit_outcome WHERE prospect_id = ANY(:ids)", ids=list(ids)
        )[0]["at"]
        wrong += [
            "a run is green and empty while somebody was due"
            for run in empty
            if seeded_at < run["started_at"] and (first is None or first > run["finished_at"])
        ]
    return wrong


def _once(world: World, count: int) -> list[str]:
    told = world.sql("SELECT count(*) AS n, count(DISTINCT prospect_id) AS people FROM sync.audit_outcome")[0]
    return [] if (told["n"], told["people"]) == (count, count) else [f"{count} prospects have {told['n']} outcomes"]


DRILL = Drill("F16", "S1", {"dates": dates, "pauses and a day off": pauses}, seeds=1)
