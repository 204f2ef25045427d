"""What the drills under load share: prospects as a stream, a command that is watched while it runs, sums for judges.

Nothing here holds a million prospects, or a million rows of the sandbox, at once.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sandbox.server.digest import digest
from tests.drills.people import prospects
from tests.drills.world import World

LEASE_S = "60"  # the product's own: what is drilled is load, not recovery
AT_ONCE = 10_000
EVERY_S = 0.2
COLUMNS = ("subject", "firstname", "lastname", "emailaddress1", "jobtitle", "statecode")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def size(default: int) -> int:
    """How many prospects: DRILL_SIZE, or the catalogue's number for every day."""
    return int(os.environ.get("DRILL_SIZE", default))


def latency() -> dict[str, float]:
    """50 ms a request and 3 ms a row, times DRILL_LATENCY."""
    factor = float(os.environ.get("DRILL_LATENCY", 1.0))
    return {"per_request_s": 0.05 * factor, "per_row_s": 0.003 * factor}


def stream(count: int, changed: Collection[int] = ()) -> Iterator[dict[str, Any]]:
    """The people of `people.prospects`, one at a time; those `changed` have a second revision with another title."""
    first = prospects(1)[0]
    for n in range(count):
        person = first | {
            "id": f"pro_{n:08d}",
            "first_name": f"First{n}",
            "last_name": f"Last{n}",
            "email": f"person{n}@drill.example",
        }
        if n in changed:
            person |= {"revision": 2, "updated_at": "2026-03-14T09:02:00.000Z", "job_title": "Director"}
        yield person


def write_stream(world: World, count: int, changed: Collection[int] = (), name: str = "load.jsonl") -> Path:
    path = world.folder / name
    with path.open("w") as file:
        file.writelines(json.dumps(person) + "\n" for person in stream(count, changed))
    return path


def right_records(world: World, count: int, changed: Collection[int] = ()) -> list[str]:
    """O1, O4, O5: one active record for each person with the mapped columns as expected, and one create event each."""
    found = world.crm.control("GET", f"digest?table=lead&columns={','.join(COLUMNS)}")
    expected = digest(
        (f"{p['first_name']} {p['last_name']}", p["first_name"], p["last_name"], p["email"], p["job_title"], 0)
        for p in stream(count, changed)
    )
    wrong = []
    if found["rows"] != count:
        wrong.append(f"{found['rows']} records instead of {count}")
    if found["distinct"] != found["rows"]:
        wrong.append(f"{found['rows'] - found['distinct']} records twice")
    if found["sum"] != expected["sum"]:
        wrong.append("the mapped columns are not as expected")
    events = {"create": {"1": count}} | ({"update": {"1": len(changed)}} if changed else {})
    if found["events"] != events:
        wrong.append(f"events by record are {found['events']} instead of {events}")
    return wrong


def true_outcomes(world: World, count: int) -> list[str]:
    """O3 for creates: the records that were told created are the records that are there, each told once."""
    query = "SELECT record_id::text FROM sync.audit_outcome WHERE outcome = 'created'"
    with world.engine.connect().execution_options(yield_per=AT_ONCE) as connection:
        told = digest(connection.execute(sa.text(query)))
    there = world.crm.control("GET", "digest?table=lead&columns=leadid")
    if told["rows"] != count or any(told[name] != there[name] for name in ("rows", "distinct", "sum")):
        return [f"{told['rows']} were told created, {there['rows']} are there, or not the same ones"]
    return []


def newest_run(world: World, **expected: int) -> list[str]:
    """O2 for the newest run: it is green, and its outcomes are `expected`, one for each prospect."""
    run = world.sql("SELECT run_id, state, selected FROM sync.audit_run ORDER BY started_at DESC LIMIT 1")[0]
    counted = world.sql(
        "SELECT outcome, count(*) AS n, count(DISTINCT prospect_key) AS prospects FROM sync.outcome"
        " WHERE run_id = :id GROUP BY outcome",
        id=run["run_id"],
    )
    found = {row["outcome"]: row["n"] for row in counted}
    wrong = [] if found == expected else [f"outcomes are {found} instead of {expected}"]
    if sum(row["prospects"] for row in counted) != sum(expected.values()) or run["selected"] != sum(expected.values()):
        wrong.append(f"the run selected {run['selected']} prospects and has {found}")
    if run["state"] != "succeeded":
        wrong.append(f"the run is {run['state']}")
    return wrong


@dataclass
class Watched:
    """A command line and its processes, from start to end.

    Attributes:
        peaks: process id -> its largest resident memory, in MB. The first one is the command itself.
        seconds: from start to end.
        cpu_s: of all its processes.
    """

    returncode: int
    errors: str
    seconds: float
    cpu_s: float
    peaks: dict[int, float] = field(default_factory=dict)

    @property
    def parent_mb(self) -> float:
        return next(iter(self.peaks.values()), 0.0)

    @property
    def workers_mb(self) -> float:
        """The largest of the further workers."""
        return max(list(self.peaks.values())[1:], default=0.0)


def watched_sync(world: World, file: Path, workers: int) -> Watched:
    """Run `dynamics-sync run` on a file, and look at its processes' memory while they live."""
    words = ("run", "--action", "drill", "--file", str(file), "--workers", str(workers))
    before, started = _children_cpu_s(), time.monotonic()
    over = threading.Event()
    peaks: dict[int, float] = {}
    with world.start(*words, environment={"DYNAMICS_SYNC_LEASE_S": LEASE_S}) as process:
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, over))
        watcher.start()
        try:
            _, errors = process.communicate()
        finally:
            over.set()
            watcher.join()
            if process.poll() is None:
                _end(process)
    return Watched(process.returncode, errors, time.monotonic() - started, _children_cpu_s() - before, peaks)


def seconds_of_run(world: World) -> tuple[float, float]:
    """Of the newest run: from its opening to its end, and of that the time after discovery."""
    row = world.sql(
        "SELECT extract(epoch FROM finished_at - started_at)::float AS whole,"
        " extract(epoch FROM finished_at - discovered_at)::float AS settling"
        " FROM sync.sync_run ORDER BY started_at DESC LIMIT 1"
    )[0]
    return row["whole"], row["settling"]


def database_mb(world: World) -> float:
    found: int = world.sql("SELECT pg_database_size(current_database()) AS n")[0]["n"]
    return found / 1e6


def peak_mb(pid: int) -> float:
    """The largest resident memory of a process so far; 0 when it has ended."""
    with suppress(OSError):
        if found := _PEAK.search(Path(f"/proc/{pid}/status").read_text()):
            return int(found[1]) / 1024
    return 0.0


def _watch(pid: int, peaks: dict[int, float], over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        for each in (pid, *_children(pid)):
            if found := peak_mb(each):
                peaks[each] = found


def _children(pid: int) -> list[int]:
    """Children of any thread of the process."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()
