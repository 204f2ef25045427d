"""F21, upgrade: two starters at once, one killed in the middle, a lock in the way, an old worker still at work."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from subprocess import Popen

import psycopg
import sqlalchemy as sa

from dynamics.store.database import create_store, head_revision, upgrade
from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.old_ledger import (
    Columns,
    OldLedger,
    columns_of,
    connect,
    contents_of,
    earlier_revisions,
    old_ledger,
    released_ledger,
    schema_of,
)
from tests.drills.people import prospects
from tests.drills.world import World

ROWS = 100_000
BLOCKED_S = 5.0
GIVES_UP_S = 5.0
DEADLINE_S = 60.0
POLL_S = 0.01
GRACE_S = 1.0
NEWER = "9999"
SIGKILLED = -9

# Makes each change of the schema take a while, and wait until so many sessions of the product are there; notes by whom.
_SLOW_CHANGES = """
CREATE SCHEMA drill;
CREATE UNLOGGED TABLE drill.change (pid integer, tag text);
CREATE FUNCTION drill.note() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    made integer := (SELECT count(*) FROM pg_event_trigger_ddl_commands()
                      WHERE schema_name = 'sync' OR object_identity = 'sync');
    patience_ends timestamptz := clock_timestamp() + interval '30 seconds';
BEGIN
    IF made > 0 THEN
        INSERT INTO drill.change VALUES (pg_backend_pid(), tg_tag);
        PERFORM pg_sleep({pause_s});
        WHILE clock_timestamp() < patience_ends AND {sessions} > (
            SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'dynamics-sync') LOOP
            PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
        END LOOP;
    END IF;
END $$;
CREATE EVENT TRIGGER drilled ON ddl_command_end EXECUTE FUNCTION drill.note();
"""
_STOP_NOTING = "DROP EVENT TRIGGER IF EXISTS drilled"
_UPGRADERS = (
    "SELECT wait_event_type, wait_event FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'dynamics-sync'"
)
_TABLES = ("work_item", "attempt", "outcome", "record_link", "prospect")


def two_starters(world: World, seed: int, count: int = ROWS) -> Verdict:
    """Two upgraders at once: one migrates, the other waits or leaves in words."""
    with _prepared(world, count) as (ledger, before, wrong):
        _slow_changes(ledger.world, 0.05, sessions=2)
        most = 0
        with _watch(ledger.world) as sessions:
            upgraders = [ledger.world.start("db", "upgrade") for _ in range(2)]
            while any(upgrader.poll() is None for upgrader in upgraders):
                most = max(most, len(sessions()))
                time.sleep(POLL_S)
        told = [upgrader.communicate() for upgrader in upgraders]
        codes = [upgrader.returncode for upgrader in upgraders]
        if 0 not in codes or any(code not in (0, 2) for code in codes) or any("Traceback" in err for _, err in told):
            wrong.append(f"exit codes {codes}: {told[0][1][-200:]} {told[1][1][-200:]}")
        if most < 2:
            wrong.append("the two upgraders did not meet")
        changes = ledger.world.sql("SELECT DISTINCT pid FROM drill.change")
        if len(changes) != 1:
            wrong.append(f"{len(changes)} sessions changed the schema")
        _stop_noting(ledger.world)
        wrong += _kept(ledger, before) + _goes_on(ledger)
        return Verdict(wrong, _figures(ledger, before))


def killed(world: World, seed: int, count: int = ROWS) -> Verdict:
    """kill -9 in the middle leaves everything as it was; the next upgrade succeeds."""
    with _prepared(world, count) as (ledger, before, wrong):
        schema = schema_of(ledger.world)
        _slow_changes(ledger.world, 0.2, sessions=1)
        with _watch(ledger.world) as sessions:
            upgrader = ledger.world.start("db", "upgrade")
            in_the_middle = _wait(lambda: any(name == "PgSleep" for _, name in sessions()), process=upgrader)
            time.sleep(random.Random(seed).uniform(0.0, 0.3))
            upgrader.kill()
            upgrader.communicate()
            if not in_the_middle or upgrader.returncode != SIGKILLED:
                wrong.append(f"not killed in the middle: exit code {upgrader.returncode}")
            if not _wait(lambda: not sessions()):
                wrong.append("the killed upgrade still has a session")
        _stop_noting(ledger.world)
        if schema_of(ledger.world) != schema:
            wrong.append("the killed upgrade left something behind")
        again = ledger.world.command("db", "upgrade")
        if again.returncode != 0:
            wrong.append(f"the upgrade after the kill: exit code {again.returncode}: {again.stderr[-300:]}")
        wrong += _kept(ledger, before) + _goes_on(ledger)
        return Verdict(wrong, _figures(ledger, before))


def lock_held(world: World, seed: int, count: int = ROWS) -> Verdict:
    """A long transaction is in the way: the upgrade gives up in words and without a trace, and succeeds after it.

    A writer that updates a row all the time is never held up for more than five seconds.
    """
    with _prepared(world, count) as (ledger, before, wrong):
        schema = schema_of(ledger.world)
        with _writer(ledger) as writer:
            with connect(ledger.world, autocommit=False) as long_transaction:
                if ledger.revision is None:
                    long_transaction.execute("CREATE SCHEMA sync")
                else:
                    # As a backup does; and each migration notes its revision, also one that changes no table of these.
                    for table in _TABLES:
                        long_transaction.execute(f"SELECT 1 FROM sync.{table} LIMIT 1")
                    long_transaction.execute("LOCK TABLE sync.alembic_version IN SHARE MODE")
                with _watch(ledger.world) as sessions:
                    upgrader = ledger.world.start("db", "upgrade")
                    gave_up_s = _waited_s(sessions, upgrader)
                _, told = upgrader.communicate(timeout=DEADLINE_S)
                long_transaction.rollback()
            if upgrader.returncode != 2 or "Traceback" in told or "nothing was changed" not in told:
                wrong.append(f"behind a lock: exit code {upgrader.returncode}: {told[-300:]}")
            if not 0 < gave_up_s <= GIVES_UP_S + GRACE_S:
                wrong.append(f"waited {gave_up_s:.1f} s for the lock")
            if schema_of(ledger.world) != schema:
                wrong.append("the upgrade that gave up left something behind")
            again = ledger.world.command("db", "upgrade")
        if again.returncode != 0:
            wrong.append(f"after the lock: exit code {again.returncode}: {again.stderr[-300:]}")
        if writer.longest_s > BLOCKED_S:
            wrong.append(f"a writer was held up for {writer.longest_s:.2f} s")
        if ledger.revision is not None and not writer.writes:
            wrong.append("the writer wrote nothing")
        wrong += _kept(ledger, before) + _goes_on(ledger)
        figures = {"waited for the lock s": gave_up_s, "writer held up s": writer.longest_s, "writes": writer.writes}
        return Verdict(wrong, _figures(ledger, before) | figures)


def old_worker(world: World, seed: int, count: int = 3_000) -> Verdict:
    """A newer release upgrades the database while a worker runs: the worker refuses to write from then on."""
    people = prospects(count)
    file = world.write_prospects(people)
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.3, "per_row_s": 0.003}})
    threshold = random.Random(seed).randint(1, count // 3)
    worker = world.start("run", "--action", "drill", "--file", str(file))
    _wait(lambda: world.sql("SELECT count(*) AS n FROM sync.outcome")[0]["n"] >= threshold, process=worker)
    found = world.sql("SELECT version_num FROM sync.alembic_version")[0]["version_num"]
    _set_revision(world, NEWER)
    upgraded_at = datetime.now(UTC)
    left_over = world.sql("SELECT count(*) AS n FROM sync.work_item WHERE state <> 'settled'")[0]["n"]
    _, told = worker.communicate(timeout=120)
    took_s = (datetime.now(UTC) - upgraded_at).total_seconds()
    wrong = [] if left_over else ["nothing was left to do when the database was upgraded"]
    if worker.returncode != 2 or "newer release" not in told or "Traceback" in told:
        wrong.append(f"the old worker: exit code {worker.returncode}: {told[-300:]}")
    late = upgraded_at + timedelta(seconds=GRACE_S)
    written = [e for e in world.journal() if e["committed"] and datetime.fromisoformat(e["at"]) > late]
    if written:
        wrong.append(f"{len(written)} requests of the old worker changed the CRM after the upgrade")
    settled = world.sql("SELECT count(*) AS n FROM sync.outcome WHERE settled_at > :late", late=late)[0]["n"]
    if settled:
        wrong.append(f"the old worker settled {settled} prospects after the upgrade")
    if not world.sql("SELECT 1 AS one FROM sync.work_item WHERE state <> 'settled' LIMIT 1"):
        wrong.append("the old worker finished the run")
    _set_revision(world, found)
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.0, "per_row_s": 0.0}})
    run = world.sync(file)
    if run.returncode != 0:
        wrong.append(f"the run after it: exit code {run.returncode}: {run.stderr[-300:]}")
    wrong += oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"old worker left after s": took_s, "left over": left_over})


def each_revision(world: World, seed: int, count: int = 2_000) -> Verdict:
    """From every earlier revision: rows are kept, and the open work is taken up by the upgraded database."""
    wrong, revisions = [], earlier_revisions()
    for revision in revisions:
        world.crm.control("POST", "reset")
        with _on_new_database(world) as place, _prepared(place, count, revision) as (ledger, before, found):
            upgraded = ledger.world.command("db", "upgrade")
            if upgraded.returncode != 0:
                found.append(f"exit code {upgraded.returncode}: {upgraded.stderr[-300:]}")
            found += _kept(ledger, before) + _goes_on(ledger)
        wrong += [f"from {revision}: {text}" for text in found]
    return Verdict(wrong, {"from": " ".join(revisions)})


def last_release(world: World, seed: int) -> Verdict:
    """The last release's own code made the database and was killed in a run; today's takes over, that one refuses."""
    with released_ledger(world) as (ledger, release):
        columns = columns_of(ledger.world)
        before = columns, contents_of(ledger.world, columns)
        upgraded = ledger.world.command("db", "upgrade")
        wrong = [] if upgraded.returncode == 0 else [f"exit code {upgraded.returncode}: {upgraded.stderr[-300:]}"]
        wrong += _kept(ledger, before)
        if head_revision() != ledger.revision:
            old = ledger.world.sync(ledger.file, environment=release)
            if old.returncode != 2 or "newer release" not in old.stderr:
                wrong.append(f"the last release goes on: exit code {old.returncode}: {old.stderr[-300:]}")
        wrong += _goes_on(ledger)
        return Verdict(wrong, _figures(ledger, before))


# ---------------------------------------------------------------- before and after


@contextmanager
def _on_new_database(world: World) -> Iterator[World]:
    url = world.server.url_for(f"f21_{uuid.uuid4().hex[:12]}")
    engine = create_store(url)
    upgrade(engine)
    try:
        yield replace(world, engine=engine, audit_url=url)
    finally:
        engine.dispose()


@contextmanager
def _prepared(
    world: World, count: int, revision: str | None = None
) -> Iterator[tuple[OldLedger, tuple[Columns, Mapping[str, tuple[int, str]]], list[str]]]:
    """An old ledger, what stands in it, and where to put what is wrong."""
    with old_ledger(world, count, revision) as ledger:
        columns = columns_of(ledger.world)
        before = contents_of(ledger.world, columns)
        wrong = []
        if ledger.revision is not None and before["outcome"][0] < count:
            wrong.append(f"{before['outcome'][0]} outcomes in the old ledger instead of {count}")
        yield ledger, (columns, before), wrong


def _kept(ledger: OldLedger, before: tuple[Columns, Mapping[str, tuple[int, str]]]) -> list[str]:
    """Row counts and checksums, over the columns that stood there before."""
    columns, contents = before
    now = columns_of(ledger.world)
    gone = [f"{table}.{name}" for table, names in columns.items() for name in names if name not in now.get(table, ())]
    if gone:
        return [f"columns are gone: {', '.join(gone)}"]
    after = contents_of(ledger.world, columns)
    return [f"{table}: {contents[table]} became {after[table]}" for table in columns if after[table] != contents[table]]


def _goes_on(ledger: OldLedger) -> list[str]:
    """The upgraded ledger takes up the open work, under the ids that were minted before."""
    world = ledger.world
    if ledger.revision is None:
        ledger.take_open_work()
    wrong = []
    for again in (1, 2):
        run = world.sync(ledger.file)
        if run.returncode != 0:
            wrong.append(f"run {again} after the upgrade: exit code {run.returncode}: {run.stderr[-300:]}")
    wrong += oracles.standard_pass(world, ledger.emails)
    links = world.sql("SELECT prospect_id, record_id::text AS record_id FROM sync.audit_link WHERE account <> 'old'")
    linked = {row["prospect_id"]: row["record_id"] for row in links}
    records = {row["leadid"] for row in world.rows("lead")}
    moved = [prospect for prospect, record in ledger.minted.items() if linked.get(prospect) != record]
    if moved or not set(ledger.minted.values()) <= records:
        wrong.append(f"{len(moved)} prospects have another record than the one minted before the upgrade")
    return wrong


def _figures(ledger: OldLedger, before: tuple[Columns, Mapping[str, tuple[int, str]]]) -> dict[str, float | str]:
    rows = sum(before[1][table][0] for table in before[1] if not table.startswith("audit_"))
    return {"from": ledger.revision or "empty (one revision only)", "rows": rows}


# ---------------------------------------------------------------- disturbances


def _slow_changes(world: World, pause_s: float, sessions: int) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql(_SLOW_CHANGES.format(pause_s=pause_s, sessions=sessions))


def _stop_noting(world: World) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql(_STOP_NOTING)


def _set_revision(world: World, revision: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(sa.text("UPDATE sync.alembic_version SET version_num = :revision"), {"revision": revision})


@contextmanager
def _watch(world: World) -> Iterator[Callable[[], Sequence[tuple[str | None, str | None]]]]:
    """What gives (kind, name) of what each of the product's sessions waits for.

    The drill's own pool calls itself as the product does, so it is emptied, and another session looks.
    """
    world.engine.dispose()
    with connect(world, autocommit=True) as session:
        yield lambda: session.execute(_UPGRADERS).fetchall()


def _wait(reached: Callable[[], bool], *, process: Popen[str] | None = None) -> bool:
    """Wait until it is so, the process has ended or the time is over."""
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            return False
        time.sleep(POLL_S)
    return True


def _waited_s(sessions: Callable[[], Sequence[tuple[str | None, str | None]]], upgrader: Popen[str]) -> float:
    """How long an upgrade waited for locks; returns when it has given up."""
    first = last = 0.0
    while upgrader.poll() is None:
        if any(kind == "Lock" for kind, _ in sessions()):
            last = time.monotonic()
            first = first or last
        time.sleep(POLL_S)
    return last - first


class _Writer:
    """Updates a row of each table all the time, as a worker would, and notes how long the slowest update took."""

    def __init__(self, ledger: OldLedger) -> None:
        self.writes = 0
        self.longest_s = 0.0
        self._ended = threading.Event()
        self._session = connect(ledger.world, autocommit=True)
        self._thread = threading.Thread(target=self._write)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self._session.close()

    def _write(self) -> None:
        changes = [
            f"UPDATE sync.{table} SET {column} = {column} WHERE prospect_key = 100"
            for table, column in zip(_TABLES, ("worker", "code", "reason", "state", "source"), strict=True)
        ]
        while not self._ended.wait(POLL_S):
            for change in changes:
                started = time.monotonic()
                try:
                    self.writes += max(self._session.execute(change).rowcount, 0)
                except psycopg.errors.UndefinedTable:  # the database is still empty
                    continue
                self.longest_s = max(self.longest_s, time.monotonic() - started)


@contextmanager
def _writer(ledger: OldLedger) -> Iterator[_Writer]:
    writer = _Writer(ledger)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


# A seed changes the moment of the kill and of the upgrade below an old worker, nothing in the other variants.
DRILL = Drill(
    "F21",
    "S1",
    {
        "two starters": two_starters,
        "killed": killed,
        "lock held": lock_held,
        "old worker": old_worker,
        "each revision": each_revision,
        "last release": last_release,
    },
    seeds=5,
)
