"""Several workers at once: what each of them is told is true, and every prospect is settled exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa

from dynamics.core.ledger import AttemptResult, Claim, Outcome, PersonClaim, Run, Settlement
from dynamics.store.ledger import PostgresLedger
from dynamics.store.retention import FIRST_PERSON
from tests.contract.store.samples import (
    ORGANIZATION,
    claimed,
    created,
    discovered,
    fence_of,
    intent,
    keys_of,
    lapse,
    link,
    one,
    prospect,
    record_of,
    rows,
)

PROSPECTS = 2000
PERSONS = 100
WORKERS = 4
WAITING = sa.text("""
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")

T = TypeVar("T")


def while_locked(engine: sa.Engine, lock: str, call: Callable[[], T], change: str, **given: object) -> T:
    """The answer to `call`, made while another transaction has a row locked, changes it and commits."""
    with ThreadPoolExecutor(1) as thread:
        with engine.begin() as connection, engine.connect() as observer:
            observer = observer.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.text(lock))
            answer = thread.submit(call)
            while not observer.scalar(WAITING) and not answer.done():
                pass
            connection.execute(sa.text(change), given)
        return answer.result(timeout=30)


def test_of_two_heirs_at_once_the_second_is_told_of_the_first(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "abc")
    dead, heir, late = (claimed(ledger, run, worker=f"w{number}", size=1) for number in range(3))

    def ask(claim: Claim) -> PersonClaim:
        (key,) = keys_of(claim)
        return PersonClaim(key, "lead", record_of(key), ("k",))

    ledger.hold_persons(ORGANIZATION, dead, [ask(dead)])
    lapse(store)
    assert ledger.extend(heir, 60.0)
    assert ledger.extend(late, 60.0)
    (told,) = while_locked(
        store,
        "SELECT 1 FROM sync.person_lock FOR UPDATE",
        lambda: ledger.hold_persons(ORGANIZATION, late, [ask(late)]),
        "UPDATE sync.person_lock SET holder_key = :heir",
        heir=keys_of(heir)[0],
    )
    assert told.busy_until is not None


def test_a_key_that_is_taken_over_within_the_run_while_it_is_being_forgotten_stays(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, ["gone", "heir"])
    claim = claimed(ledger, run)
    gone, heir = keys_of(claim)
    ledger.hold_persons(ORGANIZATION, claim, [PersonClaim(gone, "lead", record_of(gone), ("k",))])
    ledger.settle(claim, [created(claim, gone, outcome=Outcome.DEFERRED, link=None, record_id=None)])
    with store.begin() as connection:
        emptied = "UPDATE sync.prospect SET payload = '{}', removed_at = now() WHERE prospect_key = :gone"
        connection.execute(sa.text(emptied), {"gone": gone})

    @sa.event.listens_for(store, "before_cursor_execute", retval=True)
    def wait_within(connection: sa.Connection, cursor: object, statement: str, given: object, *_: object) -> Any:
        """The statement has chosen by what it saw, and locks what there is by then."""
        waits = "WHERE (SELECT pg_advisory_xact_lock(1)) IS NOT NULL AND p.removed_at IS NOT NULL"
        return statement.replace("WHERE p.removed_at IS NOT NULL", waits), given

    forgotten, _ = while_locked(
        store,
        "SELECT pg_advisory_xact_lock(1)",
        lambda: ledger.forget_persons(FIRST_PERSON, 100),
        "UPDATE sync.person_lock SET holder_key = :heir",
        heir=heir,
    )
    sa.event.remove(store, "before_cursor_execute", wait_within)
    assert forgotten == 0
    assert one(store, "SELECT holder_key FROM sync.person_lock") == {"holder_key": heir}
    ledger.settle(claim, [created(claim, heir)])
    assert ledger.forget_persons(FIRST_PERSON, 100)[0] == 1


def test_settlements_of_a_closed_run_at_once_are_all_counted(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "ab")
    claim = claimed(ledger, run)
    ours, others = keys_of(claim)
    ledger.finish_run(run.run_id, "failed", 0)
    while_locked(
        store,
        "SELECT 1 FROM sync.sync_run FOR NO KEY UPDATE",
        lambda: ledger.settle(claim, [created(claim, ours)]),
        """
        WITH item AS (
            UPDATE sync.work_item SET state = 'settled' WHERE prospect_key = :others RETURNING run_id, prospect_key
        )
        INSERT INTO sync.outcome (run_id, prospect_key, revision, outcome)
        SELECT run_id, prospect_key, 1, 'unchanged' FROM item
        """,
        others=others,
    )
    counted = one(store, "SELECT selected, created, unchanged, open_items FROM sync.sync_run")
    assert counted == {"selected": 2, "created": 1, "unchanged": 1, "open_items": 0}


def test_four_workers_settle_everyone_once_and_create_each_person_once(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    """Groups are left apart on purpose, so that workers whose chunks are neighbours meet at the persons they share."""
    page = [prospect(f"p{number:04}", email=f"e{number % PERSONS}") for number in range(PROSPECTS)]
    ledger.store_prospects(run.run_id, "captello", page)

    def work(worker: int) -> Counter[Outcome]:
        told: Counter[Outcome] = Counter()
        while ledger.next_due_s(run.run_id) is not None:
            told += settle_chunk(ledger, claimed(ledger, run, worker=f"w{worker}", size=70))
        return told

    with ThreadPoolExecutor(WORKERS) as threads:
        told = sum(threads.map(work, range(WORKERS)), Counter[Outcome]())
    assert told == {Outcome.CREATED: PERSONS, Outcome.UNCHANGED: PROSPECTS - PERSONS}
    counts = ledger.finish_run(run.run_id, "succeeded", 0)
    assert (counts.selected, counts.created, counts.balanced) == (PROSPECTS, PERSONS, True)
    assert len(rows(store, "SELECT 1 FROM sync.attempt WHERE result = 'landed'")) == PERSONS
    assert len(rows(store, "SELECT DISTINCT record_id FROM sync.record_link")) == PERSONS


def settle_chunk(ledger: PostgresLedger, claim: Claim) -> Counter[Outcome]:
    """What the engine does with a chunk, without a CRM: create who is ours, join who exists, give back who is busy."""
    keys = keys_of(claim)
    emails = {
        int(key): f"e{int(name[1:]) % PERSONS}" for key, name in zip(keys, claim.items["prospect_id"], strict=True)
    }
    wishes = [PersonClaim(key, "lead", record_of(key), (emails[key],)) for key in keys]
    holds = ledger.hold_persons(ORGANIZATION, claim, wishes)
    creates = [hold for hold in holds if not hold.settled and hold.busy_until is None]
    joins = [hold for hold in holds if hold.settled]
    attempts = ledger.intend(claim, [intent(claim, hold.prospect_key, record_id=hold.record_id) for hold in creates])
    settlements = [
        created(claim, hold.prospect_key, link=link(hold.prospect_key, record_id=hold.record_id)) for hold in creates
    ]
    settlements += [
        Settlement(
            hold.prospect_key,
            fence_of(claim, hold.prospect_key),
            1,
            Outcome.UNCHANGED,
            link=link(hold.prospect_key, record_id=hold.record_id),
        )
        for hold in joins
    ]
    results = [AttemptResult(attempt, "landed") for attempt in attempts.values()]
    assert ledger.settle(claim, settlements, results) == len(settlements)
    ledger.release(claim, [hold.prospect_key for hold in holds if hold.busy_until is not None], 0.0, "person_busy")
    return Counter(settlement.outcome for settlement in settlements)


def test_an_attempt_of_an_item_that_is_lost_in_the_middle_of_its_settlement_stays_open(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    """Its lease ran out and somebody is claiming it: closed but not settled, nobody would tell of the write."""
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    (key,) = keys_of(claim)
    number = ledger.intend(claim, [intent(claim, key)])[key]
    settled = while_locked(
        store,
        "SELECT 1 FROM sync.work_item FOR UPDATE",
        lambda: ledger.settle(claim, [created(claim, key)], [AttemptResult(number, "landed")]),
        "UPDATE sync.work_item SET fence = fence + 1",
    )
    assert settled == 0
    assert [attempt.attempt_id for attempt in ledger.open_attempts(ORGANIZATION, [key])] == [number]
