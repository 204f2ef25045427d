"""F17, ledger database misbehaves: cut on COMMIT before and after it arrives, restarted, 40001 and 40P01.

The product reaches the database through a proxy; the drill itself does not. Conflicts are raised by triggers, of which
one fires at COMMIT: counters that no rollback takes back say which statement is next, and how often each was raised.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from subprocess import Popen

import sqlalchemy as sa

from tests.drills import oracles
from tests.drills.database_proxy import CuttingProxy, cutting_proxy
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World

RESTARTS = 3
RUN_S = 240.0
POLL_S = 0.02
STATEMENTS = ("sync.prospect", "sync.work_item", "sync.attempt", "sync.outcome", "sync.record_link")
AT_COMMIT = "sync.sync_run"  # each claim touches its one row

_COUNTERS = """
CREATE SCHEMA drill;
CREATE SEQUENCE drill.statement START {start};
CREATE SEQUENCE drill.serialization MINVALUE 0 START 0;
CREATE SEQUENCE drill.deadlock MINVALUE 0 START 0;
SELECT nextval('drill.serialization'), nextval('drill.deadlock');
CREATE FUNCTION drill.disturb() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n bigint := nextval('drill.statement');
BEGIN
    IF n % 17 = 0 THEN
        PERFORM nextval('drill.serialization');
        RAISE EXCEPTION 'drilled' USING ERRCODE = '40001';
    ELSIF n % 19 = 0 THEN
        PERFORM nextval('drill.deadlock');
        RAISE EXCEPTION 'drilled' USING ERRCODE = '40P01';
    END IF;
    RETURN NULL;
END $$;
"""


def drill(world: World, seed: int, count: int = 3_000, every: tuple[int, int] = (6, 24)) -> Verdict:
    """One run by two workers through all of it. It ends by itself: nobody starts a worker or a run anew."""
    chosen = random.Random(seed)
    people = prospects(count)
    file = world.write_prospects(people)
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.1, "per_row_s": 0.001}})
    _disturb(world, chosen.randint(1, 16))
    with cutting_proxy(world.server.socket, seed, every) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{world.engine.url.database}"
        through = {"AIRFLOW_CONN_DYNAMICS_AUDIT": json.dumps({"conn_type": "postgres", "extra": {"url": url}})}
        command = ("run", "--action", "drill", "--file", str(file), "--workers", "2")
        process = world.start(*command, environment=through)
        restarted = _restart_thrice(world, process, chosen, count)
        _, told = process.communicate(timeout=RUN_S)
    wrong = [] if process.returncode == 0 else [f"exit code {process.returncode}: {told[-300:]}"]
    figures = _figures(world, proxy, restarted)
    wrong += [f"no {what}" for what, times in figures.items() if not times]
    if restarted < RESTARTS:
        wrong.append(f"the server was restarted {restarted} times instead of {RESTARTS} during the run")
    if "is aborted" in told or "InFailedSqlTransaction" in told:
        wrong.append("a statement met an aborted transaction")
    if "Traceback" in told:
        wrong.append(f"a traceback: {told[-300:]}")
    return Verdict(wrong + oracles.standard_pass(world, [p["email"] for p in people]), figures)


def _disturb(world: World, start: int) -> None:
    """Let the database raise conflicts at statements and at COMMIT."""
    triggers = [
        f"CREATE TRIGGER drilled AFTER INSERT OR UPDATE ON {table} EXECUTE FUNCTION drill.disturb()"
        for table in STATEMENTS
    ]
    triggers.append(
        f"CREATE CONSTRAINT TRIGGER drilled AFTER UPDATE ON {AT_COMMIT} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION drill.disturb()"
    )
    with world.engine.begin() as connection:
        connection.exec_driver_sql(_COUNTERS.format(start=start).replace("%", "%%"))
        for trigger in triggers:
            connection.exec_driver_sql(trigger)


def _restart_thrice(world: World, process: Popen[str], chosen: random.Random, count: int) -> int:
    """Restart the server at seeded moments of the run, one time by a crash. Returns how often it came to that."""
    crashed = chosen.randrange(RESTARTS)
    moments: Sequence[tuple[str, int]] = (
        ("sync.prospect", 1),
        ("sync.attempt", chosen.randint(1, count // 4)),
        ("sync.outcome", chosen.randint(1, count // 2)),
    )
    for number, (table, rows) in enumerate(moments):
        deadline = time.monotonic() + RUN_S
        while world.sql(f"SELECT count(*) AS n FROM {table}")[0]["n"] < rows:
            if process.poll() is not None or time.monotonic() > deadline:
                return number
            time.sleep(POLL_S)
        if process.poll() is not None:
            return number
        world.server.restart(crash=number == crashed)
        world.engine.dispose()
    return len(moments)


def _figures(world: World, proxy: CuttingProxy, restarted: int) -> dict[str, float | str]:
    with world.engine.connect() as connection:
        raised = {
            word: connection.scalar(sa.text(f"SELECT last_value FROM drill.{word}")) or 0
            for word in ("serialization", "deadlock")
        }
    return {
        "commits": proxy.commits,
        "cuts before COMMIT": proxy.before,
        "cuts after COMMIT": proxy.after,
        "restarts": restarted,
        "40001": raised["serialization"],
        "40P01": raised["deadlock"],
    }


DRILL = Drill("F17", "S1", {"all": drill})
