"""The race: the same prospects into the same CRM by Microsoft's SDK, by this product, and by the fewest requests.

Half of the prospects are new, a quarter changed and a quarter known as they are. Each contender starts from the same
CRM and a fresh audit database, at 50 ms a request and 3 ms a row, with the service's limits on, as a process whose CPU
time and memory count with its children's. What stands in the CRM in the end is compared with what should: a time of
other content does not count.

`python -m tests.bench.race [sizes] [--whole] [--only WORDS]`. The loop runs on 1,000 prospects and the SDK's
bulk on 10,000 at most, scaled linearly beyond; `--whole` runs them in full.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.postgres import PostgresServer
from sandbox.process import SandboxProcess
from tests.bench.measured import Cost, family_cpu_s, measured
from tests.bench.visitors import MAPPING, digest, known_leads, lead_of, prospects
from tests.drills.world import World, shared_servers, world

SIZES = (1_000, 10_000)
SETTINGS = {"latency": {"per_request_s": 0.05, "per_row_s": 0.003}, "limits": {}}
SEEDED_AT_ONCE = 5_000
DEFAULT_LEASE = {"DYNAMICS_SYNC_LEASE_S": "60"}


@dataclass(frozen=True)
class Contender:
    """Who races. `command` is given the world, the prospects' file and the ready file; `at_most` prospects in full."""

    name: str
    command: Callable[[World, str, str], Sequence[str]]
    at_most: int = sys.maxsize


@dataclass(frozen=True)
class Lap:
    """How a contender did with so many prospects; in the database only ours works."""

    name: str
    count: int
    cost: Cost
    working_s: float
    requests: int
    database_cpu_s: float
    wrong: str


def _sdk(way: str) -> Callable[[World, str, str], Sequence[str]]:
    return lambda _, file, ready: (sys.executable, "-m", "tests.bench.sdk", way, ready, file)


def _ours(workers: int) -> Callable[[World, str, str], Sequence[str]]:
    words = ("-m", "dynamics.cli", "run", "--action", "drill", "--workers", str(workers), "--file")
    return lambda _, file, __: (sys.executable, *words, file)


def _floor(place: World, file: str, ready: str) -> Sequence[str]:
    connections = place.crm.control("GET", "settings?organization=0")["dop_hint"]
    return (sys.executable, "-m", "tests.bench.floor", ready, file, str(connections))


OURS, FLOOR = "ours, 1 worker", "wire floor"
CONTENDERS = (
    Contender("SDK, record by record", _sdk("loop"), at_most=1_000),
    Contender("SDK, bulk", _sdk("bulk"), at_most=10_000),
    Contender("SDK, bulk, 4 threads", _sdk("bulk4"), at_most=10_000),
    Contender(OURS, _ours(1)),
    Contender("ours, 2 workers", _ours(2)),
    Contender("ours, 4 workers", _ours(4)),
    Contender(FLOOR, _floor),
)


def main(sizes: Sequence[int] = SIZES, whole: bool = False, only: str = "") -> None:
    chosen = [contender for contender in CONTENDERS if only in contender.name]
    with shared_servers() as servers:
        laps: dict[tuple[str, int], Lap] = {}
        for count in sizes:
            for contender in chosen:
                run = count if whole else min(count, contender.at_most)
                if (contender.name, run) not in laps:
                    laps[contender.name, run] = _lap(servers, contender, run)
            _print(count, [laps[c.name, count if whole else min(count, c.at_most)] for c in chosen])
    if any(lap.wrong for lap in laps.values()):
        raise SystemExit("the CRM does not hold what it should")


def _lap(servers: tuple[PostgresServer, SandboxProcess], contender: Contender, count: int) -> Lap:
    with world(servers) as place:
        file, ready = _prepare(place, count)
        database = place.sql("SELECT pg_backend_pid() AS pid")[0]["pid"]
        postmaster = int(Path(f"/proc/{database}/stat").read_text().rpartition(")")[2].split()[1])
        database_before_s = family_cpu_s(postmaster)
        cost = measured(contender.command(place, file, ready), place.environment() | DEFAULT_LEASE)
        database_cpu_s = family_cpu_s(postmaster) - database_before_s
        requests = place.crm.control("GET", "stats")["requests"]
        return Lap(contender.name, count, cost, _working_s(place, cost), requests, database_cpu_s, _fault(place, count))


def _prepare(place: World, count: int) -> tuple[str, str]:
    """Fill the CRM as it is before the race. Gives the prospects' file and the sandbox's ready file."""
    for table in ("lead", "contact"):
        lines = MAPPING.splitlines(keepends=True)
        kept = lines if table == "lead" else [line for line in lines if not line.startswith(("subject", "companyname"))]
        (place.folder / f"include/mappings/drill/{table}.csv").write_text("".join(kept))
    file, ready = place.folder / "prospects.jsonl", place.folder / "ready.json"
    with file.open("w", encoding="utf-8") as lines_of:
        lines_of.writelines(json.dumps(prospect, ensure_ascii=False) + "\n" for prospect in prospects(count))
    ready.write_text(json.dumps(place.crm.ready))
    leads = known_leads(count)
    while some := list(itertools.islice(leads, SEEDED_AT_ONCE)):
        place.crm.control("POST", "seed", {"tables": {"lead": some}})
    place.crm.control("PUT", "settings", SETTINGS)
    place.crm.control("DELETE", "journal")
    return str(file), str(ready)


def _working_s(place: World, cost: Cost) -> float:
    """From the first request to the last answer; ours from the end of discovery to the last settlement."""
    if cost.output.startswith("{"):
        return float(json.loads(cost.output)["working_s"])
    [span] = place.sql(
        "SELECT extract(epoch FROM max(o.settled_at) - max(r.discovered_at)) AS s"
        " FROM sync.outcome o JOIN sync.sync_run r USING (run_id)"
    )
    return float(span["s"])


def _fault(place: World, count: int) -> str:
    """What is wrong with the CRM's content; nothing when it is right."""
    leads = place.rows("lead")
    if len(leads) != count:
        return f"{len(leads)} leads instead of {count}"
    return "" if digest(leads) == digest(map(lead_of, prospects(count))) else "leads with other content"


def _print(count: int, laps: Sequence[Lap]) -> None:
    ours, floor = (next((lap for lap in laps if lap.name == name), None) for name in (OURS, FLOOR))
    print(f"\n{count:,} prospects")
    print(
        f"{'contender':<24}{'whole s':>9}{'working s':>11}{'prospects/s':>13}{'ours is x':>11}{'x floor':>9}"
        f"{'requests':>10}{'CPU s':>8}{'DB CPU s':>10}{'peak MiB':>10}"
    )
    for lap in laps:
        scale, thousands = count / lap.count, lap.count / 1000
        faster = lap.cost.whole_s * scale / ours.cost.whole_s if ours else 0.0
        beyond = lap.working_s * scale / floor.working_s if floor else 0.0
        remark = f"   scaled from {lap.count:,}" if scale != 1 else ""
        print(
            f"{lap.name:<24}{lap.cost.whole_s * scale:>9.1f}{lap.working_s * scale:>11.1f}"
            f"{lap.count / lap.cost.whole_s:>13,.0f}{faster:>11.2f}{beyond:>9.2f}{lap.requests / thousands:>10.1f}"
            f"{lap.cost.cpu_s / thousands:>8.2f}{lap.database_cpu_s / thousands:>10.2f}{lap.cost.peak_mib:>10,.0f}"
            f"{remark}{'   WRONG: ' + lap.wrong if lap.wrong else ''}",
            flush=True,
        )
    print("requests and CPU seconds are for each 1,000 prospects; 'x floor' compares the working seconds")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m tests.bench.race")
    arguments.add_argument("sizes", nargs="*", type=int, default=SIZES)
    arguments.add_argument("--whole", action="store_true", help="nothing is scaled")
    arguments.add_argument("--only", default="", help="contenders whose name holds this")
    given = arguments.parse_args()
    main(given.sizes, given.whole, given.only)
