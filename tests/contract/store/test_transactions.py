"""The database misbehaves: what is repeated, what is told, and what never reaches a message."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from dynamics.core.ledger import AttemptResult, Run
from dynamics.errors import AccountError, ConfigurationError, ContractError, DynamicsError, TransientError
from dynamics.store.ledger import PostgresLedger
from dynamics.store.transactions import WAITS_S, Transactions
from tests.contract.store.samples import (
    ORGANIZATION,
    claimed,
    created,
    discovered,
    intent,
    keys_of,
    new_run,
    one,
    rows,
)


def cut(engine: sa.Engine, *, before: int = 0, after: int = 0) -> None:
    """Cut the connection on so many commits before they reach the server, then on so many right after."""
    left = {"before": before, "after": after}
    commit = engine.dialect.do_commit

    def cut_commit(connection: Any) -> None:
        if left["before"]:
            left["before"] -= 1
            connection.driver_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        commit(connection)
        if left["after"]:
            left["after"] -= 1
            connection.driver_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    engine.dialect.do_commit = cut_commit  # type: ignore[method-assign, assignment]


@pytest.fixture
def patient(store: sa.Engine) -> Transactions:
    """Transactions that do not wait between repetitions."""
    return Transactions(store, sleep=lambda _: None)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cut_on_commit_changes_nothing_about_the_end(store: sa.Engine, when: str) -> None:
    ledger = PostgresLedger(store)
    for step in ("open", "store", "intend", "settle", "finish"):
        run = new_run()
        if step == "open":
            cut(store, **{when: 1})
        assert ledger.open_run(run) == run
        if step == "store":
            cut(store, **{when: 1})
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        if step == "intend":
            cut(store, **{when: 1})
        attempts = ledger.intend(claim, [intent(claim, key)])
        if step == "settle":
            cut(store, **{when: 1})
        assert ledger.settle(claim, [created(claim, key)], [AttemptResult(attempts[key], "landed")]) == 1
        if step == "finish":
            cut(store, **{when: 1})
        assert ledger.finish_run(run.run_id, "succeeded", 5).balanced
        assert one(store, "SELECT requests FROM sync.sync_run WHERE run_id = :r", r=run.run_id)["requests"] == 5
    assert rows(store, "SELECT 1 FROM sync.attempt WHERE result IS NULL") == []
    assert {row["attempts"] for row in rows(store, "SELECT attempts FROM sync.outcome")} == {1}


def test_a_claim_whose_answer_got_lost_comes_back_when_its_lease_is_over(store: sa.Engine) -> None:
    ledger = PostgresLedger(store)
    run = ledger.open_run(new_run())
    discovered(ledger, run, "ab")
    cut(store, after=1)
    assert len(keys_of(claimed(ledger, run, size=1))) == 1
    assert ledger.counts(run.run_id).open == 2


def test_work_after_a_lost_connection_is_not_hurt(store: sa.Engine, run: Run) -> None:
    ledger = PostgresLedger(store)
    with store.connect() as other:
        stop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        other.exec_driver_sql(f"{stop} pg_backend_pid()")
    discovered(ledger, run, "a")
    assert len(keys_of(claimed(ledger, run))) == 1


def test_two_that_deadlock_both_end(store: sa.Engine) -> None:
    ledger = PostgresLedger(store)
    runs = [ledger.open_run(new_run()).run_id for _ in range(2)]
    first_try = threading.Barrier(2)
    tries = itertools.count()

    def cross(order: list[Any]) -> str:
        def work(connection: sa.Connection) -> str:
            add = sa.text("UPDATE sync.sync_run SET requests = requests + 1 WHERE run_id = :r")
            connection.execute(add, {"r": order[0]})
            connection.execute(sa.text("SET LOCAL deadlock_timeout = '20ms'"))
            if next(tries) < 2:  # both have their first row before either wants the second
                first_try.wait(10)
            connection.execute(add, {"r": order[1]})
            return "done"

        return Transactions(store).run("cross", work)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(cross, [runs, runs[::-1]])) == ["done", "done"]
    assert {row["requests"] for row in rows(store, "SELECT requests FROM sync.sync_run")} == {2}


@pytest.mark.parametrize(
    ("sqlstate", "tries", "error"),
    [
        ("40001", 1 + len(WAITS_S), TransientError),
        ("40P01", 1 + len(WAITS_S), TransientError),
        ("55P03", 1 + len(WAITS_S), TransientError),
        ("57P01", 1 + len(WAITS_S), TransientError),
        ("53300", 1 + len(WAITS_S), TransientError),
        ("42501", 1, AccountError),
        ("28P01", 1, AccountError),
        ("3D000", 1, ConfigurationError),
        ("42P01", 1, ConfigurationError),
        ("23505", 1, ContractError),
        ("22P02", 1, ContractError),
    ],
)
def test_each_refusal_is_repeated_or_told_by_what_to_do_next(
    patient: Transactions, sqlstate: str, tries: int, error: type[DynamicsError]
) -> None:
    seen: list[int] = []

    def work(connection: sa.Connection) -> None:
        seen.append(1)
        raise_it = f"DO $$ BEGIN RAISE EXCEPTION 'a person: ada@example.org' USING ERRCODE = '{sqlstate}'; END $$"
        connection.exec_driver_sql(raise_it)

    with pytest.raises(error) as caught:
        patient.run("settle", work)
    assert len(seen) == tries
    assert "ada@example.org" not in f"{caught.value}{caught.value!r}"
    assert caught.value.__suppress_context__


def test_what_is_not_the_database_passes_through_and_nothing_is_committed(
    patient: Transactions, store: sa.Engine
) -> None:
    def work(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO sync.cursor (name, at, id) VALUES ('c', now(), '')"))
        raise KeyError("ours")

    with pytest.raises(KeyError):
        patient.run("write", work)
    assert rows(store, "SELECT 1 FROM sync.cursor") == []


def test_no_statement_of_ours_leaves_a_transaction_open(store: sa.Engine, run: Run) -> None:
    ledger = PostgresLedger(store)
    discovered(ledger, run, "a")
    claimed(ledger, run)
    ledger.links(ORGANIZATION, [1])
    busy = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    assert rows(store, busy) == []


def test_a_worker_of_an_older_release_does_not_write_to_an_upgraded_database(store: sa.Engine, run: Run) -> None:
    ledger = PostgresLedger(store)
    with store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"upgraded to 9999 by a newer release.*restart the worker with it"):
        ledger.add_requests(run.run_id, 7)
    assert one(store, "SELECT requests FROM sync.sync_run")["requests"] == 0


def test_a_transaction_that_waited_for_an_upgrade_sees_the_new_revision(store: sa.Engine, run: Run) -> None:
    ledger = PostgresLedger(store)
    with ThreadPoolExecutor(1) as threads:
        with store.begin() as upgrade:
            upgrade.execute(sa.text("LOCK TABLE sync.alembic_version IN ACCESS EXCLUSIVE MODE"))
            upgrade.execute(sa.text("UPDATE sync.alembic_version SET version_num = '9999'"))
            late = threads.submit(ledger.add_requests, run.run_id, 7)
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            deadline = time.monotonic() + 10
            while not upgrade.execute(sa.text(waiting)).all():
                assert time.monotonic() < deadline
        with pytest.raises(ConfigurationError, match="by a newer release"):
            late.result(10)
    assert one(store, "SELECT requests FROM sync.sync_run")["requests"] == 0


def test_a_process_that_has_no_connection_left_is_told_to_come_again(audit_url: str) -> None:
    narrow = sa.create_engine(
        sa.make_url(audit_url).set(drivername="postgresql+psycopg"), pool_size=1, max_overflow=0, pool_timeout=0.05
    )
    with narrow.connect(), pytest.raises(TransientError, match="connections of this process") as told:
        Transactions(narrow).run("look", lambda _: None)
    assert told.value.retry_after_s
    narrow.dispose()
