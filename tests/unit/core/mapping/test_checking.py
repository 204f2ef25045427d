"""A mapping against live metadata, and rows against what a new record needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.mapping import (
    check_mapping,
    fixed_lookups,
    looked_up_tables,
    lookup_faults,
    missing_required,
    parse_mapping,
)
from dynamics.core.metadata import Column, RequiredLevel
from tests.unit.core.builders import CAMPAIGN, LEAD, USER, table, text

OTHERS = {"campaign": CAMPAIGN, "systemuser": USER}
HEADER = "target,source,transform,default,write,blank\n"


def check(*rows: str, creates: bool = False) -> list[str]:
    mapping = parse_mapping("lead", HEADER + "\n".join(rows), "lead.csv", {})
    others = {name: OTHERS[name] for name in looked_up_tables(mapping, LEAD)}
    return [str(fault) for fault in check_mapping(mapping, LEAD, creates, others)]


def test_a_good_mapping_has_no_faults() -> None:
    rows = (
        "subject,{first_name},truncate,Unknown,create_only,",
        "lastname,last_name,,,,",
        "leadsourcecode,=7,,,create_only,",
        "importsequencenumber,=1,,,create_only,",
        "donotphone,=true,,,,",
        "budgetamount,custom.budget,,0,,",
        "estimatedclosedate,=2026-12-31,,,,",
        "jobtitle,job_title,,,,clear",
        "campaignid,event.code,lookup(campaign.codename),,,",
        "ownerid,owner.email,lookup(systemuser.internalemailaddress),sales@x.test,create_only,",
    )
    assert check(*rows, creates=True) == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("jobtitel,job_title,,,,", "lead.csv:2: lead has no column 'jobtitel'. Did you mean 'jobtitle'?"),
        (
            "campaignid,event.code,,,,",
            "lead.csv:2: 'campaignid' is a lookup, it takes no value of its own. End the transform with",
        ),
        ("campaignid,=x,,,,", "lead.csv:2: 'campaignid' is a lookup"),
        ("jobtitle,event.code,lookup(campaign.codename),,,", "lead.csv:2: 'jobtitle' is no lookup. Remove the step"),
        (
            "ownerid,event.code,lookup(campaign.codename),,,",
            "lead.csv:2: 'ownerid' cannot point to 'campaign'. It points to systemuser, team.",
        ),
        (
            "campaignid,event.code,lookup(campaign.codenam),,,",
            "lead.csv:2: campaign has no column 'codenam'. Did you mean 'codename'?",
        ),
        (
            "campaignid,event.code,lookup(campaign.statecode),,,",
            "lead.csv:2: No record of campaign can be looked up by 'statecode', which has the type State.",
        ),
        ("ownerid,owner.email,lookup(systemuser.internalemailaddress),,,clear", "lead.csv:2: 'ownerid' is required"),
        ("entityimage,first_name,,,,", "lead.csv:2: 'entityimage' has the type Image, which cannot be mapped."),
        ("fullname,full_name,,,,", "lead.csv:2: 'fullname' is filled by Dynamics"),
        ("importsequencenumber,=1,,,,", "lead.csv:2: 'importsequencenumber' can be set on a new record only."),
        ("leadid,prospect_id,,,always,", "lead.csv:2: 'leadid' can be set on a new record only."),
        ("numberofemployees,company.employee_count,,,append,", "lead.csv:2: 'numberofemployees' is no text"),
        ("numberofemployees,company.employee_count,truncate,,,", "lead.csv:2: 'numberofemployees' is no text"),
        ("lastname,last_name,,,,clear", "lead.csv:2: 'lastname' is required and cannot be cleared."),
        (
            "leadsourcecode,=8,,,,",
            "lead.csv:2: The constant does not go into 'leadsourcecode': text of 1 characters is",
        ),
        ("leadsourcecode,lead_source,,Web,,", "lead.csv:2: The default does not go into 'leadsourcecode'"),
        ("numberofemployees,=many,,,,", "lead.csv:2: The constant does not go into 'numberofemployees'"),
        (f"jobtitle,job_title,,{'x' * 101},,", "lead.csv:2: The default does not go into 'jobtitle'"),
        ("estimatedclosedate,=31.12.2026,,,,", "lead.csv:2: The constant does not go into 'estimatedclosedate'"),
    ],
)
def test_what_would_fail_in_this_account(row: str, fault: str) -> None:
    (found,) = check(row)
    assert found.startswith(fault)


def test_the_options_are_listed() -> None:
    assert check("leadsourcecode,=8,,,,")[0].endswith("It takes 1 Advertisement, 7 Trade Show.")


def test_what_a_value_table_gives_must_fit() -> None:
    row = f"{HEADER}leadsourcecode,lead_source,map(sources),,,\n"
    good, bad = {"expo": "7", "*": ""}, {"expo": "7", "web": "8"}
    assert check_mapping(parse_mapping("lead", row, "lead.csv", {"sources": good}), LEAD, creates=False) == []
    (fault,) = check_mapping(parse_mapping("lead", row, "lead.csv", {"sources": bad}), LEAD, creates=False)
    assert fault.what.startswith("The value table's '8' does not go into 'leadsourcecode'")


def test_a_column_for_updates_alone_stands_in_the_way_of_creates() -> None:
    row = "lastusedincampaign,updated_at,,,,"
    assert check(row) == []
    assert "cannot be set on a new record" in "".join(check(row, "subject,=x,,,,", "lastname,=y,,,,", creates=True))


def test_what_a_new_record_needs_must_be_mapped() -> None:
    assert check("firstname,first_name,,,,", creates=True) == [
        "lead.csv: A new lead needs 'lastname'; it is not mapped. Add a row for it.",
        "lead.csv: A new lead needs 'subject'; it is not mapped. Add a row for it.",
    ]
    assert check("firstname,first_name,,,,", creates=False) == []


def test_missing_required() -> None:
    assert missing_required(LEAD, {"subject": "x", "lastname": None}) == ["lastname"]
    assert missing_required(LEAD, {"subject": "x", "lastname": "Lee"}) == []


@pytest.mark.parametrize(
    ("column", "missing"),
    [
        (text("a", required=RequiredLevel.RECOMMENDED), []),
        (text("a", required=RequiredLevel.SYSTEM), ["a"]),
        (text("a", required=RequiredLevel.SYSTEM, creatable=False), []),
        (Column("a", "Picklist", RequiredLevel.APPLICATION), ["a"]),
        (Column("a", "Boolean", RequiredLevel.SYSTEM), []),
        (Column("a", "Owner", RequiredLevel.SYSTEM), []),
        (Column("a", "State", RequiredLevel.SYSTEM), []),
        (Column("a", "Uniqueidentifier", RequiredLevel.SYSTEM), []),
    ],
)
def test_what_the_server_fills_is_not_missed(column: Column, missing: list[str]) -> None:
    assert missing_required(table(column), {}) == missing
    assert missing_required(table(replace(column, required=RequiredLevel.NONE)), {}) == []


def test_records_that_the_table_itself_names_must_be_there() -> None:
    rows = (
        "campaignid,=FLOW25,lookup(campaign.codename),,,",
        "ownerid,owner.email,lookup(systemuser.internalemailaddress),sales@x.test,,",
        'customerid,=Acme,"lookup(account.name, blank)",,,',
    )
    mapping = parse_mapping("lead", HEADER + "\n".join(rows), "lead.csv", {})
    campaign = LookupKey("campaign", "codename", "FLOW25")
    user = LookupKey("systemuser", "internalemailaddress", "sales@x.test")
    assert set(fixed_lookups(mapping)) == {campaign, user}
    faults = lookup_faults(mapping, {campaign: LookupMiss.AMBIGUOUS, user: LookupMiss.INACTIVE})
    assert [str(fault) for fault in faults] == [
        "lead.csv:2: 'FLOW25' for 'campaignid' is ambiguous in campaign.codename. "
        "Correct the text, or the record in Dynamics.",
        "lead.csv:3: 'sales@x.test' for 'ownerid' is inactive or disabled in systemuser.internalemailaddress. "
        "Correct the text, or the record in Dynamics.",
    ]
