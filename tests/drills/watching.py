"""Eyes on a run in progress: wait for a moment, look up what has arrived, end what was started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.drills.world import World

POLL_S = 0.05
DEADLINE_S = 300.0


def wait_for(condition: Callable[[], bool], deadline_s: float = DEADLINE_S, every_s: float = POLL_S) -> bool:
    """Poll until the condition holds; whether it came to hold before the deadline."""
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(every_s)
    return True


def wait_s(seconds: float) -> None:
    """Let a disturbance last so long."""
    wait_for(lambda: False, seconds)


@contextmanager
def running(world: World, file: Path, workers: int) -> Iterator[subprocess.Popen[str]]:
    """`dynamics-sync run` on a file, in the background. Whatever of it is left at the end is killed."""
    words = ("run", "--action", "drill", "--file", str(file), "--workers", str(workers))
    with world.start(*words) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # when all of it has ended
                os.killpg(process.pid, signal.SIGKILL)


def ended(process: subprocess.Popen[str], deadline_s: float) -> tuple[int | None, str]:
    """Exit code and text of a run, out and errors together; no exit code when it had to be killed at the deadline."""
    try:
        out, errors = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
        return None, out + errors
    return process.returncode, out + errors


def tail(text: str) -> str:
    """The end of what a run said, in one line."""
    return " ".join(text.split())[-300:]


def requests_since(world: World, seq: int = 0) -> list[dict[str, Any]]:
    """Finished HTTP requests of everybody, oldest first, without the parts of batches; `arrived` and `answered` are
    instants."""
    entries = world.crm.control("GET", f"journal?after={seq}")
    for entry in entries:
        entry["arrived"] = datetime.fromisoformat(entry["at"])
        entry["answered"] = entry["arrived"] + timedelta(seconds=entry["latency_s"])
    return [entry for entry in entries if entry["parent"] is None]


def last_seq(world: World) -> int:
    """Number of the newest request so far."""
    return max((entry["seq"] for entry in world.journal()), default=0)


def rows_written(world: World) -> int:
    """Leads that the organisation has committed."""
    return int(world.crm.control("GET", "stats")["rows_written"].get("lead", 0))


def settled_items(world: World) -> int:
    """Work items of all runs with an outcome."""
    return int(world.sql("SELECT count(*) AS n FROM sync.work_item WHERE state = 'settled'")[0]["n"])


def outcomes_besides(world: World, *words: str) -> list[str]:
    """What is wrong when a prospect has another outcome than these."""
    found = world.sql("SELECT outcome, count(*) AS n FROM sync.audit_outcome GROUP BY 1 ORDER BY 1")
    return [f"{row['n']} prospects are {row['outcome']}" for row in found if row["outcome"] not in words]
