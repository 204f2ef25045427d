"""Retention: what is due is emptied, what is in work or linked keeps what it needs, and old runs go whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect
from dynamics.core.ledger import AttemptResult, Outcome, PersonClaim, Run
from dynamics.core.retention import Removal
from dynamics.store.database import create_store
from dynamics.store.ledger import PostgresLedger
from dynamics.store.retention import FIRST_PERSON
from tests.contract.store.samples import (
    ORGANIZATION,
    SEEN_AT,
    claimed,
    created,
    discovered,
    fence_of,
    intent,
    keys_of,
    lapse,
    new_run,
    one,
    prospect,
    record_of,
    rows,
)

OVER, TO_COME = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


def person(name: str, retain_until: str | None = None, **changes: Any) -> DiscoveredProspect:
    payload = {"id": name, "last_name": "Okafor", "privacy": {"retain_until": retain_until}}
    return prospect(name, payload=payload, email=f"e-{name}", by_name=f"n-{name}", **changes)


def settle_all(ledger: PostgresLedger, run: Run) -> None:
    claim = claimed(ledger, run)
    ledger.settle(claim, [created(claim, key) for key in keys_of(claim)])
    ledger.finish_run(run.run_id, "succeeded", 0)


def age(store: sa.Engine, days: int) -> None:
    """Everything happened so many days earlier."""
    with store.begin() as connection:
        for statement in (
            "UPDATE sync.prospect SET stored_at = stored_at - make_interval(days => :days)",
            "UPDATE sync.sync_run SET finished_at = finished_at - make_interval(days => :days),"
            " touched_at = touched_at - make_interval(days => :days)",
            "UPDATE sync.webhook_delivery SET received_at = received_at - make_interval(days => :days)",
        ):
            connection.execute(sa.text(statement), {"days": days})


def emptied(store: sa.Engine) -> set[str]:
    query = "SELECT prospect_id FROM sync.prospect WHERE payload = '{}' AND removed_at IS NOT NULL"
    return {row["prospect_id"] for row in rows(store, query)}


def remove(ledger: PostgresLedger, days: int | None = 365) -> Removal:
    return ledger.remove_personal_data(0, 1000, days)


def test_a_prospect_s_own_time_counts_before_the_default(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    people = [person("over", OVER), person("to-come", TO_COME), person("silent"), person("odd", "soon")]
    ledger.store_prospects(run.run_id, "captello", people)
    settle_all(ledger, run)
    remove(ledger)
    assert emptied(store) == {"over"}
    age(store, 366)
    remove(ledger, None)
    assert emptied(store) == {"over"}
    remove(ledger, 367)
    assert emptied(store) == {"over"}
    remove(ledger, 365)
    assert emptied(store) == {"over", "silent", "odd"}


def test_nothing_of_the_person_is_left_but_ids_and_the_link(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    ledger.store_prospects(run.run_id, "captello", [person("a", OVER)])
    claim = claimed(ledger, run)
    (key,) = keys_of(claim)
    ledger.hold_persons(ORGANIZATION, claim, [PersonClaim(key, "lead", record_of(key), ("e-a", "n-a"))])
    sent = ledger.intend(claim, [intent(claim, key)])
    ledger.settle(claim, [created(claim, key)], [AttemptResult(sent[key], "landed")])
    ledger.finish_run(run.run_id, "succeeded", 0)
    link = "SELECT record_id, state, content_hash, column_hashes FROM sync.record_link"
    before = one(store, link)
    assert before["column_hashes"]
    assert remove(ledger).removed == 1
    assert ledger.forget_persons(FIRST_PERSON, 100)[0] == 2
    left = one(store, "SELECT payload, email_key, name_key, revision, retain_until FROM sync.prospect")
    assert left == {"payload": {}, "email_key": None, "name_key": None, "revision": 1, "retain_until": None}
    assert one(store, link) == before | {"column_hashes": {}}
    assert one(store, "SELECT column_hashes, content_hash FROM sync.attempt") == {
        "column_hashes": {},
        "content_hash": "",
    }
    assert rows(store, "SELECT * FROM sync.person_lock") == []
    assert one(store, "SELECT outcome FROM sync.audit_outcome")["outcome"] == "created"
    assert remove(ledger).removed == 0


def test_work_that_is_open_is_left_for_another_night(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    ledger.store_prospects(run.run_id, "captello", [person("open", OVER), person("sent", OVER), person("done", OVER)])
    claim = claimed(ledger, run)
    names = dict(zip(claim.items["prospect_id"], keys_of(claim), strict=True))
    wish = PersonClaim(names["open"], "lead", record_of(names["open"]), ("e-open",))
    ledger.hold_persons(ORGANIZATION, claim, [wish])
    ledger.intend(claim, [intent(claim, names["sent"])])
    ledger.settle(claim, [created(claim, names["done"])])
    assert remove(ledger) == Removal(3, 1, 2, max(names.values()))
    assert emptied(store) == {"done"}
    lapse(store)
    assert remove(ledger).removed == 0
    payloads = claimed(ledger, run).items["payload"]
    assert all(payload["last_name"] == "Okafor" for payload in payloads)


def test_a_key_that_another_worker_holds_stays_and_one_that_vanishes_under_a_claim_is_taken_anew(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    ledger.store_prospects(run.run_id, "captello", [person("old", OVER)])
    claim = claimed(ledger, run)
    (old,) = keys_of(claim)
    ledger.hold_persons(ORGANIZATION, claim, [PersonClaim(old, "lead", record_of(old), ("shared",))])
    ledger.settle(claim, [created(claim, old, outcome=Outcome.DEFERRED, link=None, record_id=None)])
    second = ledger.open_run(new_run())
    ledger.store_prospects(second.run_id, "captello", [person("new")])
    other = claimed(ledger, second)
    (new,) = keys_of(other)
    hold = PersonClaim(new, "lead", record_of(new), ("shared",))
    (taken,) = ledger.hold_persons(ORGANIZATION, other, [hold])
    assert taken.record_id == record_of(old), "the id that was minted for the person"
    remove(ledger)
    assert ledger.forget_persons(FIRST_PERSON, 100)[0] == 0
    ledger.settle(other, [created(other, new, record_id=record_of(old))])
    assert ledger.forget_persons(FIRST_PERSON, 100)[0] == 1
    third = ledger.open_run(new_run())
    ledger.store_prospects(third.run_id, "captello", [person("third")])
    again = claimed(ledger, third)
    (key,) = keys_of(again)
    (fresh,) = ledger.hold_persons(ORGANIZATION, again, [PersonClaim(key, "lead", record_of(key), ("shared",))])
    assert fresh.mine


def test_keys_are_forgotten_page_by_page(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    people = [person(f"p{number}", OVER) for number in range(7)]
    ledger.store_prospects(run.run_id, "captello", people)
    claim = claimed(ledger, run)
    wishes = [PersonClaim(key, "lead", record_of(key), (f"key-{key}",)) for key in keys_of(claim)]
    ledger.hold_persons(ORGANIZATION, claim, wishes)
    ledger.settle(claim, [created(claim, key) for key in keys_of(claim)])
    remove(ledger)
    counts, after = [], FIRST_PERSON
    while after is not None:
        count, after = ledger.forget_persons(after, 3)
        counts.append(count)
    assert counts == [3, 3, 1, 0]


@pytest.mark.parametrize("revision", [1, 2])
def test_delivered_again_it_is_a_prospect_again(
    ledger: PostgresLedger, run: Run, store: sa.Engine, revision: int
) -> None:
    ledger.store_prospects(run.run_id, "captello", [person("a", OVER)])
    settle_all(ledger, run)
    remove(ledger)
    second = ledger.open_run(new_run())
    again = person("a", TO_COME, revision=revision, updated_at=SEEN_AT + timedelta(days=revision - 1))
    ledger.store_prospects(second.run_id, "captello", [again])
    (payload,) = claimed(ledger, second).items["payload"]
    assert payload["last_name"] == "Okafor"
    assert one(store, "SELECT email_key, removed_at FROM sync.prospect") == {"email_key": "e-a", "removed_at": None}
    remove(ledger)
    assert emptied(store) == set()


def test_a_prospect_that_is_emptied_while_it_is_discovered_is_stored_once_more(
    ledger: PostgresLedger, run: Run, store: sa.Engine, audit_url: str
) -> None:
    """Between the look whether it says anything new and its work item."""
    ledger.store_prospects(run.run_id, "captello", [person("a", OVER)])
    settle_all(ledger, run)
    second = ledger.open_run(new_run())
    other_process = create_store(audit_url)
    others = PostgresLedger(other_process)
    removed = []

    @sa.event.listens_for(store, "before_cursor_execute")
    def meanwhile(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO sync.work_item" in statement and not removed:
            removed.append(remove(others).removed)

    ledger.store_prospects(second.run_id, "captello", [person("a", OVER)])
    sa.event.remove(store, "before_cursor_execute", meanwhile)
    other_process.dispose()
    assert removed == [1]
    (payload,) = claimed(ledger, second).items["payload"]
    assert payload["last_name"] == "Okafor"


def test_old_runs_go_with_all_that_is_theirs_and_nothing_else_does(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, [f"p{number}" for number in range(7)])
    claim = claimed(ledger, run)
    sent = ledger.intend(claim, [intent(claim, key) for key in keys_of(claim)])
    results = [AttemptResult(attempt, "landed") for attempt in sent.values()]
    ledger.settle(claim, [created(claim, key) for key in keys_of(claim)], results)
    ledger.finish_run(run.run_id, "succeeded", 0)
    stopped = ledger.open_run(new_run())
    discovered(ledger, stopped, ["p0"])
    ledger.finish_run(stopped.run_id, "failed", 0)
    lost = ledger.open_run(new_run(account="other"))
    age(store, 100)
    recent = ledger.open_run(new_run())
    discovered(ledger, recent, ["p1"])
    settle_all(ledger, recent)
    trimmed = []
    while step := ledger.trim_oldest_run(90, 3):
        trimmed.append(step)
    assert trimmed == [(3, False), (3, False), (1, True)]
    assert {row["run_id"] for row in rows(store, "SELECT run_id FROM sync.sync_run")} == {
        stopped.run_id,
        lost.run_id,
        recent.run_id,
    }
    assert len(rows(store, "SELECT 1 FROM sync.record_link")) == 7
    assert len(rows(store, "SELECT 1 FROM sync.work_item")) == 2


def test_deliveries_that_nobody_has_handled_are_kept(ledger: PostgresLedger, store: sa.Engine) -> None:
    with store.begin() as connection:
        insert = "INSERT INTO sync.webhook_delivery (source, delivery_id, handled_at) VALUES "
        connection.execute(sa.text(insert + "('c', 'handled', now()), ('c', 'waiting', NULL), ('c', 'two', now())"))
    assert ledger.trim_deliveries(7, 100) == 0
    age(store, 8)
    assert [ledger.trim_deliveries(7, 1) for _ in range(3)] == [1, 1, 0]
    assert one(store, "SELECT delivery_id FROM sync.webhook_delivery")["delivery_id"] == "waiting"


def test_a_sorted_delivery_is_kept_as_long_as_an_errand_of_it_is_open(ledger: PostgresLedger, store: sa.Engine) -> None:
    with store.begin() as connection:
        deliveries = "INSERT INTO sync.webhook_delivery (source, delivery_id, state) VALUES "
        connection.execute(sa.text(deliveries + "('c', 'open', 'sorted'), ('c', 'left', 'sorted')"))
        errands = "INSERT INTO sync.webhook_errand (source, delivery_id, action, done_at) VALUES "
        connection.execute(
            sa.text(errands + "('c', 'open', 'a', now()), ('c', 'open', 'b', NULL), ('c', 'left', 'a', now())")
        )
    age(store, 8)
    assert [ledger.trim_deliveries(7, 10) for _ in range(2)] == [1, 0]
    assert one(store, "SELECT delivery_id FROM sync.webhook_delivery")["delivery_id"] == "open"


def test_silent_runs_of_all_accounts_are_closed_one_by_one(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    other = ledger.open_run(new_run(account="other", organization_id=uuid4()))
    for each in (run, other):
        discovered(ledger, each, ["a"])
    age(store, 1)
    busy = ledger.open_run(new_run())
    discovered(ledger, busy, ["a"])
    closed = {}
    while found := ledger.abandon_stalest_run(3600, list(closed)):
        closed[found[0]] = found[1]
    assert closed == {run.run_id: 1, other.run_id: 1}
    states = {row["run_id"]: row["state"] for row in rows(store, "SELECT run_id, state FROM sync.audit_run")}
    assert states == {run.run_id: "failed", other.run_id: "failed", busy.run_id: "running"}


def test_a_fence_of_before_settles_nothing_of_a_prospect_that_was_emptied(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    ledger.store_prospects(run.run_id, "captello", [person("a", OVER)])
    claim = claimed(ledger, run)
    (key,) = keys_of(claim)
    assert fence_of(claim, key) == 1
    age(store, 1)
    lapse(store)
    ledger.abandon_stalest_run(3600, [])
    assert remove(ledger).removed == 1
    assert ledger.settle(claim, [created(claim, key)]) == 0
