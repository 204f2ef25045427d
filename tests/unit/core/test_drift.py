"""What has changed since a mapping saw a table, in words, and whether it would reject prospects."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from dynamics.core.drift import as_json, compare, faults_since, from_json, is_outdated, remembered, seen_by
from dynamics.core.mapping import parse_mapping
from dynamics.core.metadata import Column, DateBehavior, RequiredLevel, TableMetadata
from tests.unit.core.builders import table, text

REQUIRED = RequiredLevel.SYSTEM
OPTIONS = {4: "Partner", 7: "Trade Show"}
LEAD = table(
    text("subject", 300),
    text("jobtitle", 100),
    Column("leadsourcecode", "Picklist", options=OPTIONS, labels={v: (o,) for v, o in OPTIONS.items()}),
    Column("industrycode", "Picklist", options={16: "Banking", 21: "Law"}),
    Column("numberofemployees", "Integer", minimum=0, maximum=1_000_000),
    Column("budgetamount", "Money", precision=4),
    Column("estimatedclosedate", "DateTime"),
    Column("parentaccountid", "Lookup", navigation={"account": "parentaccountid", "contact": "other"}),
    text("lastname", 50, required=REQUIRED),
    text("fax"),
)
ROWS = """target,source,transform,default,write,blank
subject,event.name,truncate,,,
jobtitle,job_title,,,,
leadsourcecode,lead_source,,,,
industrycode,custom.industry,map(industry),,,
numberofemployees,company.employee_count,,,,
budgetamount,custom.budget,,,,
estimatedclosedate,custom.closes,,,,
parentaccountid,company.name,lookup(contact.fullname),,,
lastname,last_name,,Unknown,,
"""
MAPPING = parse_mapping("lead", ROWS, "lead.csv", {"industry": {"Banks": "16"}})


def with_column(name: str, **facts: Any) -> TableMetadata:
    return replace(LEAD, columns={**LEAD.columns, name: replace(LEAD.columns[name], **facts)})


def without(name: str) -> TableMetadata:
    return replace(LEAD, columns={key: column for key, column in LEAD.columns.items() if key != name})


def told(now: TableMetadata, creates: bool = True) -> list[tuple[str, bool]]:
    before = from_json(json.loads(json.dumps(as_json(seen_by(MAPPING, LEAD)))))
    return [(str(change), change.rejects) for change in compare(MAPPING, before, seen_by(MAPPING, now), creates)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (LEAD, []),
        (without("jobtitle"), [("column jobtitle is gone", True)]),
        (without("fax"), []),
        (with_column("jobtitle", type="Memo"), [("column jobtitle is a Memo instead of a String", True)]),
        (with_column("jobtitle", max_length=50), [("jobtitle holds 50 characters instead of 100", True)]),
        (with_column("jobtitle", max_length=200), [("jobtitle holds 200 characters instead of 100", False)]),
        (with_column("subject", max_length=100), [("subject holds 100 characters instead of 300", False)]),
        (with_column("jobtitle", required=REQUIRED), [("column jobtitle is required now", True)]),
        (with_column("lastname", required=RequiredLevel.NONE), [("column lastname is not required any more", False)]),
        (with_column("fax", required=REQUIRED), [("column fax is required now", True)]),
        (
            with_column("leadsourcecode", options={4: "Alliance", 7: "Trade Show"}),
            [("option *Partner* of leadsourcecode was renamed to *Alliance*", False)],
        ),
        (
            with_column("leadsourcecode", options={7: "Trade Show"}),
            [("option *Partner* of leadsourcecode is gone", True)],
        ),
        (
            with_column("leadsourcecode", options={**OPTIONS, 8: "Web"}),
            [("option *Web* of leadsourcecode is new", False)],
        ),
        (with_column("industrycode", options={16: "Banking"}), [("option *Law* of industrycode is gone", False)]),
        (with_column("industrycode", options={21: "Law"}), [("option *Banking* of industrycode is gone", True)]),
        (
            with_column("numberofemployees", maximum=500),
            [("numberofemployees takes 0 to 500 instead of 0 to 1000000", True)],
        ),
        (
            with_column("numberofemployees", minimum=None),
            [("numberofemployees takes anything to 1000000 instead of 0 to 1000000", False)],
        ),
        (with_column("budgetamount", precision=2), [("budgetamount keeps 2 decimals instead of 4", False)]),
        (
            with_column("estimatedclosedate", behavior=DateBehavior.DATE_ONLY),
            [("estimatedclosedate holds a day without a time instead of a moment", False)],
        ),
        (
            with_column("jobtitle", creatable=False, updatable=False),
            [
                ("column jobtitle cannot be set on a new record any more", True),
                ("column jobtitle cannot be changed any more", True),
            ],
        ),
        (
            with_column("parentaccountid", navigation={"contact": "other"}),
            [("lookup parentaccountid does not point to account any more", False)],
        ),
        (
            with_column("parentaccountid", navigation={"account": "parentaccountid", "lead": "parentaccountid_lead"}),
            [
                ("lookup parentaccountid does not point to contact any more", True),
                ("lookup parentaccountid can point to lead too", False),
            ],
        ),
    ],
)
def test_each_change_is_told_in_words(now: TableMetadata, expected: list[tuple[str, bool]]) -> None:
    assert told(now) == [(f"lead: {words}", rejects) for words, rejects in expected]


def test_where_nothing_is_created_a_required_column_rejects_nobody() -> None:
    assert told(with_column("fax", required=REQUIRED), creates=False) == []
    assert told(with_column("jobtitle", required=REQUIRED), creates=False) == [
        ("lead: column jobtitle is required now", False)
    ]


@pytest.mark.parametrize(
    ("row", "rejects"),
    [
        ("leadsourcecode,lead_source,choice", True),
        ("leadsourcecode,lead_source,map(source)|choice", True),
        ("leadsourcecode,lead_source,map(other)|choice", False),
        ("leadsourcecode,=4,", False),
        ("leadsourcecode,lead_source,", False),
    ],
)
def test_an_option_that_is_chosen_by_its_label_may_not_be_renamed(row: str, rejects: bool) -> None:
    values = {"source": {"Reseller": "partner"}, "other": {"Fair": "Trade Show"}}
    mapping = parse_mapping("lead", f"target,source,transform\n{row}\n", "lead.csv", values)
    now = seen_by(mapping, with_column("leadsourcecode", options={4: "Alliance", 7: "Trade Show"}, labels={}))
    assert [change.rejects for change in compare(mapping, seen_by(mapping, LEAD), now, creates=True)] == [rejects]


def test_a_change_as_a_fault_names_file_line_and_column() -> None:
    [change] = compare(MAPPING, seen_by(MAPPING, LEAD), seen_by(MAPPING, without("jobtitle")), creates=True)
    assert str(change.fault) == (
        "lead.csv:3: Column jobtitle is gone. Remove the row, or name the column that took its place."
    )
    assert change.fault.column == "jobtitle"


def test_what_is_to_be_told_again_is_remembered_as_it_was_and_all_else_as_it_is() -> None:
    before = seen_by(MAPPING, LEAD)
    now = seen_by(MAPPING, with_column("jobtitle", max_length=50))
    changes = compare(MAPPING, before, now, creates=True)
    assert remembered(before, now, changes) == before
    assert remembered(before, now, []) == now
    required = seen_by(MAPPING, with_column("fax", required=REQUIRED))
    assert remembered(before, required, compare(MAPPING, before, required, creates=True)) == before
    fewer = {name: column for name, column in before.items() if name != "subject"}
    assert remembered(fewer, now, changes) == before  # a column that is mapped since is seen for the first time


def test_what_a_later_release_adds_to_a_snapshot_is_passed_over() -> None:
    assert from_json({"fax": {"type": "String", "max_length": 50, "colour": "red"}}) == {"fax": text("fax", 50)}


# ---------------------------------------------------------------- in the middle of a run


def test_a_run_cannot_go_on_by_what_the_mapping_is_wrong_for_or_what_would_reject_since_it_began() -> None:
    began = seen_by(MAPPING, LEAD)

    def faults(now: TableMetadata, began: Any = began) -> list[str]:
        return [fault.what for fault in faults_since(MAPPING, began, now, creates=True)]

    assert faults(LEAD) == []
    assert faults(with_column("subject", max_length=100)) == []
    assert faults(with_column("jobtitle", max_length=50)) == ["Jobtitle holds 50 characters instead of 100."]
    assert faults(with_column("jobtitle", max_length=50), began=None) == []
    assert faults(without("jobtitle")) == ["lead has no column 'jobtitle'.", "Column jobtitle is gone."]
    assert faults(without("jobtitle"), began=None) == ["lead has no column 'jobtitle'."]


@pytest.mark.parametrize(
    ("values", "now", "creates", "expected"),
    [
        ({"jobtitle": "CEO", "lastname": "Ruiz"}, LEAD, True, False),
        ({"jobtitle": "x" * 60, "lastname": "Ruiz"}, with_column("jobtitle", max_length=50), True, True),
        ({"jobtitle": "x" * 50, "lastname": "Ruiz"}, with_column("jobtitle", max_length=50), True, False),
        ({"jobtitle": "CEO", "lastname": "Ruiz"}, without("jobtitle"), True, True),
        ({"jobtitle": "CEO"}, LEAD, True, True),
        ({"jobtitle": "CEO"}, LEAD, False, False),
        ({"jobtitle": None}, LEAD, False, False),
        ({"industrycode": 21}, LEAD, False, False),
        ({"industrycode": 21}, with_column("industrycode", options={16: "Banking"}), False, True),
        ({"numberofemployees": 501}, with_column("numberofemployees", maximum=500), False, True),
    ],
)
def test_a_write_shows_that_it_was_decided_by_other_metadata(
    values: dict[str, object], now: TableMetadata, creates: bool, expected: bool
) -> None:
    assert is_outdated(values, now, creates) is expected
