"""F15, late, tied, skewed, drifting: a source that changes while it is read, and workers whose clocks are wrong.

The source is the sandbox's Captello API. Plug-ins in the CRM refuse updates to versions that may not come any more (the
first one may only ever be created), so that an older version that comes over a newer one is seen as it happens.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.skewed_clock import measured_skew_s, skewed
from tests.drills.world import World

SKEW_S = 600
DEADLINE_S = 300.0
POLL_S = 0.02
VERSIONS = ("First", "Second", "Third")  # job titles
BEGAN = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
MOMENTS = ("work_item WHERE state = 'claimed'", "attempt", "sync_run WHERE discovered_at IS NOT NULL")
_RUN = ("run", "--action", "drill", "--workers")


def drifting(world: World, seed: int, count: int = 10_000, page_delay_s: float = 0.1, workers: int = 2) -> Verdict:
    """Changed while it is read, late rows between two runs, half the rows of one millisecond, clocks off both ways.

    Args:
        count: rows in all: a tenth of them late, a half in one millisecond, a hundredth never captured (so without a
            time of capture), and three tenths changed while pages are read, some of them twice.
    """
    chosen = random.Random(seed)
    people = _people(count, chosen)
    late, early = people[: count // 10], people[count // 10 :]
    chosen.shuffle(early)
    _refuse(world, VERSIONS[0])
    _seed(world, early)
    slow = {"match": {"method": "GET", "path": "^/v1/prospects$"}, "effect": "delay", "delay_s": page_delay_s}
    world.crm.control("PUT", "faults", [slow])
    victims = chosen.sample(early, 3 * count // 10)
    twice = victims[: len(victims) // 10]
    changes = [(p, VERSIONS[1]) for p in victims] + [(p, VERSIONS[2]) for p in twice]
    expected = {p["email"]: VERSIONS[0] for p in people} | {p["email"]: title for p, title in changes}

    wrong: list[str] = []
    offsets = (SKEW_S, -SKEW_S, SKEW_S) if seed % 2 else (-SKEW_S, SKEW_S, -SKEW_S)
    with_pages_left = _run_while_changing(world, changes, offsets[0], workers, wrong)
    world.crm.control("PUT", "faults", [])
    _seed(world, late)  # committed now, with times of hours ago
    for number, offset_s in enumerate(offsets[1:], 2):
        _run(world, number, offset_s, workers, wrong)
    wrong += _judge(world, expected)
    if with_pages_left < len(changes) // 10:  # on a busy machine they come slower than the pages
        wrong.append(f"only {with_pages_left} of {len(changes)} changes came while pages were read")
    return Verdict(wrong, {"changed while reading": with_pages_left, "late": len(late), "clocks": _clocks()})


def overtaken(world: World, seed: int, count: int = 1_000, workers: int = 2) -> Verdict:
    """A run that has read older versions is stopped; another brings newer ones, and ends; the first one goes on."""
    chosen = random.Random(seed)
    people = _people(count, chosen)
    _refuse(world, VERSIONS[0])
    _seed(world, people)
    wrong: list[str] = []
    _run(world, 1, -SKEW_S, workers, wrong)
    victims = chosen.sample(people, count // 2)
    _change(world, [(p, VERSIONS[1]) for p in victims])
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.2, "per_row_s": 0.001}})
    single = ("run", "--action", "drill")
    paused = world.start(*single, environment=skewed(SKEW_S))
    reached = MOMENTS[seed % len(MOMENTS)]
    before = _count(world, reached)
    if not _wait(lambda: _count(world, reached) > before or paused.poll() is not None) or paused.poll() is not None:
        wrong.append("the run that was to be overtaken could not be stopped in time")
    paused.send_signal(signal.SIGSTOP)
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.0, "per_row_s": 0.0}})
    _change(world, [(p, VERSIONS[2]) for p in victims])
    _run(world, 3, -SKEW_S, workers, wrong)
    _refuse(world, VERSIONS[1])
    paused.send_signal(signal.SIGCONT)
    _, told = paused.communicate(timeout=DEADLINE_S)
    if paused.returncode != 0:
        wrong.append(f"the run that was overtaken: exit code {paused.returncode}: {told[-300:]}")
    _run(world, 4, SKEW_S, workers, wrong)
    expected = {p["email"]: VERSIONS[0] for p in people} | {p["email"]: VERSIONS[2] for p in victims}
    wrong += _judge(world, expected)
    return Verdict(wrong, {"overtaken at": reached, "clocks": _clocks()})


# ---------------------------------------------------------------- the source


def _people(count: int, chosen: random.Random) -> list[dict[str, Any]]:
    """The first tenth is late: hours older than the rest. The next half shares one millisecond."""
    people = []
    for n in range(count):
        if n < count // 10:
            at = BEGAN - timedelta(milliseconds=chosen.randint(1, 6 * 3_600_000))
        elif n < 6 * count // 10:
            at = BEGAN
        else:
            at = BEGAN + timedelta(milliseconds=chosen.randint(1, 3_600_000))
        person = {
            "id": f"pro_{n:08d}",
            "revision": 1,
            "status": "active",
            "created_at": _instant(at),
            "updated_at": _instant(at),
            "first_name": f"First{n}",
            "last_name": f"Last{n}",
            "email": f"person{n}@drill.example",
            "job_title": VERSIONS[0],
        }
        if n % 100:
            person["submissions"] = [
                {
                    "id": f"sub_{n:08d}",
                    "prospect_id": person["id"],
                    "captured_at": _instant(at),
                    "received_at": _instant(at),
                    "method": "badge_scan",
                    "state": "complete",
                }
            ]
        people.append(person)
    return people


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seed(world: World, people: Sequence[Mapping[str, Any]]) -> None:
    world.crm.control("POST", "seed", {"prospects": list(people)})


def _refuse(world: World, title: str) -> None:
    """Let the CRM refuse every update to this version."""
    plugin = {"action": "install_plugin", "table": "lead", "event": "update", "message": "An older version."}
    world.crm.control("POST", "schema", plugin | {"column": "jobtitle", "value": title})


def _change(world: World, changes: Sequence[tuple[Mapping[str, Any], str]]) -> None:
    for person, title in changes:
        edit = {"action": "change", "id": person["id"], "values": {"job_title": title}}
        world.crm.control("POST", "capture/edit", edit)


# ---------------------------------------------------------------- runs


def _run(world: World, number: int, offset_s: int, workers: int, wrong: list[str]) -> None:
    run = world.command(*_RUN, str(workers), environment=skewed(offset_s))
    if run.returncode != 0:
        wrong.append(f"run {number}: exit code {run.returncode}: {run.stderr[-300:]}")


def _run_while_changing(
    world: World, changes: Sequence[tuple[Mapping[str, Any], str]], offset_s: int, workers: int, wrong: list[str]
) -> int:
    """Run once, changing prospects from the first page on. Returns how many were changed before the last page."""
    run = world.start(*_RUN, str(workers), environment=skewed(offset_s))
    _wait(lambda: _count(world, "prospect") > 0 or run.poll() is not None)
    in_time = 0
    reading = threading.Event()
    reading.set()

    def watch() -> None:
        _wait(lambda: _count(world, "sync_run WHERE discovered_at IS NOT NULL") > 0 or run.poll() is not None)
        reading.clear()

    watcher = threading.Thread(target=watch)
    watcher.start()
    for change in changes:
        _change(world, [change])
        in_time += reading.is_set()
    _, told = run.communicate(timeout=DEADLINE_S)
    watcher.join()
    if run.returncode != 0:
        wrong.append(f"run 1: exit code {run.returncode}: {told[-300:]}")
    return in_time


def _count(world: World, what: str) -> int:
    return int(world.sql(f"SELECT count(*) AS n FROM sync.{what}")[0]["n"])


def _wait(reached: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


# ---------------------------------------------------------------- the judge


def _judge(world: World, expected: Mapping[str, str]) -> list[str]:
    """Everybody is there once with the newest version, and no older version was ever tried over a newer one."""
    rows = {str(row.get("emailaddress1")): row.get("jobtitle") for row in world.rows("lead")}
    stale = sum(rows.get(email) != title for email, title in expected.items())
    wrong = [f"{stale} records do not hold the newest version"] if stale else []
    rejected = _count(world, "audit_outcome WHERE outcome = 'rejected'")
    if rejected:
        wrong.append(f"{rejected} times an older version was sent over a newer one")
    # An older version whose write had landed before may be told of late; that each landed once, the standard pass sees.
    back = world.sql(
        "SELECT count(*) AS n FROM (SELECT outcome, revision,"
        " max(revision) OVER (PARTITION BY prospect_id ORDER BY settled_at"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM sync.audit_outcome) o"
        " WHERE revision < before AND outcome NOT IN ('created', 'updated')"
    )[0]["n"]
    if back:
        wrong.append(f"{back} prospects were settled with an older version after a newer one")
    too_many = {i: c["update"] for i, c in world.events("lead").items() if c["update"] >= len(VERSIONS)}
    if too_many:
        wrong.append(f"{len(too_many)} records were updated more often than they changed")
    return wrong + oracles.standard_pass(world, list(expected))


def _clocks() -> str:
    """Whether clocks were off, as a process tells it."""
    if not skewed(SKEW_S):
        return "not off: libfaketime is not installed"
    off = [measured_skew_s(offset_s) for offset_s in (-SKEW_S, SKEW_S)]
    return f"{off[0]:+.0f} and {off[1]:+.0f} s off"


# A seed changes who is late and who changes; each kind of moment and both signs of the clocks come with six of them.
DRILL = Drill("F15", "S1", {"drifting": drifting, "overtaken": overtaken}, seeds=6)
