"""Runs: opened once, counted from what stands in the tables, closed, and abandoned when nobody works on them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import AttemptResult, Outcome, Run, RunCounts
from dynamics.errors import ConfigurationError
from dynamics.store.audit import AuditLog
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import (
    ORGANIZATION,
    claimed,
    created,
    discovered,
    intent,
    keys_of,
    lapse,
    new_run,
    one,
    prospect,
    rows,
)


def test_a_run_is_read_back_as_it_was_opened(ledger: PostgresLedger) -> None:
    run = new_run(dag_id="dynamics_bulk_sync", dag_run_id="manual__1", settings={"action": {"a": [1, None]}})
    assert ledger.open_run(run) == run
    assert ledger.run(run.run_id) == run


def test_the_same_dag_run_gets_the_run_that_was_opened_first(ledger: PostgresLedger) -> None:
    first = ledger.open_run(new_run(dag_id="d", dag_run_id="r"))
    assert ledger.open_run(new_run(dag_id="d", dag_run_id="r", action="other")) == first
    assert ledger.open_run(new_run(dag_id="d", dag_run_id="r2")) != first


def test_runs_without_a_dag_are_each_their_own(ledger: PostgresLedger) -> None:
    assert ledger.open_run(new_run()).run_id != ledger.open_run(new_run()).run_id


def test_an_unknown_run_is_told(ledger: PostgresLedger) -> None:
    with pytest.raises(ConfigurationError, match="is not in the audit database"):
        ledger.run(uuid4())
    with pytest.raises(ConfigurationError, match="is not in the audit database"):
        ledger.claim(uuid4(), "w1", 10, 60.0)


def test_an_account_stays_bound_to_its_first_organisation(ledger: PostgresLedger, store: sa.Engine) -> None:
    other = uuid4()
    assert ledger.bind_account("a", ORGANIZATION, "https://one.example") == ORGANIZATION
    assert ledger.bind_account("a", other, "https://other.example") == ORGANIZATION
    assert one(store, "SELECT url FROM sync.account_binding")["url"] == "https://one.example"
    ledger.bind_account("a", ORGANIZATION, "https://moved.example")
    assert one(store, "SELECT url FROM sync.account_binding")["url"] == "https://moved.example"


def test_counts_come_from_the_outcomes_themselves(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "abc")
    claim = claimed(ledger, run)
    first, second, _ = keys_of(claim)
    ledger.settle(claim, [created(claim, first), created(claim, second, outcome=Outcome.REJECTED, link=None)])
    assert ledger.counts(run.run_id) == RunCounts(3, 1, 0, 0, 0, 1, 0, open=1, discovered=False)
    with store.begin() as connection:
        connection.execute(sa.text("DELETE FROM sync.outcome WHERE outcome = 'created'"))
    assert ledger.counts(run.run_id) == RunCounts(3, 0, 0, 0, 0, 1, 0, open=1, discovered=False)


def test_closing_a_run_keeps_its_counts_and_may_be_repeated(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    ledger.settle(claim, [created(claim, keys_of(claim)[0])])
    ledger.add_requests(run.run_id, 4)
    counts = ledger.finish_run(run.run_id, "succeeded", 3)
    first = one(store, "SELECT * FROM sync.audit_run")
    assert counts.balanced
    assert (first["state"], first["selected"], first["created"], first["requests"]) == ("succeeded", 1, 1, 7)
    ledger.finish_run(run.run_id, "succeeded", 3)
    assert one(store, "SELECT * FROM sync.audit_run") == first


def test_a_running_run_shows_live_counts(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "ab")
    claim = claimed(ledger, run)
    ledger.settle(claim, [created(claim, keys_of(claim)[0])])
    shown = one(store, "SELECT * FROM sync.audit_run")
    assert (shown["state"], shown["selected"], shown["created"]) == ("running", 2, 1)
    assert shown["policy"] == {"create": "lead"}


def test_a_closed_run_with_work_pending_is_taken_up_again_by_the_next_claim(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "a")
    ledger.finish_run(run.run_id, "failed", 0)
    claimed(ledger, run)
    assert one(store, "SELECT state, finished_at FROM sync.audit_run") == {"state": "running", "finished_at": None}


def test_what_is_settled_after_a_run_was_closed_is_counted(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    ledger.finish_run(run.run_id, "failed", 0)
    ledger.settle(claim, [created(claim, keys_of(claim)[0])])
    assert one(store, "SELECT created, state FROM sync.audit_run") == {"created": 1, "state": "failed"}


class TestAbandonStaleRuns:
    @staticmethod
    def _abandon(ledger: PostgresLedger, except_run: UUID) -> int:
        return ledger.abandon_stale_runs("dynamics_default", ORGANIZATION, 900.0, except_run)

    @staticmethod
    def _forget(store: sa.Engine) -> None:
        """Nobody was heard of for an hour."""
        lapse(store)
        with store.begin() as connection:
            connection.execute(sa.text("UPDATE sync.sync_run SET touched_at = now() - interval '1 hour'"))

    def test_items_nobody_works_on_are_deferred_and_the_run_fails(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run, size=1)
        self._forget(store)
        assert self._abandon(ledger, uuid4()) == 2
        assert one(store, "SELECT state, deferred FROM sync.audit_run") == {"state": "failed", "deferred": 2}
        assert {row["reason"] for row in rows(store, "SELECT reason FROM sync.audit_outcome")} == {"run_abandoned"}
        assert ledger.settle(claim, [created(claim, keys_of(claim)[0])]) == 0, "the late worker settles nothing"
        assert self._abandon(ledger, uuid4()) == 0

    def test_an_item_with_an_open_attempt_waits_for_somebody_who_reads_the_crm(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        sent, _ = keys_of(claim)
        ledger.intend(claim, [intent(claim, sent)])
        self._forget(store)
        assert self._abandon(ledger, uuid4()) == 1
        assert ledger.counts(run.run_id).open == 1
        assert one(store, "SELECT state FROM sync.audit_run")["state"] == "running"
        (attempt,) = ledger.open_attempts(ORGANIZATION, [sent])
        ledger.resolve([AttemptResult(attempt.attempt_id, "not_landed")])
        assert self._abandon(ledger, uuid4()) == 1

    def test_a_run_that_failed_with_work_pending_is_closed_too(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "a")
        ledger.finish_run(run.run_id, "failed", 0)
        self._forget(store)
        assert self._abandon(ledger, uuid4()) == 1
        assert one(store, "SELECT deferred FROM sync.audit_run")["deferred"] == 1

    def test_runs_that_are_worked_on_and_those_of_others_are_left_alone(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        fresh = ledger.open_run(new_run())
        elsewhere = ledger.open_run(new_run(account="other"))
        leased = ledger.open_run(new_run())
        for each in (run, elsewhere, leased):
            discovered(ledger, each, "a")
        self._forget(store)
        discovered(ledger, fresh, "a")
        claimed(ledger, leased)
        with store.begin() as connection:  # long silence, but its lease stands
            quiet = sa.text("UPDATE sync.sync_run SET touched_at = now() - interval '1 hour' WHERE run_id = :run_id")
            connection.execute(quiet, {"run_id": leased.run_id})
        assert self._abandon(ledger, except_run=run.run_id) == 0
        assert self._abandon(ledger, except_run=uuid4()) == 1

    def test_a_revision_stands_in_the_outcome(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        ledger.store_prospects(run.run_id, "captello", [prospect("a", revision=7)])
        self._forget(store)
        self._abandon(ledger, uuid4())
        assert one(store, "SELECT revision FROM sync.audit_outcome")["revision"] == 7


def test_the_audit_log_lists_the_newest_run_first(ledger: PostgresLedger, store: sa.Engine) -> None:
    first = ledger.open_run(new_run(action="one"))
    second = ledger.open_run(new_run(action="two"))
    audit = AuditLog(store)
    assert [row.run_id for row in audit.runs()] == [second.run_id, first.run_id]
    assert [row.action for row in audit.runs(limit=1)] == ["two"]
    assert (audit.latest_run(), audit.latest_run("one"), audit.latest_run("none")) == (
        second.run_id,
        first.run_id,
        None,
    )
