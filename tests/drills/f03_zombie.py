"""F03, zombie and fence: a worker is stopped while its request is on the wire, another takes over, the first wakes up.

Variants: stopped and continued; woken while the second try is in the middle of its own writing; cleared in the middle,
as Airflow clears a task (the first try is ended, a second one of the same run starts at once); stopped behind a
PgBouncer that hands each transaction another session. Fifty prospects say something newer in a run of their own while
the first try is out: that stays.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World

OLD, NEW = "Engineer", "Director"
NEWER = 50
WRITES = 4  # requests that 500 creates make at least
STEP_S = 120.0  # that anything may take here
CHUNK_S = 20.0  # after which a chunk is done with that was on its way
PATIENT_LEASE_S = 6 * CHUNK_S
POLL_S = 0.05
BOUNCER_PORT = 6432
BOUNCER = """\
[databases]
{database} = host={socket} dbname={database} user=postgres

[pgbouncer]
unix_socket_dir = {folder}
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 4
logfile = {folder}/log
"""


def stopped(world: World, seed: int, count: int = 500) -> Verdict:
    """SIGSTOP at K4 until the lease is over; a second worker and a run with newer versions go to their end; SIGCONT."""
    everybody, news = _files(world, seed, count)
    wrong: list[str] = []
    with _first_try(world, everybody, f"K4:{1 + seed % WRITES}:STOP") as first:
        if not _until(lambda: _is_stopped(first)):
            return Verdict([f"never stopped at K4: exit code {first.poll()}"])
        run_id = _run_id(world)
        sent = world.sql("SELECT count(*) AS n FROM sync.work_item WHERE run_id = :id AND state = 'sent'", id=run_id)
        wrong += [] if sent[0]["n"] else ["nothing was on its way when the first try was stopped"]
        if not _until(lambda: not _held(world, run_id)):
            wrong.append("the lease of a stopped worker does not run out")
        wrong += _take_over(world, run_id, news, order=seed % 3)
        told, links, committed = _outcomes(world, run_id), _links(world), _committed(world)
        wrong += [] if len(told) == count else [f"{len(told)} outcomes of {count} before the first try wakes up"]
        first.send_signal(signal.SIGCONT)
        wrong += _end_of(first, "the first try after SIGCONT", 0)
    if _outcomes(world, run_id) != told or _links(world) != links:
        wrong.append("the first try settled something after it had lost its fence")
    if late := _committed(world) - committed:
        wrong.append(f"{len(late)} writes were committed after the first try woke up")
    return Verdict(wrong + _judge(world, run_id, everybody, news), _figures(world, run_id))


def woken_early(world: World, seed: int, count: int = 500) -> Verdict:
    """SIGCONT while the second try holds the prospects and has settled none: only the fence tells the two apart."""
    everybody, news = _files(world, seed, count)
    wrong: list[str] = []
    with _first_try(world, everybody, f"K4:{1 + seed % WRITES}:STOP") as first:
        if not _until(lambda: _is_stopped(first)):
            return Verdict([f"never stopped at K4: exit code {first.poll()}"])
        run_id = _run_id(world)
        if not _until(lambda: not _held(world, run_id)):
            wrong.append("the lease of a stopped worker does not run out")
        patient = {"DYNAMICS_SYNC_KILL": "K3:1:STOP", "DYNAMICS_SYNC_LEASE_S": f"{PATIENT_LEASE_S:.0f}"}
        with world.start("work", "--run", run_id, environment=patient) as second:
            try:
                if not _until(lambda: _is_stopped(second)):
                    return Verdict([*wrong, f"the second try never stopped at K3: exit code {second.poll()}"])
                held = _held(world, run_id)
                wrong += [] if held else ["the second try holds nothing"]
                asked = _requests(world, run_id)
                first.send_signal(signal.SIGCONT)
                woken_at = time.monotonic()
                # Told when a chunk is done with; what was on the wire may have been told before the stop.
                _until(lambda: _requests(world, run_id) > asked, at_most_s=CHUNK_S)
                stolen = held & _outcomes(world, run_id).keys()
                after = f"{time.monotonic() - woken_at:.1f} s after it woke up"
                wrong += [f"the first try settled {len(stolen)} rows of the second, {after}"] if stolen else []
                second.send_signal(signal.SIGCONT)
                wrong += _end_of(second, "the second try", 0)
            finally:
                second.kill()
        wrong += _end_of(first, "the first try after SIGCONT", 0)
    wrong += _newer_run(world, news)
    return Verdict(wrong + _judge(world, run_id, everybody, news), _figures(world, run_id))


def cleared(world: World, seed: int, count: int = 500) -> Verdict:
    """With half of the requests on the wire the first try is ended, by SIGTERM or SIGKILL; a second one starts."""
    everybody, news = _files(world, seed, count)
    ended = signal.SIGTERM if seed % 2 else signal.SIGKILL
    wrong: list[str] = []
    with _first_try(world, everybody, f"K4:{WRITES // 2 + 1}:{ended.name.removeprefix('SIG')}") as first:
        on_the_way = "SELECT 1 AS one FROM sync.work_item WHERE state = 'sent' LIMIT 1"
        if not _until(lambda: bool(world.sql(on_the_way))):
            return Verdict(["nothing was ever on its way"])
        run_id = _run_id(world)
        wrong += _second_try(world, run_id)
        if not _until(lambda: first.poll() is not None):
            wrong.append(f"the first try outlives {ended.name}")
        elif first.returncode == 0:
            wrong.append(f"the first try came to its end in spite of {ended.name}")
    wrong += _newer_run(world, news)
    return Verdict(wrong + _judge(world, run_id, everybody, news), _figures(world, run_id))


def behind_pgbouncer(world: World, seed: int, count: int = 500) -> Verdict:
    """As `stopped`, the product's connections to the database pooled by transaction."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if program is None:
        return Verdict([], {"skipped": "no pgbouncer"})
    with _pooled(world, program) as (pooled, log):
        verdict = stopped(pooled, seed, count)
        logins = log.read_text().count("login attempt")  # the first one is our own, to see that it answers
    wrong = [] if logins > 1 else ["nobody connected through the pooler"]
    return Verdict([*verdict.wrong, *wrong], {**verdict.figures, "pooled connections": logins})


# ---------------------------------------------------------------- the course of events


def _files(world: World, seed: int, count: int) -> tuple[Path, Path]:
    """Everybody, and those who say something newer."""
    chosen = set(random.Random(seed).sample(range(count), count * NEWER // 500))
    people = prospects(count)
    newer = [person for n, person in enumerate(prospects(count, revision=2, job_title=NEW)) if n in chosen]
    return world.write_prospects(people), world.write_prospects(newer, "newer.jsonl")


@contextmanager
def _first_try(world: World, file: Path, kill: str) -> Iterator[subprocess.Popen[str]]:
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.05, "per_row_s": 0.001}})
    words = ("run", "--action", "drill", "--file", str(file))
    with world.start(*words, environment={"DYNAMICS_SYNC_KILL": kill}) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing to one that has ended


def _take_over(world: World, run_id: str, news: Path, order: int) -> list[str]:
    """The second try, and the run with newer versions: before it, after it, or at the same time."""
    if order == 0:
        return _second_try(world, run_id) + _newer_run(world, news)
    if order == 1:
        return _newer_run(world, news) + _second_try(world, run_id)
    with world.start("work", "--run", run_id) as second:
        try:
            wrong = _newer_run(world, news)
            return wrong + _end_of(second, "the second try", 0)
        finally:
            second.kill()


def _second_try(world: World, run_id: str) -> list[str]:
    return _command(world, "the second try", "work", "--run", run_id)


def _newer_run(world: World, news: Path) -> list[str]:
    return _command(world, "the run with newer versions", "run", "--action", "drill", "--file", str(news))


def _command(world: World, who: str, *words: str) -> list[str]:
    with world.start(*words) as process:
        try:
            return _end_of(process, who, 0)
        finally:
            process.kill()


def _end_of(process: subprocess.Popen[str], who: str, expected: int) -> list[str]:
    try:
        _, errors = process.communicate(timeout=STEP_S)
    except subprocess.TimeoutExpired:
        return [f"{who} did not end within {STEP_S:.0f} s"]
    return [] if process.returncode == expected else [f"{who}: exit code {process.returncode}: {errors[-300:]}"]


def _until(holds: Callable[[], bool], at_most_s: float = STEP_S) -> bool:
    """Wait for something; False when it does not come."""
    deadline = time.monotonic() + at_most_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _is_stopped(process: subprocess.Popen[str]) -> bool:
    found = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    return found is not None and found.si_code == os.CLD_STOPPED


# ---------------------------------------------------------------- the witnesses


def _run_id(world: World) -> str:
    return str(world.sql("SELECT run_id FROM sync.audit_run ORDER BY started_at LIMIT 1")[0]["run_id"])


def _held(world: World, run_id: str) -> set[str]:
    """Prospects of the run that are leased right now."""
    rows = world.sql(
        "SELECT p.prospect_id FROM sync.work_item JOIN sync.prospect p USING (prospect_key)"
        " WHERE run_id = :id AND lease_until > now()",
        id=run_id,
    )
    return {row["prospect_id"] for row in rows}


def _requests(world: World, run_id: str) -> int:
    return int(world.sql("SELECT requests FROM sync.audit_run WHERE run_id = :id", id=run_id)[0]["requests"])


def _outcomes(world: World, run_id: str) -> dict[str, Any]:
    rows = world.sql("SELECT * FROM sync.audit_outcome WHERE run_id = :id", id=run_id)
    return {row["prospect_id"]: dict(row) for row in rows}


def _links(world: World) -> dict[str, Any]:
    return {row["prospect_id"]: dict(row) for row in world.sql("SELECT * FROM sync.audit_link")}


def _committed(world: World) -> set[int]:
    return {entry["seq"] for entry in world.journal() if entry["committed"]}


def _judge(world: World, run_id: str, everybody: Path, news: Path) -> list[str]:
    """The standard pass, one outcome for each prospect of the first run, and the newer version where there is one."""
    emails = [line.partition('"email": "')[2].partition('"')[0] for line in everybody.read_text().splitlines()]
    newer = {line.partition('"email": "')[2].partition('"')[0] for line in news.read_text().splitlines()}
    wrong = oracles.standard_pass(world, emails)
    if (found := len(_outcomes(world, run_id))) != len(emails):
        wrong.append(f"{found} outcomes in the run of {len(emails)}")
    for row in world.rows("lead"):
        expected = NEW if row["emailaddress1"] in newer else OLD
        if row["jobtitle"] != expected:
            wrong.append(f"record {row['leadid']} holds the title {row['jobtitle']} instead of {expected}")
    return wrong


def _figures(world: World, run_id: str) -> dict[str, float | str]:
    recovered = sum(row["recovered"] for row in _outcomes(world, run_id).values())
    return {"recovered": recovered}


# ---------------------------------------------------------------- the pooler


@contextmanager
def _pooled(world: World, program: str) -> Iterator[tuple[World, Path]]:
    """The world behind a PgBouncer in transaction mode, and its log. The judge keeps its own way in."""
    folder = Path(tempfile.mkdtemp(prefix="bouncer-"))
    url = sa.make_url(world.audit_url)
    socket = Path(str(url.query["host"]))
    values = {"database": url.database, "socket": socket, "folder": folder, "port": BOUNCER_PORT}
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(BOUNCER.format(**values))
    command = [program, str(configuration)]
    if os.geteuid() == 0:  # it refuses to be root, as the database server does
        owner = socket.owner()
        shutil.chown(folder, owner)
        command[1:1] = ["-u", owner]
    pooled = url.update_query_dict({"host": str(folder), "port": str(BOUNCER_PORT)}).render_as_string(False)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            if not _until(lambda: _answers(pooled)):
                raise RuntimeError("the pooler does not answer")
            yield dataclasses.replace(world, audit_url=pooled), folder / "log"
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


DRILL = Drill(
    "F03",
    "S1",
    {
        "stopped": stopped,
        "woken early": woken_early,
        "cleared at 50 %": cleared,
        "behind PgBouncer": behind_pgbouncer,
    },
)
