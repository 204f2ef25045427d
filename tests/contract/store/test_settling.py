"""Settling: once per prospect and run, by whoever holds the fence, all of it or nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import AttemptResult, LinkState, Outcome, PersonClaim, Run, Settlement
from dynamics.errors import ContractError
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
    link,
    new_run,
    one,
    record_of,
    rows,
)


def test_outcome_link_attempt_and_item_are_settled_together(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    ledger.bind_account("dynamics_default", ORGANIZATION, "https://org.crm4.dynamics.com/")
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    (key,) = keys_of(claim)
    attempts = ledger.intend(claim, [intent(claim, key)])
    settled = ledger.settle(claim, [created(claim, key)], [AttemptResult(attempts[key], "landed", None, "r9")])
    assert settled == 1
    outcome = one(store, "SELECT * FROM sync.audit_outcome")
    assert outcome["settled_at"].tzinfo is not None
    assert {name: outcome[name] for name in outcome if name not in ("settled_at", "run_id", "record_id")} == {
        "action": "booth-leads",
        "account": "dynamics_default",
        "trigger": "bulk",
        "source": "captello",
        "prospect_id": "a",
        "revision": 1,
        "outcome": "created",
        "reason": None,
        "table_name": "lead",
        "record_url": f"https://org.crm4.dynamics.com/main.aspx?pagetype=entityrecord&etn=lead&id={record_of(key)}",
        "matched_by": None,
        "duplicates_found": 0,
        "error_code": None,
        "error_message": None,
        "error_column": None,
        "changed_columns": ["lastname"],
        "request_id": "r1",
        "attempts": 1,
        "recovered": False,
    }
    assert ledger.links(ORGANIZATION, [key]) == [link(key)]
    assert one(store, "SELECT state, account, prospect_id FROM sync.audit_link") == {
        "state": "live",
        "account": "dynamics_default",
        "prospect_id": "a",
    }
    assert ledger.open_attempts(ORGANIZATION, [key]) == []
    assert one(store, "SELECT result, request_id FROM sync.attempt") == {"result": "landed", "request_id": "r9"}
    assert one(store, "SELECT state, lease_until FROM sync.work_item") == {"state": "settled", "lease_until": None}


def test_a_worker_that_lost_its_fence_settles_nothing_and_leaves_the_evidence(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "a")
    zombie = claimed(ledger, run)
    (key,) = keys_of(zombie)
    attempts = ledger.intend(zombie, [intent(zombie, key)])
    lapse(store)
    heir = claimed(ledger, run, worker="w2")
    assert ledger.settle(zombie, [created(zombie, key)], [AttemptResult(attempts[key], "landed")]) == 0
    assert (rows(store, "SELECT 1 FROM sync.outcome"), ledger.links(ORGANIZATION, [key])) == ([], [])
    assert [attempt.attempt_id for attempt in ledger.open_attempts(ORGANIZATION, [key])] == [attempts[key]]
    assert ledger.settle(heir, [created(heir, key, recovered=True)], [AttemptResult(attempts[key], "landed")]) == 1
    assert ledger.settle(zombie, [created(zombie, key, outcome=Outcome.UPDATED)]) == 0
    assert one(store, "SELECT outcome, recovered FROM sync.outcome") == {"outcome": "created", "recovered": True}
    assert ledger.open_attempts(ORGANIZATION, [key]) == []


def test_only_the_items_still_held_are_settled(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "ab")
    claim = claimed(ledger, run)
    lapse(store)
    lost, ours = keys_of(claim)
    claimed(ledger, run, worker="w2", size=1)
    assert ledger.settle(claim, [created(claim, lost), created(claim, ours)]) == 1
    assert one(store, "SELECT prospect_key FROM sync.outcome")["prospect_key"] == ours


def test_an_item_given_back_is_not_settled(ledger: PostgresLedger, run: Run) -> None:
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    ledger.release(claim, keys_of(claim), 0.0, "later")
    assert ledger.settle(claim, [created(claim, keys_of(claim)[0])]) == 0


def test_the_same_settlement_again_is_the_same_as_once(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    settlements = [created(claim, keys_of(claim)[0])]
    assert [ledger.settle(claim, settlements), ledger.settle(claim, settlements)] == [1, 1]
    assert len(rows(store, "SELECT 1 FROM sync.outcome")) == 1


def test_results_are_kept_for_items_that_are_not_settled_yet(ledger: PostgresLedger, run: Run) -> None:
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    (key,) = keys_of(claim)
    attempts = ledger.intend(claim, [intent(claim, key)])
    assert ledger.settle(claim, [], [AttemptResult(attempts[key], "not_landed", "0x80060882")]) == 0
    assert ledger.open_attempts(ORGANIZATION, [key]) == []


def test_a_settlement_the_database_refuses_settles_nothing_of_the_chunk(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "ab")
    claim = claimed(ledger, run)
    good, bad = keys_of(claim)
    settlements = [created(claim, good), created(claim, bad, matched_by="guess", error_message="secret person")]
    with pytest.raises(ContractError, match="23514") as caught:
        ledger.settle(claim, settlements)
    assert "secret person" not in repr(caught.value) + str(caught.value.__cause__)
    assert rows(store, "SELECT 1 FROM sync.outcome") == []
    assert {row["state"] for row in rows(store, "SELECT state FROM sync.work_item")} == {"claimed"}


def test_a_rejection_has_its_column_and_code_and_nul_never_keeps_an_outcome_out(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    discovered(ledger, run, "a")
    claim = claimed(ledger, run)
    rejected = Settlement(
        keys_of(claim)[0],
        1,
        1,
        Outcome.REJECTED,
        reason="too_long",
        error_code="mapping.too_long",
        error_column="lastname",
        error_message="too\0 long \ud83d",
        warnings=("cut: jobtitle",),
    )
    assert ledger.settle(claim, [rejected]) == 1
    (row,) = AuditLog(store).outcomes(run.run_id)
    assert (row.error_column, row.error_code, row.error_message) == ("lastname", "mapping.too_long", "too long \ufffd")
    assert (row.warnings, row.record_url, row.table_name) == (["cut: jobtitle"], None, None)


def test_a_link_moves_and_remembers_since_when_it_names_its_record(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    def settle(**changes: object) -> dict[str, object]:
        each = ledger.open_run(new_run())
        discovered(ledger, each, "a")
        claim = claimed(ledger, each)
        key = keys_of(claim)[0]
        ledger.settle(claim, [created(claim, key, link=link(key, **changes))])
        return one(store, "SELECT linked_at, settled_at, state, content_hash FROM sync.audit_link")

    first = settle()
    same = settle(content_hash="c2", state=LinkState.MERGED)
    moved = settle(record_id=uuid4(), generation=1)
    assert (same["linked_at"], same["state"], same["content_hash"]) == (first["linked_at"], "merged", "c2")
    assert moved["linked_at"] == moved["settled_at"] != first["linked_at"]


def test_a_dry_run_names_no_record_that_was_never_created(ledger: PostgresLedger, store: sa.Engine) -> None:
    ledger.bind_account("dynamics_default", ORGANIZATION, "https://org.crm4.dynamics.com")
    dry = ledger.open_run(new_run(dry_run=True))
    discovered(ledger, dry, "a")
    claim = claimed(ledger, dry)
    ledger.settle(claim, [created(claim, keys_of(claim)[0], link=None)])
    assert one(store, "SELECT record_url FROM sync.audit_outcome")["record_url"] is None


def test_the_person_of_a_settled_record_is_known_to_exist(ledger: PostgresLedger, run: Run) -> None:
    discovered(ledger, run, "ab")
    claim = claimed(ledger, run)
    first, second = keys_of(claim)
    wish = PersonClaim(first, "lead", record_of(first), ("k1",))
    ledger.hold_persons(ORGANIZATION, claim, [wish])
    ledger.settle(claim, [created(claim, first)])
    (hold,) = ledger.hold_persons(ORGANIZATION, claim, [PersonClaim(second, "lead", record_of(second), ("k1",))])
    assert (hold.settled, hold.mine, hold.record_id) == (True, False, record_of(first))


class TestOpenAttempts:
    def test_of_a_killed_run_they_are_found_by_another_one(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        made = intent(
            claim, key, operation="update", etag='W/"7"', matched_by="email", duplicates_found=2, generation=1
        )
        attempts = ledger.intend(claim, [made])
        (live,) = ledger.open_attempts(ORGANIZATION, [key])
        lapse(store)
        (dead,) = ledger.open_attempts(ORGANIZATION, [key])
        assert live.lease_until is not None
        assert dead.lease_until is None
        assert replace(live, lease_until=None) == dead
        assert (dead.attempt_id, dead.run_id, dead.intent) == (attempts[key], run.run_id, made)
        assert ledger.open_attempts(uuid4(), [key]) == []

    def test_a_lease_is_told_by_the_clock_of_whoever_asks(
        self, run: Run, ledger: PostgresLedger, store: sa.Engine
    ) -> None:
        wrong = PostgresLedger(store, now=lambda: datetime(2001, 1, 1, tzinfo=UTC))
        discovered(ledger, run, "a")
        claim = claimed(ledger, run, lease_s=3600.0)
        (key,) = keys_of(claim)
        ledger.intend(claim, [intent(claim, key)])
        (attempt,) = wrong.open_attempts(ORGANIZATION, [key])
        assert attempt.lease_until is not None
        assert attempt.lease_until.year == 2001

    def test_resolved_ones_are_gone_and_the_first_result_stands(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        attempt_id = ledger.intend(claim, [intent(claim, key)])[key]
        ledger.resolve([AttemptResult(attempt_id, "refused", "0x80048408")])
        ledger.resolve([AttemptResult(attempt_id, "landed")])
        ledger.resolve([])
        assert ledger.open_attempts(ORGANIZATION, [key]) == []
        assert one(store, "SELECT result, code FROM sync.attempt") == {"result": "refused", "code": "0x80048408"}


class TestSettleAttempt:
    def test_it_settles_the_item_of_a_stopped_run(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        ledger.intend(claim, [intent(claim, key)])
        ledger.finish_run(run.run_id, "failed", 0)
        lapse(store)
        (attempt,) = ledger.open_attempts(ORGANIZATION, [key])
        assert ledger.settle_attempts([(attempt, created(claim, key, recovered=True))]) == 1
        assert one(store, "SELECT outcome, recovered FROM sync.outcome") == {"outcome": "created", "recovered": True}
        assert one(store, "SELECT result FROM sync.attempt")["result"] == "landed"
        assert one(store, "SELECT created FROM sync.audit_run")["created"] == 1
        assert ledger.links(ORGANIZATION, [key]) == [link(key)]
        assert ledger.settle_attempts([(attempt, created(claim, key, recovered=True))]) == 0
        assert ledger.settle(claim, [created(claim, key)]) == 0

    def test_an_attempt_of_a_settled_item_is_closed_and_the_outcome_stands(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        ledger.intend(claim, [intent(claim, key)])
        ledger.settle(claim, [created(claim, key, outcome=Outcome.UNCHANGED)])
        (attempt,) = ledger.open_attempts(ORGANIZATION, [key])
        assert ledger.settle_attempts([(attempt, created(claim, key, recovered=True))]) == 0
        assert ledger.open_attempts(ORGANIZATION, [key]) == []
        assert one(store, "SELECT outcome FROM sync.outcome")["outcome"] == "unchanged"

    def test_an_item_in_the_hands_of_a_worker_is_left_to_it(self, ledger: PostgresLedger, run: Run) -> None:
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        (key,) = keys_of(claim)
        ledger.intend(claim, [intent(claim, key)])
        (attempt,) = ledger.open_attempts(ORGANIZATION, [key])
        assert ledger.settle_attempts([(attempt, created(claim, key, recovered=True))]) == 0
        assert ledger.open_attempts(ORGANIZATION, [key]) != []
        assert ledger.settle(claim, [created(claim, key)]) == 1


def test_the_audit_log_pages_outcomes_and_sums_up_causes(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "abcd")
    claim = claimed(ledger, run)
    first, *rest = keys_of(claim)
    refused = [
        Settlement(
            key, 1, 1, Outcome.REJECTED, reason="required", error_code="mapping.required", error_column="lastname"
        )
        for key in rest[:2]
    ]
    deferred = Settlement(rest[2], 1, 1, Outcome.DEFERRED, reason="on_hold")
    ledger.settle(claim, [created(claim, first), *refused, deferred])
    audit = AuditLog(store)
    assert [row.prospect_id for row in audit.outcomes(run.run_id)] == ["a", "b", "c", "d"]
    assert [row.prospect_id for row in audit.outcomes(run.run_id, limit=2, offset=1)] == ["b", "c"]
    assert [row.prospect_id for row in audit.outcomes(run.run_id, outcome="rejected")] == ["b", "c"]
    assert [str(cause) for cause in audit.causes(run.run_id)] == [
        "2 rejected: required, column lastname",
        "1 deferred: on_hold",
    ]
    assert audit.outcomes(run.run_id)[0].as_dict()["outcome"] == "created"
    assert audit.causes(uuid4()) == []
