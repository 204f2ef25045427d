"""What an automation has to do: cursors, which prospects are due, and what earlier runs have left over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import Outcome, Run, Settlement
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import SEEN_AT, claimed, fence_of, lapse, new_run, one, prospect, rows

CURSOR = "captello_default/booth-leads/dynamics_default"
SILENT_S = 300.0


def automation_run(ledger: PostgresLedger, **changes: Any) -> Run:
    return ledger.open_run(new_run(trigger="automation", **changes))


def read(ledger: PostgresLedger, run: Run, *names: str, revision: int = 1, cursor: str | None = CURSOR) -> int:
    page = [prospect(name, revision=revision) for name in names]
    return ledger.store_due(run, "captello", page, cursor, (SEEN_AT, names[-1]) if names else None)


def settle(
    ledger: PostgresLedger, run: Run, outcome: Outcome, reason: str | None = None, revision: int | None = None
) -> None:
    """Settle everything the run has."""
    claim = claimed(ledger, run)
    settlements = [
        Settlement(
            prospect_key=int(row.prospect_key),
            fence=fence_of(claim, int(row.prospect_key)),
            revision=revision or int(row.revision),
            outcome=outcome,
            reason=reason,
        )
        for row in claim.items.itertuples()
    ]
    assert ledger.settle(claim, settlements) == len(settlements)


def left_over(ledger: PostgresLedger, store: sa.Engine, run: Run) -> list[str]:
    keys = ledger.left_over(run.action, run.organization_id, SILENT_S, run.run_id)
    return [
        row["prospect_id"]
        for row in rows(store, "SELECT prospect_id FROM sync.prospect WHERE prospect_key = ANY(:k) ORDER BY 1", k=keys)
    ]


def age(store: sa.Engine, minutes: float) -> None:
    """Let everything have happened so much earlier."""
    past = timedelta(minutes=minutes)
    with store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.outcome SET settled_at = settled_at - :past"), {"past": past})
        connection.execute(sa.text("UPDATE sync.sync_run SET touched_at = touched_at - :past"), {"past": past})


class TestDue:
    def test_a_prospect_is_due_once_for_each_revision(self, ledger: PostgresLedger) -> None:
        first = automation_run(ledger)
        assert read(ledger, first, "a", "b") == 2
        settle(ledger, first, Outcome.CREATED)
        second = automation_run(ledger)
        assert read(ledger, second, "a", "b") == 0
        assert read(ledger, second, "b", revision=2) == 1

    @pytest.mark.parametrize("trigger", ["bulk", "backfill", "fulfillment", "retry"])
    def test_what_any_run_of_the_action_has_settled_is_not_due(self, ledger: PostgresLedger, trigger: str) -> None:
        other = ledger.open_run(new_run(trigger=trigger))
        read(ledger, other, "a")
        settle(ledger, other, Outcome.REJECTED)
        assert read(ledger, automation_run(ledger), "a") == 0

    @pytest.mark.parametrize(
        "other", [{"dry_run": True}, {"action": "another"}, {"organization_id": UUID(int=7), "account": "elsewhere"}]
    )
    def test_what_was_rehearsed_or_settled_for_others_is_due(
        self, ledger: PostgresLedger, other: dict[str, Any]
    ) -> None:
        run = automation_run(ledger, **other)
        read(ledger, run, "a")
        settle(ledger, run, Outcome.CREATED)
        assert read(ledger, automation_run(ledger), "a") == 1

    def test_what_was_found_and_not_settled_is_due_when_it_is_listed_again(self, ledger: PostgresLedger) -> None:
        read(ledger, automation_run(ledger), "a")
        assert read(ledger, automation_run(ledger), "a") == 1

    def test_an_older_revision_read_late_is_not_due(self, ledger: PostgresLedger) -> None:
        run = automation_run(ledger)
        read(ledger, run, "a", revision=2)
        settle(ledger, run, Outcome.CREATED)
        assert read(ledger, automation_run(ledger), "a", revision=1) == 0

    def test_a_revision_settled_while_a_newer_one_was_stored_leaves_the_newer_one_due(
        self, ledger: PostgresLedger
    ) -> None:
        run = automation_run(ledger)
        read(ledger, run, "a", revision=2)
        settle(ledger, run, Outcome.CREATED, revision=1)
        assert read(ledger, automation_run(ledger), "a", revision=2) == 1

    def test_a_page_read_twice_in_one_run_adds_its_items_once(self, ledger: PostgresLedger) -> None:
        run = automation_run(ledger)
        assert (read(ledger, run, "a", "b"), read(ledger, run, "b", "c")) == (2, 1)


class TestDeferred:
    @pytest.mark.parametrize("reason", ["on_hold", "awaiting_transcription", "awaiting_reconciliation"])
    def test_what_waits_for_the_source_is_due_with_its_next_revision_only(
        self, ledger: PostgresLedger, store: sa.Engine, reason: str
    ) -> None:
        run = automation_run(ledger)
        read(ledger, run, "a")
        settle(ledger, run, Outcome.DEFERRED, reason)
        age(store, 3 * 24 * 60)
        following = automation_run(ledger)
        assert left_over(ledger, store, following) == []
        assert read(ledger, following, "a") == 0
        assert read(ledger, following, "a", revision=2) == 1

    def test_another_reason_is_tried_again_after_a_while_that_grows(
        self, ledger: PostgresLedger, store: sa.Engine
    ) -> None:
        run = automation_run(ledger)
        read(ledger, run, "a")
        total = 0
        for _ in range(5):  # as long as it has been deferred, and a quarter of an hour at least
            wait_minutes = max(15, total)
            settle(ledger, run, Outcome.DEFERRED, "several_matches")
            run = automation_run(ledger)
            age(store, wait_minutes - 1)
            assert left_over(ledger, store, run) == []
            age(store, 2)
            assert left_over(ledger, store, run) == ["a"]
            total += wait_minutes + 1
            ledger.add_items(run.run_id, ledger.left_over(run.action, run.organization_id, SILENT_S, run.run_id))
        settle(ledger, run, Outcome.UPDATED)
        age(store, 24 * 60)
        assert left_over(ledger, store, automation_run(ledger)) == []

    def test_what_a_webhook_brought_and_its_run_deferred_is_taken_up_too(
        self, ledger: PostgresLedger, store: sa.Engine
    ) -> None:
        run = ledger.open_run(new_run(trigger="fulfillment"))
        ledger.store_prospects(run.run_id, "captello", [prospect("a")])
        settle(ledger, run, Outcome.DEFERRED, "no_answer")
        age(store, 16)
        assert left_over(ledger, store, automation_run(ledger)) == ["a"]

    def test_a_day_is_the_longest_wait(self, ledger: PostgresLedger, store: sa.Engine) -> None:
        first, second = automation_run(ledger), automation_run(ledger)
        read(ledger, first, "a")
        settle(ledger, first, Outcome.DEFERRED, "merge_loop")
        age(store, 30 * 24 * 60)
        read(ledger, second, "a")
        settle(ledger, second, Outcome.DEFERRED, "merge_loop")
        age(store, 23 * 60)
        assert left_over(ledger, store, automation_run(ledger)) == []
        age(store, 61)
        assert left_over(ledger, store, automation_run(ledger)) == ["a"]

    def test_what_was_given_up_is_due_at_once(self, ledger: PostgresLedger, store: sa.Engine) -> None:
        run = automation_run(ledger)
        read(ledger, run, "a")
        age(store, 24 * 60)
        following = automation_run(ledger)
        ledger.abandon_stale_runs(run.account, run.organization_id, 3600, following.run_id)
        assert left_over(ledger, store, following) == ["a"]


class TestLeftOver:
    def test_what_a_dead_run_has_found_is_taken_up_when_it_is_silent_or_closed(
        self, ledger: PostgresLedger, store: sa.Engine
    ) -> None:
        dead, following = automation_run(ledger), automation_run(ledger)
        read(ledger, dead, "a", "b")
        assert left_over(ledger, store, following) == []  # somebody may be at work on it
        age(store, 6)
        assert left_over(ledger, store, following) == ["a", "b"]
        ledger.open_run(dead)
        claimed(ledger, dead, size=1)
        assert left_over(ledger, store, following) == []
        lapse(store)
        ledger.finish_run(dead.run_id, "failed", 0)
        assert left_over(ledger, store, following) == ["a", "b"]

    def test_a_worker_that_holds_a_lease_is_at_work_however_long_it_is_silent(
        self, ledger: PostgresLedger, store: sa.Engine
    ) -> None:
        slow, following = automation_run(ledger), automation_run(ledger)
        read(ledger, slow, "a")
        claimed(ledger, slow, lease_s=3600)
        age(store, 30)
        assert left_over(ledger, store, following) == []

    @pytest.mark.parametrize(
        "other",
        [
            {"trigger": "bulk"},
            {"trigger": "automation", "dry_run": True},
            {"trigger": "automation", "action": "another"},
        ],
    )
    def test_what_others_have_left_is_theirs(
        self, ledger: PostgresLedger, store: sa.Engine, other: dict[str, Any]
    ) -> None:
        run = ledger.open_run(new_run(**other))
        read(ledger, run, "a")
        age(store, 60)
        assert left_over(ledger, store, automation_run(ledger)) == []

    def test_what_another_run_has_settled_meanwhile_is_not_left(self, ledger: PostgresLedger, store: sa.Engine) -> None:
        dead, bulk = automation_run(ledger), ledger.open_run(new_run())
        read(ledger, dead, "a")
        read(ledger, bulk, "a")
        settle(ledger, bulk, Outcome.CREATED)
        age(store, 60)
        assert left_over(ledger, store, automation_run(ledger)) == []

    def test_of_whom_nothing_is_kept_nothing_is_left(self, ledger: PostgresLedger, store: sa.Engine) -> None:
        dead = automation_run(ledger)
        read(ledger, dead, "a")
        age(store, 60)
        with store.begin() as connection:
            connection.execute(sa.text("UPDATE sync.prospect SET payload = '{}'"))
        assert left_over(ledger, store, automation_run(ledger)) == []


def test_what_says_something_newer_of_a_prospect_that_is_kept_is_told_from_the_rest(
    ledger: PostgresLedger, store: sa.Engine
) -> None:
    read(ledger, automation_run(ledger), "same", "older", "newer", "emptied", revision=4)
    with store.begin() as connection:
        emptied = "UPDATE sync.prospect SET payload = '{}', removed_at = now() WHERE prospect_id = 'emptied'"
        connection.execute(sa.text(emptied))
    asked = {"same": 4, "older": 3, "newer": 5, "emptied": 5, "unknown": 1}
    page = [prospect(name, revision=revision).prospect for name, revision in asked.items()]
    assert [found.prospect_id for found in ledger.newer_than_kept("captello", page)] == ["newer"]
    assert ledger.newer_than_kept("file", page) == []


def test_what_is_kept_beside_a_page_makes_no_work(ledger: PostgresLedger, store: sa.Engine) -> None:
    read(ledger, automation_run(ledger), "a")
    run = automation_run(ledger)
    for page in ([], [prospect("b")]):
        revision = 2 + len(page)
        assert ledger.store_due(run, "captello", page, beside=[prospect("a", revision=revision)]) == len(page)
        assert one(store, "SELECT revision FROM sync.prospect WHERE prospect_id = 'a'") == {"revision": revision}


class TestCursor:
    def test_it_stands_nowhere_before_the_first_reading(self, ledger: PostgresLedger) -> None:
        state = ledger.cursor(CURSOR)
        assert (state.at, state.read_at, state.backlog) == (None, None, 0)

    def test_it_moves_with_the_page_and_never_back(self, ledger: PostgresLedger, store: sa.Engine) -> None:
        run = automation_run(ledger)
        later = SEEN_AT + timedelta(seconds=1)
        for place in ((SEEN_AT, "b"), (later, "a"), (SEEN_AT, "c"), (later, "A")):
            ledger.store_due(run, "captello", [], CURSOR, place)
        assert one(store, "SELECT at, id FROM sync.cursor WHERE name = :name", name=CURSOR) == {"at": later, "id": "a"}

    def test_a_page_that_cannot_be_stored_leaves_it_where_it_was(
        self, ledger: PostgresLedger, store: sa.Engine
    ) -> None:
        run = automation_run(ledger)
        read(ledger, run, "a")
        with pytest.raises(Exception, match="store due prospects"):  # a run that does not exist: its items are refused
            ledger.store_due(
                new_run(run_id=uuid4()), "captello", [prospect("b")], CURSOR, (SEEN_AT + timedelta(days=1), "b")
            )
        assert ledger.cursor(CURSOR).at == SEEN_AT
        assert [row["prospect_id"] for row in rows(store, "SELECT prospect_id FROM sync.prospect")] == ["a"]

    def test_a_source_that_runs_ahead_does_not_take_it_along(self, ledger: PostgresLedger) -> None:
        ledger.store_due(automation_run(ledger), "captello", [], CURSOR, (datetime(2999, 1, 1, tzinfo=UTC), "a"))
        state = ledger.cursor(CURSOR)
        assert state.at is not None
        assert state.at <= state.now

    def test_a_reading_is_noted_when_it_is_over(self, ledger: PostgresLedger, store: sa.Engine) -> None:
        began = ledger.cursor(CURSOR).now
        ledger.note_reading(CURSOR, began, 5)
        read(ledger, automation_run(ledger), "a")
        ledger.note_reading(CURSOR, began - timedelta(hours=1), 3)
        state = ledger.cursor(CURSOR)
        assert (state.at, state.read_at, state.backlog) == (SEEN_AT, began, 3)
        assert one(store, "SELECT * FROM sync.audit_automation") == {
            "name": CURSOR,
            "read_until": SEEN_AT,
            "read_at": began,
            "backlog": 3,
        }


def test_a_dag_run_cleared_and_run_again_is_a_run_of_its_own(ledger: PostgresLedger) -> None:
    first = ledger.open_run(new_run(dag_id="d", dag_run_id="r"))
    assert ledger.open_run(new_run(dag_id="d", dag_run_id="r")).run_id == first.run_id
    again = ledger.open_run(new_run(dag_id="d", dag_run_id="r", clear_number=1))
    assert again.run_id != first.run_id
    assert ledger.open_run(new_run(dag_id="d", dag_run_id="r", clear_number=1)).run_id == again.run_id
