"""SIGTERM and Ctrl-C are heard before the work itself has begun, too."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.drills.people import prospects
from tests.drills.watching import wait_for
from tests.drills.world import World

SOON_S = 10.0
STOPPED = 2


def stop(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    _, told = process.communicate(timeout=SOON_S)
    return process.returncode, told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_preflight_that_waits_for_the_organisation_stops(place: World, number: int) -> None:
    down = [{"match": {"path": "/api/data"}, "effect": "status", "status": 503, "times": 100}]
    place.crm.control("PUT", "faults", down)
    file = place.write_prospects(prospects(1))
    with place.start("run", "--action", "drill", "--file", str(file)) as process:
        assert wait_for(lambda: any(entry["status"] == 503 for entry in place.journal()))
        code, told = stop(process, number)
    assert code == STOPPED
    assert "this process was asked to stop" in told
    assert place.sql("SELECT run_id FROM sync.sync_run") == []


def test_discovery_stops_and_keeps_what_it_has(place: World) -> None:
    count = 30_000
    file = place.write_prospects(prospects(count))
    with place.start("run", "--action", "drill", "--file", str(file)) as process:
        assert wait_for(lambda: bool(place.sql("SELECT 1 FROM sync.work_item LIMIT 1")))
        code, told = stop(process, signal.SIGTERM)
    assert code == STOPPED
    assert "this process was asked to stop" in told
    [stored] = place.sql("SELECT count(*) AS items FROM sync.work_item")
    [run] = place.sql("SELECT state, discovered_at FROM sync.sync_run")
    assert 0 < stored["items"] < count
    assert (run["state"], run["discovered_at"]) == ("failed", None)
    assert place.rows("lead") == []
