"""Extras on fakes: accounts, campaign responses, memberships and notes, each once, whatever fails in between."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.companies import CompanyKey
from dynamics.core.crm import RecordWrite, WriteReport
from dynamics.core.extras import (
    ExtrasPlan,
    ExtrasWish,
    MarketingList,
    OwnerRule,
    with_columns,
)
from dynamics.core.ledger import Outcome, Run
from dynamics.core.mapping import Mapping, parse_mapping
from dynamics.core.policy import CreateRule, Policy
from dynamics.errors import AccountError, ServiceUnavailableError
from dynamics.extras.making import maker_of
from dynamics.sync.engine import Engine
from tests.unit.core.builders import modest
from tests.unit.sync.test_engine import ANA, HEADER, MAPPINGS, ORGANIZATION, POLICY, Stage, ana

CAMPAIGN, LIST = uuid4(), uuid4()
ACCOUNT = parse_mapping(
    "account", HEADER + "name,company.name,trim,,,,\nwebsiteurl,company.website,,,,,\n", "a.csv", {}
)
EVERYTHING = ExtrasPlan(ORGANIZATION, CompanyKey.NAME, CAMPAIGN, MarketingList(LIST, "Visitors", "lead"), note=True)
OREL = {"company": {"name": "Orel Labs"}}
SCAN = {
    "id": "sub_1",
    "captured_at": "2026-03-14T09:00:00.000Z",
    "method": "badge_scan",
    "state": "complete",
    "event": {"id": "evt_1", "name": "Flow"},
    "answers": [{"element_id": "q1", "key": "when", "question": "When?", "value": "Soon"}],
}


@dataclass
class Booth(Stage):
    """A stage whose action has extras."""

    plan: ExtrasPlan = EVERYTHING
    accounts: Mapping = ACCOUNT
    wish: ExtrasWish = field(default_factory=lambda: ExtrasWish(by=CompanyKey.NAME))

    def __post_init__(self) -> None:
        super().__init__()
        self.crm.put("campaign", CAMPAIGN, {"codename": "FLOW25"})

    def drain(self, run: Run, policy: Policy = POLICY, worker: str = "w") -> Any:
        extras = maker_of(self.plan, {"account": self.accounts}, self.ledger, self.crm, self.clock, run.dry_run)
        mappings = {name: with_columns(table, self.wish) for name, table in MAPPINGS.items()}
        engine = Engine(run, policy, mappings, self.ledger, self.crm, self.clock, extras=extras, lanes=1)
        return engine.drain(worker).outcomes

    def rows(self, table: str) -> list[dict[str, Any]]:
        return list(self.crm.tables[table].values())

    @property
    def company(self) -> str | None:
        return self.leads[ANA].get("parentaccountid")


@pytest.fixture
def booth() -> Booth:
    return Booth()


def visitor(**changes: Any) -> dict[str, Any]:
    return ana(**(OREL | {"submissions": [SCAN]} | changes))


def settled_once(booth: Booth, prospects: int = 1) -> None:
    assert len(booth.rows("campaignresponse")) == prospects
    assert len(booth.rows("annotation")) == prospects
    assert booth.crm.members == {LIST: set(booth.leads)}
    assert len(booth.rows("account")) == 1


def test_a_new_prospect_gets_account_response_membership_and_note(booth: Booth) -> None:
    [told] = booth.sync(visitor())
    assert (told.outcome, told.warnings) == (Outcome.CREATED, ())
    [account_id] = booth.crm.tables["account"]
    assert booth.company == f"account({account_id})"
    [response] = booth.rows("campaignresponse")
    assert response["customer"] == [f"lead({ANA})"]
    assert response["regardingobjectid"] == f"campaign({CAMPAIGN})"
    assert (response["subject"], response["description"]) == ("Flow", "When? Soon")
    [note] = booth.rows("annotation")
    assert (note["objectid"], note["notetext"]) == (f"lead({ANA})", "When? Soon")
    settled_once(booth)


def test_the_second_run_asks_for_nothing(booth: Booth) -> None:
    booth.sync(visitor())
    before = booth.crm.requests
    [told] = booth.sync(visitor())
    assert (told.outcome, booth.crm.requests) == (Outcome.UNCHANGED, before)


@pytest.mark.parametrize("method", ["extras_made", "keep_extras"])
def test_a_database_that_is_away_for_a_moment_costs_nobody_an_extra(booth: Booth, method: str) -> None:
    asked, away = getattr(booth.ledger, method), iter([False, True])  # the account's come first

    def sometimes(*facts: Any) -> Any:
        if next(away, False):
            raise ServiceUnavailableError(method, "audit database")
        return asked(*facts)

    setattr(booth.ledger, method, sometimes)
    [told] = booth.sync(visitor())
    assert told.outcome is Outcome.CREATED
    assert next(away, None) is None
    settled_once(booth)


def test_people_of_one_company_share_its_account_and_each_prospect_has_a_response(booth: Booth) -> None:
    other = visitor(id="pro_bob", first_name="Bob", email="bob@orel.test", company={"name": " OREL  labs"})
    booth.sync(visitor(), other)
    settled_once(booth, prospects=2)
    assert len({lead["parentaccountid"] for lead in booth.leads.values()}) == 1


def test_prospects_of_one_person_have_their_own_responses_and_one_membership(booth: Booth) -> None:
    booth.sync(visitor(), visitor(id="pro_again"))
    assert len(booth.leads) == 1
    settled_once(booth, prospects=2)


def test_an_account_that_is_there_is_found(booth: Booth) -> None:
    theirs = uuid4()
    booth.crm.put("account", theirs, {"name": "orel labs"})
    booth.sync(visitor())
    assert (booth.company, len(booth.rows("account"))) == (f"account({theirs})", 1)


def test_of_several_accounts_the_first_is_taken_and_told(booth: Booth) -> None:
    for number in (2, 1):
        booth.crm.put("account", UUID(int=number), {"name": "Orel Labs"})
    [told] = booth.sync(visitor())
    assert booth.company == f"account({UUID(int=1)})"
    assert told.warnings == ("parentaccountid: 2 accounts match its company: it was given the one created first",)


def test_an_account_of_ours_that_queries_do_not_show_yet_is_not_made_again(booth: Booth) -> None:
    booth.sync(visitor())
    booth.crm.lag |= set(booth.crm.tables["account"])
    booth.sync(visitor(id="pro_bob", first_name="Bob", email="bob@orel.test"))
    settled_once(booth, prospects=2)


def test_an_account_that_was_made_and_not_remembered_is_remembered_when_it_is_found(booth: Booth) -> None:
    booth.sync(visitor())
    booth.ledger.extras.clear()
    booth.sync(visitor(id="pro_bob", first_name="Bob", email="bob@orel.test"))
    [account_id] = booth.crm.tables["account"]
    assert (ORGANIZATION, account_id) in booth.ledger.extras


def test_columns_of_an_account_may_look_records_up(booth: Booth) -> None:
    row = 'ownerid,owner.email,"lookup(systemuser.internalemailaddress, blank)",,,,\n'
    booth.accounts = parse_mapping("account", HEADER + "name,company.name,trim,,,,\n" + row, "a.csv", {})
    sales = uuid4()
    booth.crm.put("systemuser", sales, {"internalemailaddress": "sales@us.test"})
    booth.sync(visitor(owner={"email": "sales@us.test"}))
    [row] = booth.rows("account")
    assert row["ownerid"] == f"systemuser({sales})"


@pytest.mark.parametrize(
    ("change", "problem"), [("delete", "its account was deleted"), ("close", "its account is inactive")]
)
def test_an_account_of_ours_that_a_person_removed_stays_removed(booth: Booth, change: str, problem: str) -> None:
    booth.sync(visitor())
    [account_id] = booth.crm.tables["account"]
    if change == "delete":
        del booth.crm.tables["account"][account_id]
    else:
        booth.crm.put("account", account_id, {"statecode": 1})
    bob = visitor(id="pro_bob", first_name="Bob", email="bob@orel.test")
    [told] = booth.sync(bob)
    assert (told.outcome, told.warnings) == (Outcome.CREATED, (f"parentaccountid: {problem}",))
    assert len(booth.rows("account")) == (0 if change == "delete" else 1)
    [again] = booth.sync(bob)
    assert again.outcome is Outcome.UNCHANGED


def test_an_account_deleted_after_it_was_found_is_found_anew(booth: Booth) -> None:
    theirs = uuid4()
    booth.crm.put("account", theirs, {"name": "Orel Labs"})
    find = booth.crm.find

    def found_and_deleted(queries: Any) -> Any:
        records = find(queries)
        if any(query.table == "account" for query in queries):
            booth.crm.tables["account"].pop(theirs, None)
        return records

    booth.crm.find = found_and_deleted  # type: ignore[method-assign]
    [told] = booth.sync(visitor())
    [account_id] = booth.crm.tables["account"]
    assert (told.outcome, told.warnings, booth.company) == (Outcome.CREATED, (), f"account({account_id})")


def test_a_company_that_a_person_has_set_stays(booth: Booth) -> None:
    theirs = f"account({uuid4()})"
    booth.crm.put("lead", ANA, {"emailaddress1": "ana@orel.test", "parentaccountid": theirs})
    booth.sync(visitor())
    assert (booth.company, booth.rows("account")) == (theirs, [])


def test_a_prospect_without_a_company_gets_no_account(booth: Booth) -> None:
    [told] = booth.sync(visitor(company=None))
    assert (told.outcome, booth.rows("account"), booth.company) == (Outcome.CREATED, [], None)


def test_a_prospect_with_nothing_to_note_gets_no_note(booth: Booth) -> None:
    [told] = booth.sync(visitor(submissions=[SCAN | {"answers": []}]))
    assert (told.warnings, booth.rows("annotation")) == ((), [])


@pytest.mark.parametrize("table", ["account", "campaignresponse", "listmember", "annotation"])
def test_a_refused_extra_is_a_warning_and_is_tried_again_by_the_next_run(booth: Booth, table: str) -> None:
    booth.crm.refuse = lambda to, write: "0x80040265" if to == table else None
    [told] = booth.sync(visitor())
    assert (told.outcome, len(told.warnings)) == (Outcome.CREATED, 1)
    assert "refused (0x80040265)" in told.warnings[0]
    booth.crm.refuse = lambda to, write: None
    [again] = booth.sync(visitor())
    assert (again.outcome in (Outcome.UNCHANGED, Outcome.UPDATED), again.warnings) == (True, ())
    settled_once(booth)


@pytest.mark.parametrize("table", ["lead", "account", "campaignresponse", "listmember", "annotation"])
def test_an_extra_whose_answer_is_lost_is_made_once_and_the_prospect_is_told_created_once(
    booth: Booth, table: str
) -> None:
    lost: list[str] = []

    def lose(to: str, write: RecordWrite) -> bool:
        if to != table or lost:
            return False
        lost.append(to)
        return True

    booth.crm.lose = lose
    [told] = booth.sync(visitor())
    assert (told.outcome, told.warnings, lost) == (Outcome.CREATED, (), [table])
    settled_once(booth)


@pytest.mark.parametrize("table", ["account", "campaignresponse", "listmember", "annotation"])
def test_a_changed_prospect_whose_extra_gets_no_answer_is_told_updated(booth: Booth, table: str) -> None:
    booth.plan = ExtrasPlan(ORGANIZATION)
    booth.sync(visitor())
    booth.plan = EVERYTHING
    lost: list[str] = []
    booth.crm.lose = lambda to, write: to == table and not lost and not lost.append(to)  # type: ignore[func-returns-value]
    [told] = booth.sync(visitor(revision=2, job_title="Director"))
    assert (told.outcome, lost) == (Outcome.UPDATED, [table])
    settled_once(booth)


@modest
@given(st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_whichever_answers_are_lost_and_requests_refused_everything_is_there_once_in_the_end(
    lost: set[int], refused: set[int]
) -> None:
    booth = Booth()
    writes = itertools.count()
    booth.crm.lose = lambda to, write: next(writes) in lost
    attempts = itertools.count()
    booth.crm.refuse = lambda to, write: (
        "0x80040265" if to not in ("lead", "account") and next(attempts) in refused else None
    )
    people = (visitor(), visitor(id="pro_bob", first_name="Bob", email="bob@orel.test"))
    told = booth.sync(*people)
    assert [each.outcome for each in told] == [Outcome.CREATED, Outcome.CREATED]
    booth.crm.lose, booth.crm.refuse = lambda *_: False, lambda *_: None
    booth.sync(*people)
    settled_once(booth, prospects=2)
    assert {lead["parentaccountid"] for lead in booth.leads.values()} == {
        f"account({next(iter(booth.crm.tables['account']))})"
    }


def test_what_a_person_removes_does_not_come_back(booth: Booth) -> None:
    booth.sync(visitor())
    for table in ("campaignresponse", "annotation"):
        booth.crm.tables[table].clear()
    booth.crm.members.clear()
    booth.sync(visitor(revision=2, job_title="Director"))
    assert (booth.rows("campaignresponse"), booth.rows("annotation"), booth.crm.members) == ([], [], {})


def test_an_unchanged_prospect_gets_what_the_action_came_to_ask_for(booth: Booth) -> None:
    booth.plan = ExtrasPlan(ORGANIZATION)
    booth.sync(visitor())
    assert booth.company is None
    booth.plan = EVERYTHING
    [told] = booth.sync(visitor())
    assert told.changed_columns == ("parentaccountid",)
    settled_once(booth)


def test_a_dry_run_says_what_it_would_make(booth: Booth) -> None:
    [told] = booth.sync(visitor(), dry_run=True)
    assert told.outcome is Outcome.CREATED
    assert told.warnings == (
        "campaign response: would be made",
        "list membership: would be made",
        "note: would be made",
    )
    assert "parentaccountid" in told.changed_columns
    assert booth.crm.writes == 0
    assert not booth.ledger.extras


def test_a_list_of_leads_takes_no_contact(booth: Booth) -> None:
    [told] = booth.sync(visitor(), policy=replace(POLICY, create=CreateRule.CONTACT))
    assert told.warnings == ("list membership: 'Visitors' holds leads, and this is a contact",)
    [contact] = booth.crm.tables["contact"].values()
    assert contact["parentcustomerid"].startswith("account(")


def test_a_skipped_prospect_gets_nothing(booth: Booth) -> None:
    booth.sync(visitor(status="recycled"))
    assert not any(rows for table, rows in booth.crm.tables.items() if table != "campaign")


def test_owner_and_source_campaign_are_set_on_a_new_lead_and_left_alone_later(booth: Booth) -> None:
    sales, other = uuid4(), uuid4()
    for user, address in ((sales, "sales@us.test"), (other, "eva@us.test")):
        booth.crm.put("systemuser", user, {"internalemailaddress": address})
    booth.plan = ExtrasPlan(ORGANIZATION)
    booth.wish = ExtrasWish(owner=OwnerRule("owner.email", fallback="sales@us.test"), source_campaign="FLOW25")
    booth.sync(visitor(owner={"email": "Eva@us.test"}), visitor(id="pro_bob", email="bob@orel.test"))
    assert {lead["ownerid"] for lead in booth.leads.values()} == {f"systemuser({sales})", f"systemuser({other})"}
    assert {lead["campaignid"] for lead in booth.leads.values()} == {f"campaign({CAMPAIGN})"}
    [told] = booth.sync(visitor(revision=2, owner={"email": "sales@us.test"}))
    assert told.outcome is Outcome.UNCHANGED


def test_a_fault_of_the_account_leaves_prospects_pending_with_their_writes_known(booth: Booth) -> None:
    run = booth.run(visitor())
    access = AccountError("add to list", "list", detail="no privilege")
    booth.crm.add_members = lambda *_: WriteReport({}, access)  # type: ignore[method-assign]
    with pytest.raises(AccountError):
        booth.drain(run)
    assert booth.told(run) == []
    del booth.crm.add_members
    booth.drain(run)
    [told] = booth.told(run)
    assert (told.outcome, told.recovered) == (Outcome.CREATED, True)
    settled_once(booth)
