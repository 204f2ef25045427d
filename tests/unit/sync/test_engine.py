"""The engine on fakes: what reaches the CRM, what is told, and what crashes, lost answers and others change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from dynamics.core.capture import Selection, SourcedProspect
from dynamics.core.crm import WriteReport
from dynamics.core.identity import mint_record_id
from dynamics.core.ledger import Outcome, Run, Settlement
from dynamics.core.mapping import parse_mapping
from dynamics.core.policy import Check, CreateRule, MatchBy, Policy, Several
from dynamics.errors import AccountError, ServiceUnavailableError
from dynamics.sync.discovery import discover
from dynamics.sync.engine import Engine
from tests.fakes.clock import FakeClock
from tests.fakes.crm import SOMEBODY, US, FakeCrm
from tests.fakes.ledger import FakeLedger

ORGANIZATION = UUID("11111111-1111-4111-8111-111111111111")
HEADER = "target,source,transform,default,write,blank,comment\n"
COLUMNS = ("firstname,first_name,trim,,,,", "lastname,last_name,trim,,,,", "emailaddress1,email,trim,,,,")
MAPPINGS = {
    "lead": parse_mapping(
        "lead",
        HEADER + "\n".join([*COLUMNS, "jobtitle,job_title,trim,,,,", "companyname,company.name,trim,,,,"]) + "\n",
        "lead.csv",
        {},
    ),
    "contact": parse_mapping(
        "contact", HEADER + "\n".join([*COLUMNS, "jobtitle,job_title,trim,,,,"]) + "\n", "contact.csv", {}
    ),
}
POLICY = Policy(Check.LEADS, MatchBy.EMAIL, Several.UPDATE_MOST_RECENTLY_UPDATED, CreateRule.LEAD)


class Prospects:
    """A source that is a list."""

    name = "captello"

    def __init__(self, *payloads: dict[str, Any]) -> None:
        self.payloads = payloads

    def pages(self, selection: Selection) -> Any:
        yield [SourcedProspect(p["id"], p["revision"], datetime(2026, 3, 14, tzinfo=UTC), p) for p in self.payloads]


def ana(**changes: Any) -> dict[str, Any]:
    """Ana, whose minted lead id is ANA."""
    person = {
        "id": "pro_anaanaana",
        "revision": 1,
        "status": "active",
        "created_at": "2026-03-14T09:00:00.000Z",
        "updated_at": "2026-03-14T09:00:00.000Z",
        "first_name": "Ana",
        "last_name": "Ruiz",
        "email": "ana@orel.test",
        "job_title": "Engineer",
    }
    return person | changes


ANA = mint_record_id(ORGANIZATION, "lead", "captello", "pro_anaanaana", 0)


class Stage:
    """One ledger, one CRM, any number of runs."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.crm = FakeCrm(ORGANIZATION)

    def run(self, *prospects: dict[str, Any], policy: Policy = POLICY, dry_run: bool = False) -> Run:
        run = Run(uuid4(), "a", "dynamics_default", "bulk", dry_run, {}, "hash", ORGANIZATION)
        self.ledger.open_run(run)
        discover(run, policy, Prospects(*prospects), Selection(), self.ledger, self.clock)
        return run

    def drain(self, run: Run, policy: Policy = POLICY, worker: str = "w") -> Counter[Outcome]:
        engine = Engine(run, policy, MAPPINGS, self.ledger, self.crm, self.clock, lanes=1)
        return engine.drain(worker).outcomes

    def sync(self, *prospects: dict[str, Any], policy: Policy = POLICY, dry_run: bool = False) -> list[Settlement]:
        run = self.run(*prospects, policy=policy, dry_run=dry_run)
        self.drain(run, policy)
        return self.told(run)

    def told(self, run: Run) -> list[Settlement]:
        by_id = {self.ledger.prospects[k][1]: s for (r, k), s in self.ledger.outcomes.items() if r == run.run_id}
        return [by_id[name] for name in sorted(by_id)]

    @property
    def leads(self) -> dict[UUID, dict[str, Any]]:
        return self.crm.tables["lead"]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def words(settlements: Sequence[Settlement]) -> list[tuple[str, str | None]]:
    return [(s.outcome.value, s.reason) for s in settlements]


def test_a_new_prospect_is_created_under_the_id_minted_for_it(stage: Stage) -> None:
    [told] = stage.sync(ana())
    assert (told.outcome, told.record_id) == (Outcome.CREATED, ANA)
    assert stage.leads[ANA]["lastname"] == "Ruiz"


def test_nothing_new_needs_not_even_a_read(stage: Stage) -> None:
    stage.sync(ana())
    before = stage.crm.requests
    assert words(stage.sync(ana(revision=2))) == [("unchanged", None)]
    assert stage.crm.requests == before


def test_only_the_changed_column_is_sent(stage: Stage) -> None:
    stage.sync(ana())
    [told] = stage.sync(ana(revision=2, job_title="Director"))
    assert (told.outcome, told.changed_columns, told.matched_by) == (Outcome.UPDATED, ("jobtitle",), "link")


def test_an_edit_by_a_person_since_the_last_sync_stays(stage: Stage) -> None:
    stage.sync(ana())
    stage.crm.put("lead", ANA, {"jobtitle": "Head of everything"})
    stage.sync(ana(revision=2, company={"name": "Orel Labs"}))
    assert stage.leads[ANA]["jobtitle"] == "Head of everything"
    assert stage.leads[ANA]["companyname"] == "Orel Labs"


def test_a_blank_wipes_nothing(stage: Stage) -> None:
    stage.sync(ana())
    assert words(stage.sync(ana(revision=2, job_title="  "))) == [("unchanged", None)]
    assert stage.leads[ANA]["jobtitle"] == "Engineer"


def test_an_existing_record_is_adopted_and_linked(stage: Stage) -> None:
    theirs = uuid4()
    stage.crm.put("lead", theirs, {"emailaddress1": "ANA@orel.test", "firstname": "Ana", "lastname": "Ruiz"})
    [told] = stage.sync(ana())
    assert (told.outcome, told.record_id, told.matched_by) == (Outcome.UPDATED, theirs, "email")
    [again] = stage.sync(ana(revision=2, job_title="Director"))
    assert (again.record_id, again.matched_by) == (theirs, "link")


def test_prospects_of_one_person_become_one_record_and_the_newest_value_wins(stage: Stage) -> None:
    later = ana(id="pro_zzzzzzzz", email=" ANA@Orel.test ", job_title="Director", updated_at="2026-03-14T10:00:00.000Z")
    assert words(stage.sync(later, ana())) == [("created", None), ("unchanged", "joined")]
    assert [lead["jobtitle"] for lead in stage.leads.values()] == ["Director"]


def test_a_second_prospect_of_a_person_whom_queries_do_not_show_yet_makes_no_second_record(stage: Stage) -> None:
    stage.sync(ana())
    stage.crm.lag.add(ANA)
    [told] = stage.sync(ana(id="pro_zzzzzzzz"))
    assert (told.outcome, told.record_id) == (Outcome.UNCHANGED, ANA)
    assert list(stage.leads) == [ANA]


def test_a_write_whose_answer_is_lost_is_found_by_its_id(stage: Stage) -> None:
    stage.crm.lose = lambda table, write: True
    [told] = stage.sync(ana())
    assert (told.outcome, told.recovered, stage.crm.writes) == (Outcome.CREATED, True, 1)


def test_an_update_whose_answer_is_lost_is_told_as_updated_once(stage: Stage) -> None:
    stage.sync(ana())
    stage.crm.lose = lambda table, write: True
    [told] = stage.sync(ana(revision=2, job_title="Director"))
    assert (told.outcome, told.recovered, stage.crm.writes) == (Outcome.UPDATED, True, 2)


def test_a_record_that_was_planted_under_our_id_is_a_conflict_and_is_left_alone(stage: Stage) -> None:
    stage.crm.put("lead", ANA, {"lastname": "Other"})
    [told] = stage.sync(ana())
    assert (told.outcome, told.reason) == (Outcome.REJECTED, "id_conflict")
    assert stage.leads[ANA]["lastname"] == "Other"


def test_a_record_that_changes_between_read_and_write_is_decided_on_anew(stage: Stage) -> None:
    stage.sync(ana())
    meanwhile = [True]

    def once(table: str, record_id: UUID) -> None:
        if meanwhile:
            meanwhile.pop()
            stage.crm.put(table, record_id, {"companyname": "By a person"})

    stage.crm.before_update = once
    [told] = stage.sync(ana(revision=2, job_title="Director"))
    assert told.outcome is Outcome.UPDATED
    assert (stage.leads[ANA]["companyname"], stage.leads[ANA]["jobtitle"]) == ("By a person", "Director")


def test_a_record_that_keeps_changing_is_deferred_after_three_tries(stage: Stage) -> None:
    stage.sync(ana())
    stage.crm.before_update = lambda table, record_id: stage.crm.put(table, record_id, {})
    [told] = stage.sync(ana(revision=2, job_title="Director"))
    assert (told.outcome, told.reason) == (Outcome.DEFERRED, "record_keeps_changing")


@pytest.mark.parametrize(
    ("done", "reason"),
    [("delete", "record_deleted"), ({"statecode": 1}, "record_qualified"), ({"statecode": 2}, "record_deactivated")],
)
def test_what_a_person_removed_or_closed_is_not_brought_back(stage: Stage, done: Any, reason: str) -> None:
    stage.sync(ana())
    if done == "delete":
        del stage.leads[ANA]
    else:
        stage.crm.put("lead", ANA, done)
    assert words(stage.sync(ana(revision=2, job_title="Director"))) == [("skipped", reason)]
    assert words(stage.sync(ana(revision=3, job_title="Chief"))) == [("skipped", reason)]
    assert stage.leads.get(ANA, {}).get("jobtitle") != "Director"


def test_a_refused_row_is_rejected_with_column_and_code_and_the_others_land(stage: Stage) -> None:
    stage.crm.refuse = lambda table, write: "0x80040265" if write.values["lastname"] == "Bad" else None
    told = stage.sync(ana(), ana(id="pro_bbbbbbbb", email="b@orel.test", last_name="Bad"))
    assert words(told) == [("created", None), ("rejected", "refused_by_crm")]
    assert (told[1].error_code, told[1].error_column) == ("0x80040265", "jobtitle")


def test_a_value_that_does_not_fit_is_rejected_before_anything_is_sent(stage: Stage) -> None:
    [told] = stage.sync(ana(job_title="x" * 101))
    assert (told.outcome, told.error_column, stage.crm.writes) == (Outcome.REJECTED, "jobtitle", 0)


def test_a_new_record_without_a_required_value_is_rejected_with_the_column_named(stage: Stage) -> None:
    [told] = stage.sync(ana(last_name=None))
    assert (told.outcome, told.reason, told.error_column) == (Outcome.REJECTED, "required", "lastname")


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ({"privacy": {"processing_restricted": True}}, "skipped", "processing_restricted"),
        ({"status": "recycled"}, "skipped", "recycled"),
        ({"status": "on_hold"}, "deferred", "on_hold"),
    ],
)
def test_who_must_not_be_synced_is_not(stage: Stage, change: dict[str, Any], outcome: str, reason: str) -> None:
    assert words(stage.sync(ana(**change))) == [(outcome, reason)]
    assert not stage.leads


def test_a_dry_run_tells_the_same_and_writes_nothing(stage: Stage) -> None:
    assert words(stage.sync(ana(), dry_run=True)) == [("created", None)]
    assert (stage.leads, stage.ledger.records, stage.ledger.people) == ({}, {}, {})


def test_several_matches_may_wait_for_a_person(stage: Stage) -> None:
    for _ in range(2):
        stage.crm.put("lead", uuid4(), {"emailaddress1": "ana@orel.test"})
    policy = replace(POLICY, several=Several.HOLD)
    [told] = stage.sync(ana(), policy=policy)
    assert (told.outcome, told.reason, told.duplicates_found) == (Outcome.DEFERRED, "several_matches", 2)


def test_a_match_in_the_other_table_is_updated_with_that_tables_mapping(stage: Stage) -> None:
    theirs = uuid4()
    stage.crm.put("contact", theirs, {"emailaddress1": "ana@orel.test"})
    policy = replace(POLICY, check=Check.CONTACTS_THEN_LEADS)
    [told] = stage.sync(ana(company={"name": "Orel"}), policy=policy)
    assert (told.table, told.changed_columns) == ("contact", ("firstname", "jobtitle", "lastname"))
    assert not stage.leads


def test_without_a_check_every_prospect_is_created_once_and_then_updated(stage: Stage) -> None:
    policy = replace(POLICY, check=Check.NONE)
    assert words(stage.sync(ana(), ana(id="pro_bbbbbbbb"), policy=policy)) == [("created", None)] * 2
    again = stage.sync(ana(revision=2, job_title="Director"), policy=policy)
    assert words(again) == [("updated", None)]
    third = stage.sync(ana(revision=3), policy=replace(policy, on_resync="create"))
    assert (words(third), len(stage.leads)) == ([("created", None)], 3)


def test_an_account_fault_stops_the_worker_and_leaves_everyone_pending(stage: Stage) -> None:
    run = stage.run(ana())
    fault = AccountError("create", "leads", status=403, code="0x80040220")
    stage.crm.create = lambda table, writes: WriteReport({}, stopped_by=fault)  # type: ignore[method-assign]
    with pytest.raises(AccountError):
        stage.drain(run)
    counts = stage.ledger.counts(run.run_id)
    assert (counts.open, counts.rejected) == (1, 0)


def test_a_transient_fault_is_waited_out(stage: Stage) -> None:
    run = stage.run(ana())
    real, faults = stage.crm.find, [ServiceUnavailableError("query", "leads", status=503, retry_after_s=7.0)]

    def flaky(queries: Any) -> Any:
        if faults:
            raise faults.pop()
        return real(queries)

    stage.crm.find = flaky  # type: ignore[method-assign]
    assert stage.drain(run) == {Outcome.CREATED: 1}


class _KilledError(BaseException):
    """Stands for kill -9: nothing of ours may catch it."""


@pytest.mark.parametrize("landed", [True, False])
def test_a_worker_that_dies_between_intent_and_settlement_is_cleared_up(stage: Stage, landed: bool) -> None:
    run = stage.run(ana())
    real = stage.crm.create

    def die(table: str, writes: Any) -> Any:
        if landed:
            real(table, writes)
        raise _KilledError

    stage.crm.create = die  # type: ignore[method-assign]
    with pytest.raises(_KilledError):
        stage.drain(run)
    stage.crm.create = real  # type: ignore[method-assign]
    stage.drain(run, worker="second")
    [told] = stage.told(run)
    assert (told.outcome, told.recovered, list(stage.leads)) == (Outcome.CREATED, landed, [ANA])


def test_another_run_waits_for_a_live_worker_and_then_finds_the_record(stage: Stage) -> None:
    dead, real = stage.run(ana()), stage.crm.create

    def die(table: str, writes: Any) -> Any:
        real(table, writes)
        raise _KilledError

    stage.crm.create = die  # type: ignore[method-assign]
    with pytest.raises(_KilledError):
        stage.drain(dead)
    stage.crm.create = real  # type: ignore[method-assign]
    began = stage.clock.now()
    assert words(stage.sync(ana())) == [("unchanged", None)]
    assert (stage.clock.now() - began).total_seconds() >= 55  # the dead worker's lease
    assert [(s.outcome, s.recovered) for s in stage.told(dead)] == [(Outcome.CREATED, True)]
    assert {attempt.result for attempt in stage.ledger.attempts.values()} == {"landed"}


def test_a_stale_worker_settles_nothing(stage: Stage) -> None:
    run = stage.run(ana())
    claim = stage.ledger.claim(run.run_id, "slow", 10, 60.0)
    stage.clock.sleep(61.0)
    stage.drain(run)
    late = Settlement(int(claim.items["prospect_key"][0]), int(claim.items["fence"][0]), 1, Outcome.REJECTED)
    assert stage.ledger.settle(claim, [late]) == 0
    assert words(stage.told(run)) == [("created", None)]


def test_who_made_a_record_is_asked_of_the_crm_and_not_of_us(stage: Stage) -> None:
    stage.sync(ana())
    assert stage.leads[ANA]["by"] == US != SOMEBODY
