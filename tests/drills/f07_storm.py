"""F07, a storm of 429 and one of 503: a pause holds for all workers together, and nothing is held against a prospect.

A pause begins when the first 429 of a wave was answered. What arrives within a grace of one second was on its way.
"""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.watching import (
    ended,
    last_seq,
    outcomes_besides,
    requests_since,
    rows_written,
    running,
    tail,
    wait_for,
    wait_s,
)
from tests.drills.world import World

CODES = ("0x80072322", "0x80072321", "0x80072326")
GRACE_S = 1.0
SLOW = {"latency": {"per_request_s": 0.05, "per_row_s": 0.003}}
UNREADABLE = {"absent": None, "negative": "-5", "a word": "soon"}
UNREADABLE_QUIET_S = 2.0  # the least anybody should wait who was told to wait and not how long
LONGEST_WAIT_S = 330.0  # the service's window of 300 s, and time to start
STORM_S = 90.0
STORM_REQUESTS = 12  # in the storm, after the grace
STORM_REQUESTS_IN_ALL = 60


def waves(
    world: World,
    seed: int,
    count: int = 5_000,
    workers: int = 8,
    pause_s: int = 30,
    told_as: str = "value",
    times: int = len(CODES),
) -> Verdict:
    """Three waves, one of each limit, while rows are being written; the seed says after how many requests more."""
    rule = {"retry_after": pause_s, "retry_after_as": told_as}
    # A date has whole seconds: the pause it tells ends up to one second early.
    quiet_s = pause_s - (1.0 if told_as == "date" else 0.0)
    codes = [CODES[(wave + seed) % len(CODES)] for wave in range(times)]
    moments = [(1 + (wave + seed) % 5, rule | {"code": code}) for wave, code in enumerate(codes)]
    return _through_waves(world, count, workers, moments, quiet_s)


def unreadable(world: World, seed: int, count: int = 5_000, workers: int = 8) -> Verdict:
    """A 429 that does not say how long: no header, no number, a number below nothing."""
    texts = list(UNREADABLE.values())
    moments = [
        (1 + seed % 5, {"retry_after": texts[(wave + seed) % len(texts)], "code": CODES[wave]})
        for wave in range(len(texts))
    ]
    return _through_waves(world, count, workers, moments, UNREADABLE_QUIET_S)


def absurd(world: World, seed: int, count: int = 1_000, workers: int = 2, longest_s: float = LONGEST_WAIT_S) -> Verdict:
    """Told to wait a day: nobody waits longer than the service's longest window, and nothing is held against a row."""
    world.crm.control("PUT", "settings", SLOW)
    people = prospects(count)
    file = world.write_prospects(people)
    with running(world, file, workers) as run:
        rule = {"retry_after": 86_400, "code": CODES[seed % len(CODES)]}
        first = _wave(world, run, 1 + seed % 5, rule, UNREADABLE_QUIET_S)
        code, text = ended(run, longest_s)
    wrong = [] if first else ["no 429 was met"]
    if code is None:
        wrong.append(f"still waiting after {longest_s:g} s: {tail(text)}")
    elif code not in (0, 2):
        wrong.append(f"exit code {code}: {tail(text)}")
    wrong += outcomes_besides(world, "created")
    if code != 0:
        with running(world, file, workers) as again:
            code, text = ended(again, longest_s)
        if code != 0:
            wrong.append(f"the run afterwards: exit code {code}: {tail(text)}")
    return Verdict(wrong + oracles.standard_pass(world, [p["email"] for p in people]))


def unavailable(
    world: World, seed: int, count: int = 5_000, workers: int = 8, storm_s: float = STORM_S, ends_s: float = 600.0
) -> Verdict:
    """503 from a moment on, to everybody, for as long as the run lasts and for `storm_s` at least."""
    world.crm.control("PUT", "settings", SLOW)
    people = prospects(count)
    file = world.write_prospects(people)
    with running(world, file, workers) as run:
        wait_for(lambda: rows_written(world) >= count * (1 + seed % 5) // 20 or run.poll() is not None)
        _answer_all(world, {"status": 503})
        before, began = last_seq(world), time.monotonic()
        code, text = ended(run, ends_s)
        lasted_s = time.monotonic() - began
        wait_s(storm_s - lasted_s)
        met = [entry for entry in requests_since(world, before) if entry["status"] == 503]
    wrong = [] if met else ["no request met the storm"]
    late = _after_grace(met, storm_s)
    if len(late) > STORM_REQUESTS:
        wrong.append(f"{len(late)} requests in the first {storm_s:g} s, after the first second")
    if len(met) > STORM_REQUESTS_IN_ALL:
        wrong.append(f"{len(met)} requests into the storm")
    if code != 2:
        wrong.append(f"exit code {code} instead of 2 after {lasted_s:.0f} s of storm: {tail(text)}")
    wrong += outcomes_besides(world, "created")
    world.crm.control("PUT", "faults", [])
    again = world.sync(file, workers=2)
    if again.returncode != 0:
        wrong.append(f"the run afterwards: exit code {again.returncode}: {tail(again.stderr)}")
    wrong += oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"requests into 503": len(met), "after 1 s": len(late), "s until red": round(lasted_s)})


def _through_waves(
    world: World, count: int, workers: int, moments: list[tuple[int, dict[str, Any]]], quiet_s: float
) -> Verdict:
    """Run through waves of 429, each after so many requests, and judge the pauses and the result."""
    world.crm.control("PUT", "settings", SLOW)
    people = prospects(count)
    wrong, began = [], list[datetime]()
    with running(world, world.write_prospects(people), workers) as run:
        for number, (passing, rule) in enumerate(moments, 1):
            first = _wave(world, run, passing, rule, quiet_s)
            if first is None:
                wrong.append(f"no request met wave {number}")
            else:
                began.append(first)
        code, text = ended(run, 600)
    if code != 0:
        wrong.append(f"exit code {code}: {tail(text)}")
    requests = [entry for entry in requests_since(world) if entry["organization"]]
    inside = [
        entry
        for entry in requests
        for pause in began
        if pause + timedelta(seconds=GRACE_S) < entry["arrived"] < pause + timedelta(seconds=quiet_s)
    ]
    if inside:
        wrong.append(f"{len(inside)} requests inside a pause, after {GRACE_S:g} s")
    wrong += oracles.standard_pass(world, [p["email"] for p in people])
    refused = sum(entry["status"] == 429 for entry in requests)
    return Verdict(wrong, {"429s": refused, "inside pauses": len(inside)})


def _wave(
    world: World, run: subprocess.Popen[str], passing: int, rule: dict[str, Any], quiet_s: float
) -> datetime | None:
    """Let rows be written, then so many requests pass, then answer everything with 429 for most of the pause.

    Gives when the first was answered, None when nobody asked.
    """
    wait_for(lambda: rows_written(world) > 0 or run.poll() is not None)
    before = last_seq(world)
    _answer_all(world, {"status": 429} | rule, passing)
    met = list[dict[str, Any]]()

    def has_met() -> bool:
        met.extend(entry for entry in requests_since(world, before) if entry["status"] == 429)
        return bool(met)

    wait_for(lambda: has_met() or run.poll() is not None)
    if met:
        wait_s(0.8 * quiet_s)
    world.crm.control("PUT", "faults", [])
    return min((entry["answered"] for entry in met), default=None)


def _answer_all(world: World, answer: dict[str, Any], passing: int = 0) -> None:
    """Answer every request to the organisation so, after letting some pass."""
    everything = {"match": {"organization": 0}}
    faults = [everything | {"effect": "status"} | answer]
    if passing:
        faults.insert(0, everything | {"effect": "delay", "delay_s": 0, "times": passing})
    world.crm.control("PUT", "faults", faults)


def _after_grace(met: list[dict[str, Any]], storm_s: float) -> list[dict[str, Any]]:
    """Requests of the storm's first `storm_s` without those that were on their way when the first was answered."""
    began = min((entry["answered"] for entry in met), default=datetime.max.replace(tzinfo=UTC))
    span = timedelta(seconds=GRACE_S), timedelta(seconds=storm_s)
    return [entry for entry in met if span[0] < entry["arrived"] - began < span[1]]


# Three pauses of 30 s and a storm of 90 s: minutes a run.
DRILL = Drill(
    "F07",
    "S2",
    {
        "Retry-After in seconds": waves,
        "Retry-After as a date": partial(waves, told_as="date"),
        "Retry-After unreadable": unreadable,
        "Retry-After of a day": absurd,
        "503 for 90 s": unavailable,
    },
    seeds=2,
)
