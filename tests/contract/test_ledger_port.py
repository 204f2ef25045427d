"""The promises of the ledger port that the engine relies on, asked of the fake and of the database alike.

Only the port is used, so what is stated here is what the engine can see. How the database keeps its word (constraints,
locks, transactions) is the matter of `tests/contract/store/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect
from dynamics.core.extras import MadeExtra
from dynamics.core.ledger import (
    AttemptResult,
    Claim,
    LinkState,
    OpenAttempt,
    Outcome,
    PersonClaim,
    PersonHold,
    Run,
    RunCounts,
    Settlement,
)
from dynamics.errors import ConfigurationError
from dynamics.store.ledger import PostgresLedger
from dynamics.sync.ports import Ledger
from tests.contract.store.samples import (
    ORGANIZATION,
    SEEN_AT,
    claimed,
    created,
    discovered,
    fence_of,
    intent,
    keys_of,
    link,
    names_of,
    new_run,
    prospect,
    record_of,
)
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger

LEASE_S = 60.0
LATER = SEEN_AT + timedelta(minutes=1)


@dataclass(frozen=True)
class Subject:
    """A ledger, and how to let its time go by."""

    ledger: Ledger
    wait: Callable[[float], None]

    def expire_leases(self) -> None:
        self.wait(LEASE_S + 1.0)


def on_fake() -> Subject:
    clock = FakeClock()
    return Subject(FakeLedger(clock), clock.sleep)


def on_postgres(engine: sa.Engine) -> Subject:
    """The database goes by its own clock, so that everything it remembers is made older instead."""

    items = """
        UPDATE sync.work_item SET lease_until = lease_until - make_interval(secs => :seconds),
                                  available_at = available_at - make_interval(secs => :seconds)"""
    runs = "UPDATE sync.sync_run SET touched_at = touched_at - make_interval(secs => :seconds)"

    def wait(seconds: float) -> None:
        with engine.begin() as connection:
            for statement in (items, runs):
                connection.execute(sa.text(statement), {"seconds": seconds})

    return Subject(PostgresLedger(engine), wait)


@pytest.fixture(params=["fake", "postgres"])
def subject(request: pytest.FixtureRequest) -> Subject:
    return on_fake() if request.param == "fake" else on_postgres(request.getfixturevalue("store"))


@pytest.fixture
def ledger(subject: Subject) -> Ledger:
    return subject.ledger


@pytest.fixture
def run(ledger: Ledger) -> Run:
    return ledger.open_run(new_run())


def sent(ledger: Ledger, run: Run, name: str = "a") -> tuple[Claim, int, int]:
    """A claim whose one prospect's write is on its way: claim, prospect key, attempt id."""
    discovered(ledger, run, [name])
    claim = claimed(ledger, run)
    (key,) = keys_of(claim)
    return claim, key, ledger.intend(claim, [intent(claim, key)])[key]


def balance(counts: RunCounts) -> tuple[int, dict[str, int], int]:
    """Selected, outcomes told, and open."""
    told = {outcome.value: int(getattr(counts, outcome)) for outcome in Outcome}
    return counts.selected, {word: count for word, count in told.items() if count}, counts.open


def open_ids(ledger: Ledger, *keys: int) -> list[int]:
    return [attempt.attempt_id for attempt in ledger.open_attempts(ORGANIZATION, keys)]


class TestRuns:
    def test_a_dag_run_has_one_run(self, ledger: Ledger) -> None:
        first = ledger.open_run(new_run(dag_id="d", dag_run_id="r"))
        assert ledger.open_run(new_run(dag_id="d", dag_run_id="r")) == first == ledger.run(first.run_id)
        assert ledger.open_run(new_run(dag_id="d", dag_run_id="r2")).run_id != first.run_id
        assert ledger.open_run(new_run(dag_id="d2", dag_run_id="r")).run_id != first.run_id

    def test_runs_without_a_dag_run_are_each_their_own_and_one_stored_twice_is_one(self, ledger: Ledger) -> None:
        first, second = ledger.open_run(new_run()), ledger.open_run(new_run())
        assert first.run_id != second.run_id
        assert ledger.open_run(first) == first

    def test_there_is_no_such_run(self, ledger: Ledger) -> None:
        with pytest.raises(ConfigurationError, match="is not in the audit database"):
            ledger.run(uuid4())
        with pytest.raises(ConfigurationError, match="is not in the audit database"):
            ledger.claim(uuid4(), "w", 10, LEASE_S)

    def test_an_account_stays_bound_to_the_organisation_it_met_first(self, ledger: Ledger) -> None:
        other = uuid4()
        assert ledger.bind_account("a", ORGANIZATION, "https://a.example") == ORGANIZATION
        assert ledger.bind_account("a", other, "https://a.example") == ORGANIZATION
        assert ledger.bind_account("b", other, "https://b.example") == other

    def test_counts_balance_only_when_everyone_has_an_outcome(self, ledger: Ledger, run: Run) -> None:
        discovered(ledger, run, "abcdefg")
        claim = claimed(ledger, run)
        *told, last = keys_of(claim)
        for key, outcome in zip(told, Outcome, strict=True):
            ledger.settle(claim, [Settlement(key, fence_of(claim, key), 1, outcome)])
        assert balance(ledger.counts(run.run_id)) == (
            7,
            {"created": 1, "updated": 1, "unchanged": 1, "skipped": 1, "rejected": 1, "deferred": 1},
            1,
        )
        assert not ledger.finish_run(run.run_id, "failed", 0).balanced
        ledger.settle(claim, [Settlement(last, fence_of(claim, last), 1, Outcome.CREATED)])
        assert balance(ledger.finish_run(run.run_id, "failed", 0)) == (
            7,
            {"created": 2, "updated": 1, "unchanged": 1, "skipped": 1, "rejected": 1, "deferred": 1},
            0,
        )
        assert ledger.counts(run.run_id).balanced


class TestDiscovery:
    def test_a_page_seen_twice_adds_its_items_once(self, ledger: Ledger, run: Run) -> None:
        page = [prospect("a"), prospect("b"), prospect("a")]
        assert ledger.store_prospects(run.run_id, "captello", page) == 2
        assert ledger.store_prospects(run.run_id, "captello", [*page, prospect("c")]) == 1
        assert ledger.store_prospects(run.run_id, "file", [prospect("a")]) == 1, "another source, another prospect"
        assert ledger.store_prospects(run.run_id, "captello", []) == 0
        assert ledger.counts(run.run_id).selected == 4

    @pytest.mark.parametrize(
        ("second", "kept"),
        [
            (prospect("a", revision=3, payload={"n": 2}), (3, 2)),
            (prospect("a", revision=2, updated_at=LATER, payload={"n": 2}), (2, 2)),
            (prospect("a", revision=1, updated_at=LATER, payload={"n": 2}), (2, 1)),
        ],
    )
    @pytest.mark.parametrize("pages", [1, 2])
    def test_the_newest_revision_is_kept(
        self, ledger: Ledger, run: Run, second: DiscoveredProspect, kept: tuple[int, int], pages: int
    ) -> None:
        found = [prospect("a", revision=2, payload={"n": 1}), second]
        for page in [found] if pages == 1 else [[each] for each in found]:
            ledger.store_prospects(run.run_id, "captello", page)
        items = claimed(ledger, run).items
        assert [(r, p["n"]) for r, p in zip(items["revision"], items["payload"], strict=True)] == [kept]

    def test_a_run_claims_what_another_one_has_found_newer(self, ledger: Ledger, run: Run) -> None:
        ledger.store_prospects(run.run_id, "captello", [prospect("a")])
        other = ledger.open_run(new_run())
        ledger.store_prospects(other.run_id, "captello", [prospect("a", revision=2)])
        assert claimed(ledger, run).items["revision"].tolist() == [2]

    @pytest.mark.parametrize(
        ("by_name", "sizes", "claims"),
        [(False, (2, 2, 2), [["a", "d"], ["b"], ["c", "e"]]), (True, (4, 2), [["a", "c", "d", "e"], ["b"]])],
    )
    def test_a_claim_takes_whole_persons(
        self, ledger: Ledger, run: Run, by_name: bool, sizes: tuple[int, ...], claims: list[list[str]]
    ) -> None:
        """a and d share an e-mail, c and e another; d and e share a name, which chains all four."""
        people = [("a", "e1", "n1"), ("b", None, None), ("c", "e2", "n2"), ("d", "e1", "n3"), ("e", "e2", "n3")]
        page = [prospect(name, email=email_key, by_name=name_key) for name, email_key, name_key in people]
        ledger.store_prospects(run.run_id, "captello", page)
        ledger.group_persons(run.run_id, by_name)
        assert [sorted(names_of(claimed(ledger, run, size=size))) for size in sizes] == claims

    def test_a_person_larger_than_a_claim_is_handed_out_in_parts(self, ledger: Ledger, run: Run) -> None:
        ledger.store_prospects(run.run_id, "captello", [prospect(name, email="e") for name in "abc"])
        ledger.group_persons(run.run_id, by_name=False)
        assert [len(keys_of(claimed(ledger, run, size=2))) for _ in range(3)] == [2, 1, 0]


class TestClaim:
    def test_it_is_a_frame_of_the_promised_columns_also_when_nothing_is_due(self, ledger: Ledger, run: Run) -> None:
        discovered(ledger, run, "a")
        frames = [claimed(ledger, run).items for _ in range(2)]
        assert [len(frame) for frame in frames] == [1, 0]
        for frame in frames:
            assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
                "prospect_key": "int64",
                "source": "str",
                "prospect_id": "str",
                "revision": "int64",
                "payload": "object",
                "fence": "int64",
                "attempts": "int64",
            }

    def test_an_item_is_one_workers_until_its_lease_runs_out(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "ab")
        first, second = claimed(ledger, run, size=1), claimed(ledger, run, worker="w2")
        assert (names_of(first), names_of(second), names_of(claimed(ledger, run))) == (["a"], ["b"], [])
        subject.expire_leases()
        again = claimed(ledger, run, worker="w3")
        assert names_of(again) == ["a", "b"]
        for claim in (first, second):
            (key,) = keys_of(claim)
            assert fence_of(again, key) > fence_of(claim, key)

    def test_runs_have_items_of_their_own(self, ledger: Ledger, run: Run) -> None:
        other = ledger.open_run(new_run())
        for each in (run, other):
            discovered(ledger, each, "a")
            assert names_of(claimed(ledger, each)) == ["a"]

    def test_a_renewed_lease_stands_and_one_that_was_lost_is_told(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        subject.wait(LEASE_S / 2)
        assert ledger.extend(claim, LEASE_S)
        subject.wait(LEASE_S * 2 / 3)
        assert claimed(ledger, run, worker="w2").items.empty
        subject.expire_leases()
        claimed(ledger, run, worker="w2", size=1)
        assert not ledger.extend(claim, LEASE_S)

    def test_what_is_settled_is_not_lost_and_never_due_again(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "a")
        claim = claimed(ledger, run)
        ledger.settle(claim, [created(claim, keys_of(claim)[0])])
        assert ledger.extend(claim, LEASE_S)
        subject.expire_leases()
        assert claimed(ledger, run).items.empty

    def test_an_item_given_back_is_due_again_after_the_time_given(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "abc")
        claim = claimed(ledger, run)
        now, later, _ = keys_of(claim)
        ledger.release(claim, [now], 0.0, "record_changed")
        ledger.release(claim, [later], 30.0, "throttled")
        assert keys_of(claimed(ledger, run, worker="w2")) == [now]
        subject.wait(31.0)
        assert keys_of(claimed(ledger, run, worker="w3")) == [later]

    def test_only_what_is_held_can_be_given_back(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        lost, done = keys_of(claim)
        ledger.settle(claim, [created(claim, done)])
        subject.expire_leases()
        claimed(ledger, run, worker="w2")
        ledger.release(claim, [lost, done], 0.0, "too_late")
        assert claimed(ledger, run, worker="w3").items.empty

    def test_the_next_due_time_is_that_of_the_first_open_item(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        assert ledger.next_due_s(run.run_id) is None
        discovered(ledger, run, "ab")
        assert ledger.next_due_s(run.run_id) == 0.0
        claim = claimed(ledger, run, lease_s=1000.0)
        first, second = keys_of(claim)
        assert ledger.next_due_s(run.run_id) == pytest.approx(1000.0, abs=60.0)
        ledger.release(claim, [first], 5000.0, "later")
        assert ledger.next_due_s(run.run_id) == pytest.approx(1000.0, abs=60.0)
        ledger.settle(claim, [created(claim, second)])
        assert ledger.next_due_s(run.run_id) == pytest.approx(5000.0, abs=60.0)
        subject.wait(6000.0)
        assert ledger.next_due_s(run.run_id) == 0.0


class TestAttempts:
    def test_a_write_stands_before_it_is_sent(self, ledger: Ledger, run: Run) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        first, second = keys_of(claim)
        made = intent(
            claim, first, operation="update", etag='W/"7"', matched_by="email", duplicates_found=2, generation=1
        )
        numbers = ledger.intend(claim, [made, intent(claim, second)])
        assert sorted(numbers) == [first, second]
        one, other = ledger.open_attempts(ORGANIZATION, [second, first])
        assert [one.attempt_id, other.attempt_id] == sorted(numbers.values()), "oldest first"
        assert (one.intent, one.run_id, one.lease_until is None) == (made, run.run_id, False)
        assert open_ids(ledger, second) == [numbers[second]]
        assert ledger.open_attempts(uuid4(), [first, second]) == []

    def test_a_write_for_several_waits_when_one_of_them_has_something_newer(self, ledger: Ledger, run: Run) -> None:
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        first, second = keys_of(claim)
        ledger.store_prospects(ledger.open_run(new_run()).run_id, "captello", [prospect("b", revision=2)])
        together = intent(claim, first, member_keys=(first, second), member_revisions=(1, 1))
        assert ledger.intend(claim, [together]) == {}
        assert first in ledger.intend(claim, [intent(claim, first, member_keys=(first,), member_revisions=(1,))])

    def test_one_claim_of_an_item_makes_one_attempt(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        claim, key, attempt = sent(ledger, run)
        assert ledger.intend(claim, [intent(claim, key)]) == {key: attempt}
        subject.expire_leases()
        again = claimed(ledger, run)
        assert again.items["attempts"].tolist() == [1]
        (second,) = ledger.intend(again, [intent(again, key)]).values()
        assert open_ids(ledger, key) == [attempt, second]

    def test_nothing_is_sent_on_a_lease_that_ran_out_or_was_lost(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run)
        subject.expire_leases()
        keys = lost, lapsed = keys_of(claim)
        claimed(ledger, run, worker="w2", size=1)
        assert ledger.intend(claim, [intent(claim, lost), intent(claim, lapsed)]) == {}
        assert open_ids(ledger, *keys) == []

    def test_what_was_resolved_is_closed_for_good(self, ledger: Ledger, run: Run) -> None:
        _, key, attempt = sent(ledger, run)
        ledger.resolve([AttemptResult(attempt, "not_landed")])
        ledger.resolve([AttemptResult(attempt, "landed")])
        ledger.resolve([])
        assert open_ids(ledger, key) == []
        assert ledger.counts(run.run_id).open == 1, "the prospect is not settled by it"

    def test_an_attempt_of_a_stopped_worker_shows_no_lease(self, subject: Subject, run: Run) -> None:
        _, key, _ = sent(subject.ledger, run)
        subject.expire_leases()
        (attempt,) = subject.ledger.open_attempts(ORGANIZATION, [key])
        assert attempt.lease_until is None


class TestSettle:
    def test_item_link_and_attempt_are_settled_together(self, ledger: Ledger, run: Run) -> None:
        claim, key, attempt = sent(ledger, run)
        assert ledger.settle(claim, [created(claim, key)], [AttemptResult(attempt, "landed")]) == 1
        assert ledger.counts(run.run_id).balanced
        assert ledger.links(ORGANIZATION, [key]) == [link(key)]
        assert open_ids(ledger, key) == []

    def test_a_lost_fence_settles_nothing_and_leaves_the_evidence(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        zombie, key, attempt = sent(ledger, run)
        subject.expire_leases()
        heir = claimed(ledger, run, worker="w2")
        landed = AttemptResult(attempt, "landed")
        assert ledger.settle(zombie, [created(zombie, key)], [landed]) == 0
        assert (ledger.links(ORGANIZATION, [key]), open_ids(ledger, key)) == ([], [attempt])
        assert ledger.settle(heir, [created(heir, key, outcome=Outcome.UPDATED)], [landed]) == 1
        assert ledger.settle(zombie, [created(zombie, key)], [landed]) == 0
        assert balance(ledger.counts(run.run_id)) == (1, {"updated": 1}, 0)

    def test_a_lease_that_ran_out_and_that_nobody_took_still_settles(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        claim, key, attempt = sent(ledger, run)
        subject.expire_leases()
        assert ledger.settle(claim, [created(claim, key)], [AttemptResult(attempt, "landed")]) == 1

    def test_only_the_items_still_held_are_settled(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "abc")
        claim = claimed(ledger, run)
        lost, ours, returned = keys_of(claim)
        ledger.release(claim, [returned], 3600.0, "later")
        subject.expire_leases()
        claimed(ledger, run, worker="w2", size=1)
        assert ledger.settle(claim, [created(claim, key) for key in (lost, ours, returned)]) == 1
        assert [each.prospect_key for each in ledger.links(ORGANIZATION, keys_of(claim))] == [ours]

    def test_the_same_settlement_again_is_the_same_as_once(self, ledger: Ledger, run: Run) -> None:
        claim, key, _ = sent(ledger, run)
        assert [ledger.settle(claim, [created(claim, key)]) for _ in range(2)] == [1, 1]
        assert ledger.counts(run.run_id).created == 1

    def test_results_are_kept_for_what_is_not_settled_yet(self, ledger: Ledger, run: Run) -> None:
        claim, key, attempt = sent(ledger, run)
        assert ledger.settle(claim, [], [AttemptResult(attempt, "not_landed")]) == 0
        assert open_ids(ledger, key) == []
        assert ledger.settle(claim, [created(claim, key)]) == 1

    def test_a_link_per_table_is_replaced_by_the_next_settlement(self, ledger: Ledger) -> None:
        def settle(**changes: object) -> int:
            run = ledger.open_run(new_run())
            discovered(ledger, run, "a")
            claim = claimed(ledger, run)
            (key,) = keys_of(claim)
            ledger.settle(claim, [created(claim, key, link=link(key, **changes) if changes else None)])
            return key

        key = settle(content_hash="c1")
        moved = link(key, record_id=uuid4(), state=LinkState.MERGED, generation=1, content_hash=None, column_hashes={})
        settle(**vars(moved))
        settle(table="contact")
        settle()
        found = {each.table: each for each in ledger.links(ORGANIZATION, [key])}
        assert found == {"lead": moved, "contact": link(key, table="contact")}
        assert ledger.links(uuid4(), [key]) == []

    def test_what_an_older_revision_settles_leaves_the_newer_ones_link(self, ledger: Ledger) -> None:
        for revision, content in ((2, "newer"), (1, "older")):
            run = ledger.open_run(new_run())
            discovered(ledger, run, "a")
            claim = claimed(ledger, run)
            (key,) = keys_of(claim)
            said = created(claim, key, revision=revision, link=link(key, content_hash=content))
            assert ledger.settle(claim, [said]) == 1
        assert [each.content_hash for each in ledger.links(ORGANIZATION, [key])] == ["newer"]


class TestSettleAttempt:
    """Settling by another run what a stopped one left open."""

    @staticmethod
    def _left_open(subject: Subject, run: Run) -> tuple[Claim, OpenAttempt]:
        claim, key, _ = sent(subject.ledger, run)
        subject.expire_leases()
        (attempt,) = subject.ledger.open_attempts(ORGANIZATION, [key])
        return claim, attempt

    @pytest.mark.parametrize("closed", [False, True])
    def test_what_landed_is_settled_with_its_link_and_counted(self, subject: Subject, run: Run, closed: bool) -> None:
        ledger = subject.ledger
        claim, attempt = self._left_open(subject, run)
        if closed:
            ledger.finish_run(run.run_id, "failed", 0)
        key = attempt.intent.prospect_key
        assert ledger.settle_attempts([(attempt, created(claim, key, recovered=True, fence=99))])
        assert (open_ids(ledger, key), ledger.links(ORGANIZATION, [key])) == ([], [link(key)])
        assert balance(ledger.counts(run.run_id)) == (1, {"created": 1}, 0)
        assert ledger.settle(claim, [created(claim, key)]) == 0, "the late worker settles nothing"

    def test_an_item_that_was_given_back_is_settled_as_well(self, ledger: Ledger, run: Run) -> None:
        claim, key, _ = sent(ledger, run)
        ledger.release(claim, [key], 3600.0, "outcome_unknown")
        (attempt,) = ledger.open_attempts(ORGANIZATION, [key])
        assert ledger.settle_attempts([(attempt, created(claim, key, recovered=True))])
        assert ledger.next_due_s(run.run_id) is None

    def test_of_a_settled_item_the_attempt_is_closed_and_the_outcome_stands(self, ledger: Ledger, run: Run) -> None:
        claim, key, _ = sent(ledger, run)
        ledger.settle(claim, [created(claim, key, outcome=Outcome.UNCHANGED)])
        (attempt,) = ledger.open_attempts(ORGANIZATION, [key])
        assert not ledger.settle_attempts([(attempt, created(claim, key, recovered=True))])
        assert open_ids(ledger, key) == []
        assert balance(ledger.counts(run.run_id)) == (1, {"unchanged": 1}, 0)

    def test_an_item_in_the_hands_of_a_worker_is_left_to_it(self, ledger: Ledger, run: Run) -> None:
        claim, key, number = sent(ledger, run)
        (attempt,) = ledger.open_attempts(ORGANIZATION, [key])
        assert not ledger.settle_attempts([(attempt, created(claim, key, recovered=True))])
        assert open_ids(ledger, key) == [number]
        assert ledger.settle(claim, [created(claim, key)]) == 1


class TestPersons:
    @pytest.fixture
    def claims(self, ledger: Ledger, run: Run) -> list[Claim]:
        """Three workers with one prospect each."""
        discovered(ledger, run, "abc")
        return [claimed(ledger, run, worker=f"w{number}", size=1) for number in range(3)]

    @staticmethod
    def _wish(claim: Claim, *keys: str) -> PersonClaim:
        (key,) = keys_of(claim)
        return PersonClaim(key, "lead", record_of(key), keys)

    def _ask(self, ledger: Ledger, claim: Claim, *keys: str) -> PersonHold:
        (hold,) = ledger.hold_persons(ORGANIZATION, claim, [self._wish(claim, *keys)])
        return hold

    def test_who_asks_first_holds_and_may_ask_again(self, ledger: Ledger, claims: list[Claim]) -> None:
        (key,) = keys_of(claims[0])
        ours = PersonHold(key, record_of(key), mine=True, settled=False, busy_until=None)
        assert [self._ask(ledger, claims[0], "e", "n") for _ in range(2)] == [ours, ours]
        assert ledger.hold_persons(ORGANIZATION, claims[0], []) == []

    def test_the_others_are_told_the_record_and_that_its_creator_is_at_it(
        self, ledger: Ledger, claims: list[Claim]
    ) -> None:
        ours = self._ask(ledger, claims[0], "e")
        told = self._ask(ledger, claims[1], "e")
        assert (told.mine, told.settled, told.record_id) == (False, False, ours.record_id)
        assert told.busy_until is not None

    def test_a_person_that_was_created_is_settled(self, ledger: Ledger, claims: list[Claim]) -> None:
        ours = self._ask(ledger, claims[0], "e")
        ledger.settle(claims[0], [created(claims[0], ours.prospect_key)])
        told = self._ask(ledger, claims[1], "e")
        assert (told.mine, told.settled, told.busy_until) == (False, True, None)
        assert told.record_id == ours.record_id

    def test_a_link_to_a_dead_record_settles_no_person(self, ledger: Ledger, claims: list[Claim]) -> None:
        ours = self._ask(ledger, claims[0], "e")
        dead = link(ours.prospect_key, state=LinkState.DELETED)
        ledger.settle(claims[0], [created(claims[0], ours.prospect_key, outcome=Outcome.SKIPPED, link=dead)])
        assert not self._ask(ledger, claims[1], "e").settled

    def test_of_one_call_the_first_wish_for_a_key_holds_in_the_order_asked(self, ledger: Ledger, run: Run) -> None:
        discovered(ledger, run, "abcd")
        claim = claimed(ledger, run)
        a, b, c, d = keys_of(claim)
        wishes = {b: ("k1",), a: ("k1", "k2"), c: ("k2",), d: ("k3",)}
        holds = ledger.hold_persons(
            ORGANIZATION, claim, [PersonClaim(key, "lead", record_of(key), keys) for key, keys in wishes.items()]
        )
        assert [(hold.prospect_key, hold.mine, hold.record_id) for hold in holds] == [
            (b, True, record_of(b)),
            (a, False, record_of(b)),
            (c, False, record_of(b)),
            (d, True, record_of(d)),
        ]
        assert [hold.busy_until is not None for hold in holds] == [False, True, True, False]

    def test_free_keys_follow_the_key_that_is_taken(self, ledger: Ledger, claims: list[Claim]) -> None:
        ours = self._ask(ledger, claims[0], "n")
        assert self._ask(ledger, claims[1], "e", "n").record_id == ours.record_id
        assert self._ask(ledger, claims[2], "e").record_id == ours.record_id

    def test_of_two_persons_the_stronger_key_decides(self, ledger: Ledger, claims: list[Claim]) -> None:
        by_email, by_name = self._ask(ledger, claims[0], "e"), self._ask(ledger, claims[1], "n")
        assert self._ask(ledger, claims[2], "e", "n").record_id == by_email.record_id != by_name.record_id

    def test_tables_and_organisations_are_apart(self, ledger: Ledger, claims: list[Claim]) -> None:
        self._ask(ledger, claims[0], "e")
        (key,) = keys_of(claims[1])
        contact = PersonClaim(key, "contact", record_of(key), ("e",))
        assert ledger.hold_persons(ORGANIZATION, claims[1], [contact])[0].mine
        assert ledger.hold_persons(uuid4(), claims[2], [self._wish(claims[2], "e")])[0].mine

    def test_a_dead_holder_has_one_heir_under_the_same_record_id(self, subject: Subject, claims: list[Claim]) -> None:
        ledger, (dead, heir, late) = subject.ledger, claims
        left = self._ask(ledger, dead, "e")
        subject.expire_leases()
        ledger.extend(heir, LEASE_S)
        ledger.extend(late, LEASE_S)
        told = self._ask(ledger, heir, "e")
        assert (told.mine, told.busy_until, told.record_id) == (False, None, left.record_id)
        told = self._ask(ledger, late, "e")
        assert (told.busy_until is not None, told.record_id) == (True, left.record_id)

    def test_a_holder_that_created_nothing_is_not_waited_for(self, ledger: Ledger, claims: list[Claim]) -> None:
        ours = self._ask(ledger, claims[0], "e")
        rejected = Settlement(ours.prospect_key, fence_of(claims[0], ours.prospect_key), 1, Outcome.REJECTED)
        ledger.settle(claims[0], [rejected])
        told = self._ask(ledger, claims[1], "e")
        assert (told.settled, told.busy_until, told.record_id) == (False, None, ours.record_id)

    def test_a_prospect_in_two_runs_is_created_by_one_of_them(self, subject: Subject, claims: list[Claim]) -> None:
        ledger = subject.ledger
        other = ledger.open_run(new_run())
        discovered(ledger, other, "a")
        elsewhere = claimed(ledger, other)
        assert keys_of(elsewhere) == keys_of(claims[0])
        self._ask(ledger, claims[0], "e")
        told = self._ask(ledger, elsewhere, "e")
        assert (told.mine, told.busy_until is not None) == (False, True)
        subject.expire_leases()
        assert self._ask(ledger, elsewhere, "e").mine

    def test_a_person_whose_record_is_gone_gets_one_new_one(self, ledger: Ledger, claims: list[Claim]) -> None:
        first, second, third = claims
        gone = self._ask(ledger, first, "e", "n")
        ledger.settle(first, [created(first, gone.prospect_key)])
        for claim in (second, third):
            ledger.replace_person(ORGANIZATION, self._wish(claim, "e", "unheard of"), gone.record_id)
        told = self._ask(ledger, second, "e")
        assert (told.mine, told.settled, told.record_id) == (True, False, record_of(told.prospect_key))
        assert self._ask(ledger, third, "n").record_id == gone.record_id, "a key that was not named stays"


class TestAbandon:
    STALE_S = 900.0

    def _abandon(self, ledger: Ledger, **changes: object) -> int:
        run = new_run(**changes)
        return ledger.abandon_stale_runs(run.account, run.organization_id, self.STALE_S, run.run_id)

    def test_what_nobody_works_on_any_more_is_deferred(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "ab")
        claim = claimed(ledger, run, size=1)
        assert self._abandon(ledger) == 0, "touched just now"
        subject.wait(self.STALE_S + 1.0)
        assert self._abandon(ledger, account="another") == 0
        assert self._abandon(ledger, organization_id=uuid4()) == 0
        assert self._abandon(ledger, run_id=run.run_id) == 0
        assert self._abandon(ledger) == 2
        assert balance(ledger.counts(run.run_id)) == (2, {"deferred": 2}, 0)
        assert ledger.settle(claim, [created(claim, keys_of(claim)[0])]) == 0
        assert self._abandon(ledger) == 0

    def test_a_lease_or_a_new_prospect_keeps_a_run_alive(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        leased = ledger.open_run(new_run())
        discovered(ledger, leased, "a")
        claimed(ledger, leased, lease_s=self.STALE_S * 2)
        discovered(ledger, run, "a")
        subject.wait(self.STALE_S + 1.0)
        discovered(ledger, run, "b")
        assert self._abandon(ledger) == 0

    def test_a_write_that_may_have_landed_is_left_to_whoever_reads_the_crm(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        _, key, attempt = sent(ledger, run)
        discovered(ledger, run, "b")
        subject.wait(self.STALE_S + 1.0)
        assert self._abandon(ledger) == 1
        assert (ledger.counts(run.run_id).open, open_ids(ledger, key)) == (1, [attempt])
        ledger.resolve([AttemptResult(attempt, "not_landed")])
        assert self._abandon(ledger) == 1
        assert ledger.counts(run.run_id).balanced

    def test_a_run_that_was_closed_with_work_pending_is_cleared_too(self, subject: Subject, run: Run) -> None:
        ledger = subject.ledger
        discovered(ledger, run, "a")
        ledger.finish_run(run.run_id, "failed", 0)
        subject.wait(self.STALE_S + 1.0)
        assert self._abandon(ledger) == 1


class TestExtras:
    def test_what_was_made_is_remembered_in_its_organisation(self, ledger: Ledger, run: Run) -> None:
        key = keys_of(sent(ledger, run)[0])[0]
        response, account_id, other = uuid4(), uuid4(), uuid4()
        for _ in range(2):
            made = [MadeExtra(response, "campaignresponse", key), MadeExtra(account_id, "account")]
            ledger.keep_extras(ORGANIZATION, made)
        assert ledger.extras_made(ORGANIZATION, [response, account_id, other]) == {response, account_id}
        assert ledger.extras_made(uuid4(), [response]) == set()

    def test_nothing_asked_is_nothing_made(self, ledger: Ledger) -> None:
        ledger.keep_extras(ORGANIZATION, [])
        assert ledger.extras_made(ORGANIZATION, []) == set()
