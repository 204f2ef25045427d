"""10,000 new prospects through one worker of the command line, against the sandbox at 50 ms a request and 3 ms a row.

Prints prospects a second, requests and CPU seconds for each 1,000 prospects and the worker's peak memory; then the same
prospects again, unchanged.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

from tests.drills.people import prospects
from tests.drills.world import World, shared_servers, world

PROSPECTS = 10_000
LATENCY = {"per_request_s": 0.05, "per_row_s": 0.003}


def main(count: int = PROSPECTS) -> None:
    with shared_servers() as servers, world(servers) as place:
        place.crm.control("PUT", "settings", {"latency": LATENCY})
        file = place.write_prospects(prospects(count))
        for name in ("all new", "unchanged"):
            _measure(name, place, file, count)


def _measure(name: str, place: World, file: Path, count: int) -> None:
    place.crm.control("DELETE", "journal")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = place.sync(file)
    whole_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {done.stderr[-500:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    [span] = place.sql(
        "SELECT extract(epoch FROM max(settled_at) - min(settled_at)) AS s FROM sync.outcome"
        " WHERE run_id = (SELECT run_id FROM sync.sync_run ORDER BY started_at DESC LIMIT 1)"
    )
    requests = place.crm.control("GET", "stats")["requests"]
    print(
        f"{name}: {count:,} prospects, {count / whole_s:,.0f} a second with start and discovery,"
        f" {count / max(float(span['s']), 0.001):,.0f} a second while settling,"
        f" {requests / count * 1000:.1f} requests and {cpu_s / count * 1000:.2f} s of CPU for each 1,000,"
        f" peak memory {after.ru_maxrss / 1024:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
