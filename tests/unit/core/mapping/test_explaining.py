"""How a prospect's way through a mapping is told: every value on it, and what a new record gets of it."""

from __future__ import annotations

from typing import Any

import pytest

from dynamics.core.lookup import LookupMiss
from dynamics.core.mapping import Mapping, parse_mapping, wanted_lookups
from dynamics.core.mapping.explaining import Fate, NewRecord, RuleStory, Stage, explain, new_record, stand_ins
from tests.unit.core.builders import LEAD, chunk, prospect, submission

INES = prospect(first_name=" Ines ", last_name="Okafor", email="INES@Example.com", rating={"value": 4})
LINES = "lastname,last_name,,,,,", "subject,{first_name} {last_name},,,,,"


def table(*rows: str) -> Mapping:
    header = "target,source,transform,default,write,blank,comment\n"
    return parse_mapping("lead", header + "\n".join(rows) + "\n", "lead.csv", {"hot": {"4": "7", "*": ""}})


def story(row: str, payload: dict[str, Any] | None = None) -> RuleStory:
    [told] = stories(table(row), payload or INES)
    return told


def stories(mapping: Mapping, payload: dict[str, Any]) -> tuple[RuleStory, ...]:
    frame = chunk(payload)
    return explain(mapping, frame, LEAD, stand_ins(wanted_lookups(mapping, frame)))


def made_of(mapping: Mapping, payload: dict[str, Any]) -> NewRecord:
    frame = chunk(payload)
    return new_record(mapping, frame, LEAD, stand_ins(wanted_lookups(mapping, frame)))


@pytest.mark.parametrize(
    ("row", "stages", "fate", "value"),
    [
        ("firstname,first_name,trim|upper,,,,", [("", " Ines "), ("trim", "Ines"), ("upper", "INES")], "value", "INES"),
        ("leadsourcecode,rating.value,map(hot),,,,", [("", 4), ("map(hot)", "7")], "value", 7),
        ("leadsourcecode,=7,,,,,", [("", "7")], "value", 7),
        ("subject,{first_name} of {company.name},,,,,", [("", "Ines")], "value", "Ines"),
        ("leadsourcecode,=trade show,choice,,,,", [("", "trade show"), ("choice", 7)], "value", 7),
        ("jobtitle,job_title,trim,Guest,,,", [("", None), ("trim", None)], "default", "Guest"),
        ("jobtitle,job_title,,,,,", [("", None)], "blank", None),
    ],
)
def test_every_value_on_the_way_is_told(row: str, stages: list[tuple[str, object]], fate: str, value: object) -> None:
    told = story(row)
    assert list(told.stages) == [Stage(*stage) for stage in stages]
    assert (told.fate, told.value) == (Fate(fate), value)


def test_a_value_that_does_not_fit_is_told_with_its_rule_and_hides_no_other() -> None:
    long = INES | {"job_title": "x" * 101}
    told = stories(table("jobtitle,job_title,,,,,", "firstname,first_name,trim,,,,"), long)
    assert [each.fate for each in told] == [Fate.REJECTED, Fate.VALUE]
    assert told[0].told == ("jobtitle: text of 101 characters does not fit into 100",)


def test_a_warning_stands_with_its_rule() -> None:
    told = story("jobtitle,job_title,truncate,,,,", INES | {"job_title": "x" * 101})
    assert told.told == ("jobtitle: text of 101 characters was cut to 100",)
    assert told.value == "x" * 100


@pytest.mark.parametrize("row", ["subject,{first_name}: {answers.all}\\n,,,,,", "jobtitle,job_title,,,,,", "a,=7,,,,,"])
def test_a_source_is_told_as_it_was_written(row: str) -> None:
    assert str(table(row).rows[0].origin) == row.split(",")[1]


def test_a_new_record_has_values_and_defaults_and_no_blanks() -> None:
    made = made_of(table(*LINES, "jobtitle,job_title,,Guest,,,", "firstname,middle_name,,,,,"), INES)
    assert made.values == {"lastname": "Okafor", "subject": "Ines Okafor", "jobtitle": "Guest"}
    assert made.reject is None


def test_a_new_record_that_lacks_a_required_column_is_none() -> None:
    made = made_of(table(*LINES), prospect(email="a@example.com", first_name="Ines"))
    assert made.values == {}
    assert made.reject is not None
    assert (made.reject.column, made.reject.rule) == ("lastname", "required")


CAMPAIGN = 'campaignid,event.code,"lookup(campaign.codename{})",,,,'
SCANNED = INES | {"submissions": [submission(event={"id": "evt_1", "code": "FLOW25"})]}


def test_a_lookup_without_a_crm_is_told_in_words() -> None:
    told = story(CAMPAIGN.format(""), SCANNED)
    said = "campaign where codename = FLOW25"
    assert told.stages == (Stage("", "FLOW25"), Stage("lookup(campaign.codename)", said))
    assert (told.fate, told.value) == (Fate.VALUE, said)
    assert made_of(table(*LINES, CAMPAIGN.format("")), SCANNED).values["campaignid"] == said


@pytest.mark.parametrize(("word", "fate"), [("", "rejected"), (", blank", "blank"), (", defer", "rejected")])
def test_a_record_that_is_not_there_is_told(word: str, fate: str) -> None:
    mapping, frame = table(CAMPAIGN.format(word)), chunk(SCANNED)
    missing = dict.fromkeys(wanted_lookups(mapping, frame), LookupMiss.NOT_FOUND)
    [told] = explain(mapping, frame, LEAD, missing)
    assert told.fate == Fate(fate)
    assert told.told == ("campaignid: text of 6 characters is not found in campaign.codename",)
