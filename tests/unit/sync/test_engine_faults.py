"""The engine on fakes: merged records, faults that pass or do not, refusals of everybody, and being told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from dynamics.core.crm import CandidateQuery, JsonObject, RecordWrite, WriteReport, WriteResult, WriteState
from dynamics.core.ledger import Claim, LinkState, Outcome, Run
from dynamics.core.throttle import Traffic
from dynamics.errors import AccessError, AccountError, ServiceUnavailableError, StoppedError
from dynamics.sync.engine import Engine, Lane
from tests.fakes.clock import FakeClock
from tests.fakes.crm import US
from tests.unit.sync.test_engine import ANA, MAPPINGS, ORGANIZATION, POLICY, Stage, ana, stage, words

__all__ = ["stage"]

CHANGED = ana(revision=2, job_title="Director")


def merge(stage: Stage, loser: UUID, winner: UUID) -> None:
    """As the CRM does it: the loser is closed and names the winner; it may still be edited, and must not be."""
    stage.crm.put("lead", loser, {"statecode": 1, "merged": True, "_masterid_value": str(winner)})


def winner(stage: Stage, **values: Any) -> UUID:
    record_id = uuid4()
    stage.crm.put("lead", record_id, {"lastname": "Ruiz", "emailaddress1": "ana@orel.test"} | values)
    return record_id


# ---------------------------------------------------------------- merged records


def test_a_merge_is_followed_to_its_winner_and_the_link_goes_there_once(stage: Stage) -> None:
    stage.sync(ana())
    last = winner(stage)
    merge(stage, ANA, middle := winner(stage))
    merge(stage, middle, last)
    loser = dict(stage.leads[ANA])
    [told] = stage.sync(CHANGED)
    assert (told.outcome, told.reason, told.record_id) == (Outcome.UPDATED, "followed_merge", last)
    assert stage.leads[last]["jobtitle"] == "Director"
    assert stage.leads[ANA] == loser
    [again] = stage.sync(ana(revision=3, job_title="Owner"))
    assert (again.outcome, again.reason, again.record_id) == (Outcome.UPDATED, None, last)
    assert len(stage.leads) == 3


def test_what_we_had_settled_in_the_loser_does_not_overwrite_the_winner(stage: Stage) -> None:
    stage.sync(ana())
    merge(stage, ANA, last := winner(stage, jobtitle="Kept by a person"))
    [told] = stage.sync(ana(revision=2, company={"name": "Orel Labs"}))
    assert told.changed_columns == ("companyname",)
    assert stage.leads[last]["jobtitle"] == "Kept by a person"


def test_merges_in_a_circle_are_held(stage: Stage) -> None:
    stage.sync(ana())
    merge(stage, ANA, other := winner(stage))
    merge(stage, other, ANA)
    before = {record_id: dict(record) for record_id, record in stage.leads.items()}
    assert words(stage.sync(CHANGED)) == [("deferred", "merge_loop")]
    assert stage.leads == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [(None, "record_deleted"), ("orphan", "record_deleted"), ({"statecode": 2}, "record_deactivated")],
    ids=["gone", "gone, and forgotten by the loser", "closed"],
)
def test_a_winner_that_is_gone_or_closed_is_left_alone(stage: Stage, change: Any, reason: str) -> None:
    stage.sync(ana())
    merge(stage, ANA, last := winner(stage))
    if change is None or change == "orphan":
        del stage.leads[last]
        if change == "orphan":
            stage.crm.put("lead", ANA, {"_masterid_value": None})
    else:
        stage.crm.put("lead", last, change)
    assert words(stage.sync(CHANGED)) == [("skipped", reason)]
    [link] = stage.ledger.links(ORGANIZATION, [1])
    assert link.state is not LinkState.MERGED


def test_a_person_whose_record_was_merged_is_found_in_the_winner(stage: Stage) -> None:
    stage.sync(ana())
    merge(stage, ANA, last := winner(stage))
    stage.crm.lag = {last}
    [told] = stage.sync(ana(id="pro_benbenben", job_title="Director"))
    assert (told.outcome, told.record_id) == (Outcome.UPDATED, last)
    assert len(stage.leads) == 2


# ---------------------------------------------------------------- faults


def failing(stage: Stage, error: Exception, times: int) -> list[float]:
    """Queries that fail so often; gives the instants at which they were asked."""
    real, asked = stage.crm.find, []

    def find(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        asked.append(stage.clock.monotonic())
        if len(asked) <= times:
            raise error
        return real(queries)

    stage.crm.find = find  # type: ignore[method-assign]
    return asked


def test_a_sign_in_that_is_refused_for_some_seconds_is_waited_out(stage: Stage) -> None:
    asked = failing(stage, AccessError("sign in", "connection c", detail="disabled"), times=2)
    assert words(stage.sync(ana())) == [("created", None)]
    assert asked[-1] - asked[0] >= 5.0


def test_a_sign_in_that_stays_refused_ends_the_work_after_three_tries(stage: Stage) -> None:
    asked = failing(stage, AccessError("sign in", "connection c", detail="disabled"), times=99)
    run = stage.run(ana())
    with pytest.raises(AccessError, match="connection c"):
        stage.drain(run)
    assert len(asked) == 3
    assert stage.told(run) == []


def test_an_outage_that_lasts_is_left_to_the_tasks_retry(stage: Stage) -> None:
    asked = failing(stage, ServiceUnavailableError("find", "lead", status=503), times=99)
    run = stage.run(ana())
    with pytest.raises(ServiceUnavailableError):
        stage.drain(run)
    assert asked[-1] - asked[0] < 60.0
    assert stage.told(run) == []


def test_where_the_account_is_in_doubt_nobody_is_rejected(stage: Stage) -> None:
    """A plug-in that refuses everybody: the client stops, and what it had heard until then is not held against rows."""
    real = stage.crm.create

    def refuse_all(table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        refused = {w.record_id: WriteResult(w.record_id, WriteState.REFUSED, code="0x80040265") for w in writes}
        return WriteReport(refused, AccountError("create", table, detail="everybody is refused"))

    stage.crm.create = refuse_all  # type: ignore[method-assign]
    run = stage.run(ana())
    with pytest.raises(AccountError, match="everybody"):
        stage.drain(run)
    assert stage.told(run) == []
    stage.crm.create = real  # type: ignore[method-assign]
    stage.drain(run)
    assert words(stage.told(run)) == [("created", None)]


def test_being_turned_away_unread_is_no_try(stage: Stage) -> None:
    real, turned_away = stage.crm.create, []

    def throttled(table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        turned_away.append(table)
        return WriteReport({}) if len(turned_away) <= 7 else real(table, writes)

    stage.crm.create = throttled  # type: ignore[method-assign]
    assert words(stage.sync(ana())) == [("created", None)]


def test_a_row_that_upsets_the_service_keeps_no_other_from_landing(stage: Stage) -> None:
    real = stage.crm.create

    def upset(table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        poison = [write for write in writes if write.values["lastname"] == "Poison"]
        unknown = {w.record_id for w in (writes if any(not w.isolated for w in poison) else poison)}
        report = real(table, [write for write in writes if write.record_id not in unknown])
        return WriteReport({**report.results, **{i: WriteResult(i, WriteState.UNKNOWN) for i in unknown}})

    stage.crm.create = upset  # type: ignore[method-assign]
    people = [ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(4)]
    told = stage.sync(*people, ana(id="pro_poison", email="p@orel.test", last_name="Poison"))
    assert words(told) == [("created", None)] * 4 + [("deferred", "no_answer")]


def test_one_users_refusals_among_good_chunks_end_the_work_too(stage: Stage) -> None:
    """Of several application users one is locked out: half of the requests are refused, the others go through."""
    run = stage.run(*(ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(20)))
    real, asked = stage.crm.find, []

    def find(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        asked.append(1)
        if len(asked) % 2:
            raise AccessError("sign in", "connection c", detail="disabled")
        return real(queries)

    stage.crm.find = find  # type: ignore[method-assign]
    with pytest.raises(AccessError):
        Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, stage.clock, chunk_size=1, lanes=1).drain("w")
    assert len(asked) == 5


def test_of_faults_met_side_by_side_the_one_a_person_must_mend_is_told(stage: Stage) -> None:
    run = stage.run(*(ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(2)))
    both, faults = (
        threading.Barrier(2),
        [AccountError("query", "lead", detail="gone"), ServiceUnavailableError("q", "l")],
    )

    def find(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        both.wait(30.0)
        raise faults.pop()

    stage.crm.find = find  # type: ignore[method-assign]
    with pytest.raises(AccountError, match="gone"):
        Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, stage.clock, chunk_size=1, lanes=2).drain("w")


def test_no_more_is_claimed_than_can_be_sent_soon(stage: Stage) -> None:
    run = stage.run(*(ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(3)))
    claims, early = threading.Semaphore(0), []
    claim, find = stage.ledger.claim, stage.crm.find

    def claimed(*facts: Any) -> Claim:
        claims.release()
        return claim(*facts)

    def found(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        claims.acquire()  # of the chunk that asks
        early.append(claims.acquire(timeout=0.2))
        return find(queries)

    stage.ledger.claim, stage.crm.find = claimed, found  # type: ignore[method-assign]
    stage.crm.traffic = Traffic(sending=0, waiting=0)
    Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, stage.clock, chunk_size=1).drain("w")
    assert early == [False, False, False]


# ---------------------------------------------------------------- older and newer


def process(stage: Stage, run: Run, claim: Claim) -> None:
    Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, stage.clock, lanes=1).process(Lane(claim), threading.Event())


def test_an_older_revision_that_joins_a_write_holds_it_up(stage: Stage) -> None:
    """Ana and Bea are one person. While a slow worker holds both, another run brings a newer Bea."""
    stage.sync(ana(), ana(id="pro_beabeabea"))
    run = stage.run(
        ana(revision=2, company={"name": "Orel"}), ana(id="pro_beabeabea", revision=2, job_title="Old title")
    )
    held = stage.ledger.claim(run.run_id, "slow", 500, 600.0)
    stage.sync(ana(id="pro_beabeabea", revision=3, job_title="New title"))
    process(stage, run, held)
    assert stage.leads[ANA]["jobtitle"] == "New title"
    stage.drain(run)
    assert (stage.leads[ANA]["jobtitle"], stage.leads[ANA]["companyname"]) == ("New title", "Orel")


def test_what_an_older_revision_finds_unchanged_does_not_take_the_newer_ones_link_back(stage: Stage) -> None:
    stage.sync(ana())
    stage.crm.put("lead", ANA, {"jobtitle": "Director"})
    run = stage.run(CHANGED)
    held = stage.ledger.claim(run.run_id, "slow", 500, 600.0)
    real: Callable[..., Any] = stage.ledger.settle

    def overtaken(*given: Any) -> Any:
        stage.ledger.settle = real  # type: ignore[method-assign]
        stage.sync(ana(revision=3, job_title="Owner"))
        return real(*given)

    stage.ledger.settle = overtaken  # type: ignore[method-assign]
    process(stage, run, held)
    stage.crm.put("lead", ANA, {"jobtitle": "Edited by a person"})
    assert words(stage.sync(ana(revision=3, job_title="Owner"))) == [("unchanged", None)]
    assert stage.leads[ANA]["jobtitle"] == "Edited by a person"


@pytest.mark.parametrize("landed", [True, False])
def test_after_a_lost_update_a_prospect_that_says_the_old_again_is_read_first(stage: Stage, landed: bool) -> None:
    stage.sync(ana())
    run, real = stage.run(CHANGED), stage.crm.update

    def lost(table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        if landed:
            real(table, writes)
        return WriteReport({write.record_id: WriteResult(write.record_id, WriteState.UNKNOWN) for write in writes})

    stage.crm.update = lost  # type: ignore[method-assign]
    process(stage, run, stage.ledger.claim(run.run_id, "dead", 500, 60.0))
    stage.crm.update = real  # type: ignore[method-assign]
    if not landed:
        stage.crm.put("lead", ANA, {"companyname": "By a person"})  # the version moves on all the same
    [told] = stage.sync(ana(revision=3))
    assert stage.leads[ANA]["jobtitle"] == "Engineer"
    assert told.outcome is (Outcome.UPDATED if landed else Outcome.UNCHANGED)
    assert [s.recovered for s in stage.told(run)] == ([True] if landed else [])


def test_a_create_that_lands_between_our_look_and_our_question_is_told_as_created(stage: Stage) -> None:
    """A stopped worker's request was still on the way when its successor found no record by id."""
    run, real = stage.run(ana()), stage.crm.find
    stage.crm.create, create = (
        lambda table, writes: WriteReport(  # type: ignore[method-assign]
            {write.record_id: WriteResult(write.record_id, WriteState.UNKNOWN) for write in writes}
        ),
        stage.crm.create,
    )
    process(stage, run, stage.ledger.claim(run.run_id, "stopped", 500, 60.0))

    def landed(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        stage.crm.put("lead", ANA, {"lastname": "Ruiz", "emailaddress1": "ana@orel.test"}, by=US)
        return real(queries)

    stage.crm.create, stage.crm.find = create, landed  # type: ignore[method-assign]
    stage.drain(run)
    [told] = stage.told(run)
    assert (told.outcome, told.recovered, told.record_id) == (Outcome.CREATED, True, ANA)
    assert len(stage.leads) == 1


# ---------------------------------------------------------------- leases and stopping


class ForcedClock(FakeClock):
    """Time passes whenever somebody looks."""

    def monotonic(self) -> float:
        self.sleep(1.0)
        return super().monotonic()


def test_the_lease_of_a_chunk_that_waits_for_the_crm_is_renewed(stage: Stage) -> None:
    run, renewed = stage.run(ana()), threading.Event()
    extend, find = stage.ledger.extend, stage.crm.find

    def keep(claim: Claim, lease_s: float) -> bool:
        renewed.set()
        return extend(claim, lease_s)

    def wait(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        assert renewed.wait(30.0)
        return find(queries)

    stage.ledger.extend = keep  # type: ignore[method-assign]
    stage.crm.find = wait  # type: ignore[method-assign]
    clock = ForcedClock()
    Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, clock, lanes=1, lease_s=0.2).drain("w")
    assert words(stage.told(run)) == [("created", None)]


def test_a_worker_that_has_lost_its_lease_sends_nothing_more(stage: Stage) -> None:
    run = stage.run(ana())
    real: Callable[..., Any] = stage.ledger.intend

    def stopped_and_continued(*given: Any) -> Any:
        attempts = real(*given)
        stage.clock.sleep(61.0)
        stage.ledger.intend = real  # type: ignore[method-assign]
        stage.drain(run, worker="second")
        before.append(stage.crm.writes)
        return attempts

    before: list[int] = []
    stage.ledger.intend = stopped_and_continued  # type: ignore[method-assign]
    stage.drain(run)
    assert stage.crm.writes == before[0] == 1
    assert words(stage.told(run)) == [("created", None)]


def test_a_worker_told_to_stop_gives_back_what_it_has_not_sent(stage: Stage) -> None:
    people = [ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(4)]
    run, real = stage.run(*people), stage.crm.find

    def stop(queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        stage.clock.stopping = len(stage.leads) == 2
        return real(queries)

    stage.crm.find = stop  # type: ignore[method-assign]
    engine = Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, stage.clock, chunk_size=1, lanes=1)
    with pytest.raises(StoppedError):
        engine.drain("w")
    assert words(stage.told(run)) == [("created", None)] * 2
    assert stage.ledger.next_due_s(run.run_id) == 0.0
    stage.clock.stopping, stage.crm.find = False, real  # type: ignore[method-assign]
    stage.drain(run)
    assert words(stage.told(run)) == [("created", None)] * 4
