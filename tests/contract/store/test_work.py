"""The queue: leases, fences, and what a claim hands out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import Run
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import (
    claimed,
    created,
    discovered,
    fence_of,
    intent,
    keys_of,
    lapse,
    names_of,
    one,
    prospect,
)


def test_a_claim_is_a_frame_of_the_promised_columns(ledger: PostgresLedger, run: Run) -> None:
    ledger.store_prospects(run.run_id, "captello", [prospect("a", revision=3, payload={"first_name": "Zoë"})])
    items = claimed(ledger, run).items
    nothing = claimed(ledger, run).items
    types = {
        "prospect_key": "int64",
        "source": "str",
        "prospect_id": "str",
        "revision": "int64",
        "payload": "object",
        "fence": "int64",
        "attempts": "int64",
    }
    assert {name: str(dtype) for name, dtype in items.dtypes.items()} == types
    assert {name: str(dtype) for name, dtype in nothing.dtypes.items()} == types
    assert items.drop(columns=["prospect_key"]).to_dict("records") == [
        {
            "source": "captello",
            "prospect_id": "a",
            "revision": 3,
            "payload": {"first_name": "Zoë"},
            "fence": 1,
            "attempts": 0,
        }
    ]
    assert nothing.empty


def test_many_workers_share_the_items_without_overlap(ledger: PostgresLedger, run: Run) -> None:
    discovered(ledger, run, (f"p{number:03}" for number in range(300)))

    def drain(worker: int) -> list[str]:
        taken: list[str] = []
        while names := names_of(claimed(ledger, run, worker=f"w{worker}", size=7)):
            taken += names
        return taken

    with ThreadPoolExecutor(6) as threads:
        taken = [name for names in threads.map(drain, range(6)) for name in names]
    assert sorted(taken) == [f"p{number:03}" for number in range(300)]


def test_a_claim_passes_by_an_item_that_somebody_has_locked(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "ab")
    with store.begin() as connection:
        connection.execute(sa.text("SELECT 1 FROM sync.work_item ORDER BY prospect_key LIMIT 1 FOR UPDATE"))
        assert names_of(claimed(ledger, run)) == ["b"]
    assert names_of(claimed(ledger, run)) == ["a"]


def test_an_item_is_claimed_again_only_when_its_lease_has_run_out_and_under_a_higher_fence(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "a")
    first = claimed(ledger, run)
    assert claimed(ledger, run).items.empty
    lapse(store)
    second = claimed(ledger, run, worker="w2")
    (key,) = keys_of(second)
    assert (fence_of(first, key), fence_of(second, key)) == (1, 2)


def test_a_claim_brings_the_newest_revision(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "a")
    claimed(ledger, run)
    ledger.store_prospects(run.run_id, "captello", [prospect("a", revision=2, payload={"n": 2})])
    lapse(store)
    items = claimed(ledger, run).items
    assert (items["revision"].tolist(), items["payload"].tolist()) == ([2], [{"n": 2}])


class TestExtend:
    def test_it_renews_what_is_ours(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        lapse(store)
        assert ledger.extend(claim, 60.0) is True
        assert claimed(ledger, run, worker="w2").items.empty

    def test_it_tells_when_one_was_lost_and_renews_the_others(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        lapse(store)
        claimed(ledger, run, worker="w2", size=1)
        assert ledger.extend(claim, 60.0) is False
        assert claimed(ledger, run, worker="w3").items.empty

    def test_what_was_settled_meanwhile_is_not_lost(self, ledger: PostgresLedger, run: Run) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        ledger.settle(claim, [created(claim, keys_of(claim)[0])])
        assert ledger.extend(claim, 60.0) is True


class TestRelease:
    def test_an_item_given_back_is_due_again_after_the_time_given(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        now, later = keys_of(claim)
        ledger.release(claim, [now], 0.0, "record_changed")
        ledger.release(claim, [later], 3600.0, "throttled")
        assert keys_of(claimed(ledger, run)) == [now]
        query = "SELECT state, release_reason, worker FROM sync.work_item WHERE prospect_key = :key"
        assert one(store, query, key=later) == {"state": "pending", "release_reason": "throttled", "worker": None}

    def test_what_was_lost_is_not_given_back(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        lapse(store)
        claimed(ledger, run, worker="w2")
        ledger.release(claim, keys_of(claim), 0.0, "late")
        assert claimed(ledger, run, worker="w3").items.empty
        assert one(store, "SELECT worker FROM sync.work_item")["worker"] == "w2"


class TestNextDue:
    def test_nothing_left(self, ledger: PostgresLedger, run: Run) -> None:
        assert ledger.next_due_s(run.run_id) is None
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        ledger.settle(claim, [created(claim, keys_of(claim)[0])])
        assert ledger.next_due_s(run.run_id) is None

    def test_due_now_leased_and_held_back(self, ledger: PostgresLedger, run: Run) -> None:
        discovered(ledger, run, "a")
        assert ledger.next_due_s(run.run_id) == 0.0
        claim = claimed(ledger, run, lease_s=1000.0)
        assert ledger.next_due_s(run.run_id) == pytest.approx(1000.0, abs=60.0)
        ledger.release(claim, keys_of(claim), 5000.0, "later")
        assert ledger.next_due_s(run.run_id) == pytest.approx(5000.0, abs=60.0)


class TestIntend:
    def test_an_attempt_stands_and_the_item_is_sent_before_anything_leaves(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        assert list(ledger.intend(claim, [intent(claim, key)])) == [key]
        assert one(store, "SELECT state, attempts FROM sync.work_item") == {"state": "sent", "attempts": 1}
        ledger.release(claim, [key], 0.0, "again")
        assert claimed(ledger, run).items["attempts"].tolist() == [1]

    def test_the_same_intent_twice_is_one_attempt(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        intents = [intent(claim, keys_of(claim)[0])]
        assert ledger.intend(claim, intents) == ledger.intend(claim, intents)
        assert one(store, "SELECT attempts FROM sync.work_item")["attempts"] == 1

    def test_nothing_is_sent_on_a_lease_that_has_run_out_or_was_lost(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        lapse(store)
        lost, lapsed = keys_of(claim)
        claimed(ledger, run, worker="w2", size=1)
        assert ledger.intend(claim, [intent(claim, lost), intent(claim, lapsed)]) == {}
        assert ledger.open_attempts(run.organization_id, [lost, lapsed]) == []
        assert ledger.intend(claim, []) == {}


def test_a_person_of_many_prospects_is_claimed_whole_also_at_a_runs_end(ledger: PostgresLedger, run: Run) -> None:
    many = [prospect(f"p{number:03}", email="one-person") for number in range(300)]
    ledger.store_prospects(run.run_id, "captello", [*many, prospect("other")])
    ledger.group_persons(run.run_id, by_name=False)
    sizes = [len(claimed(ledger, run, size=500).items) for _ in range(3)]
    assert sorted(sizes) == [0, 1, 300]


def test_a_runs_end_is_shared(ledger: PostgresLedger, run: Run) -> None:
    discovered(ledger, run, (f"p{number:03}" for number in range(1000)))
    sizes = [len(claimed(ledger, run, size=500).items) for _ in range(4)]
    assert sizes == [250, 188, 141, 125]
