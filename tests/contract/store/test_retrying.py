"""What a retry takes up: left over with these outcomes, or open without a worker; page by page, each once."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import Outcome, Run
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import claimed, created, discovered, keys_of, lapse, new_run, rows

BOTH = (Outcome.REJECTED, Outcome.DEFERRED)


@pytest.fixture
def settled(ledger: PostgresLedger, run: Run) -> dict[str, int]:
    """A run with one prospect of each outcome, named by it, and three that are open: leased, lapsed and pending."""
    discovered(ledger, run, [outcome.value for outcome in Outcome])
    claim = claimed(ledger, run)
    keys = dict(zip(claim.items["prospect_id"], keys_of(claim), strict=True))
    settlements = [
        created(claim, keys[outcome.value], outcome=outcome, link=None, record_id=None) for outcome in Outcome
    ]
    ledger.settle(claim, settlements)
    return keys


def taken_up(store: sa.Engine, run: Run) -> set[str]:
    query = "SELECT prospect_id FROM sync.work_item JOIN sync.prospect USING (prospect_key) WHERE run_id = :run_id"
    return {row["prospect_id"] for row in rows(store, query, run_id=run.run_id)}


def test_only_the_outcomes_that_are_asked_for_are_taken_up(
    ledger: PostgresLedger, run: Run, settled: dict[str, int], store: sa.Engine
) -> None:
    retry = ledger.open_run(new_run(trigger="retry"))
    assert ledger.add_left_over(retry.run_id, run.run_id, BOTH, 0, 100)[0] == 2
    assert taken_up(store, retry) == {"rejected", "deferred"}
    skipped = ledger.open_run(new_run(trigger="retry"))
    ledger.add_left_over(skipped.run_id, run.run_id, [Outcome.SKIPPED], 0, 100)
    assert taken_up(store, skipped) == {"skipped"}


def test_what_is_open_is_taken_up_unless_a_worker_has_it(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, ["lapsed"])
    claimed(ledger, run)
    lapse(store)
    discovered(ledger, run, ["leased"])
    with store.begin() as connection:
        leased = sa.text(
            "UPDATE sync.work_item SET state = 'claimed', worker = 'w', lease_until = now() + interval '1 hour'"
            " WHERE prospect_key = (SELECT prospect_key FROM sync.prospect WHERE prospect_id = 'leased')"
        )
        connection.execute(leased)
    discovered(ledger, run, ["pending"])
    retry = ledger.open_run(new_run(trigger="retry"))
    ledger.add_left_over(retry.run_id, run.run_id, BOTH, 0, 100)
    assert taken_up(store, retry) == {"lapsed", "pending"}


def test_pages_go_on_where_the_last_one_ended_and_again_add_nothing(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, [f"p{number}" for number in range(25)])
    retry = ledger.open_run(new_run(trigger="retry"))

    def pages() -> list[int]:
        sizes, after = [], 0
        while True:
            added, last = ledger.add_left_over(retry.run_id, run.run_id, BOTH, after, 10)
            if last is None:
                return sizes
            sizes.append(added)
            after = last

    assert pages() == [10, 10, 5]
    assert pages() == [0, 0, 0]
    assert len(taken_up(store, retry)) == 25
