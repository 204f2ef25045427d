"""What would become of a sample: counted by column and rule, never by value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dynamics.core.capture import SourcedProspect
from dynamics.core.forecast import Cause, forecast, sample_frame
from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.mapping import parse_mapping
from dynamics.core.metadata import Column
from tests.unit.core.builders import LEAD, prospect, table

ROWS = """target,source,transform,default
subject,{first_name},truncate,Unknown
lastname,last_name,,
jobtitle,job_title,,
description,notes.all,truncate,
"""


def sourced(**values: Any) -> SourcedProspect:
    return SourcedProspect("pro_1", 1, datetime(2026, 3, 5, tzinfo=UTC), prospect(**values))


SAMPLE = [
    sourced(last_name="Ruiz"),
    sourced(last_name="Ruiz", first_name="A" * 301),
    sourced(last_name="Ruiz", first_name="A" * 999),
    sourced(last_name="Ruiz", job_title="x" * 101),
    sourced(job_title="x" * 101),
    sourced(first_name="Ana"),
    sourced(status="on_hold", job_title="x" * 101),
]


def test_rejections_and_warnings_are_counted_by_column_and_rule() -> None:
    mapping = parse_mapping("lead", ROWS, "lead.csv", {})
    told = forecast(mapping, sample_frame(SAMPLE), LEAD, creates=True, lookups={})
    assert (told.prospects, told.rejected, told.warned) == (6, 3, 2)
    assert told.rejections == (Cause("jobtitle", "too_long", 2), Cause("lastname", "required", 1))
    assert told.warnings == (Cause("subject", "text of n characters was cut to n", 2),)


def test_as_updates_nothing_is_required() -> None:
    mapping = parse_mapping("lead", ROWS, "lead.csv", {})
    told = forecast(mapping, sample_frame(SAMPLE), LEAD, creates=False, lookups={})
    assert told.rejections == (Cause("jobtitle", "too_long", 2),)


def test_those_that_wait_for_a_record_are_told_apart() -> None:
    lookup = Column("parentaccountid", "Lookup", navigation={"account": "parentaccountid"})
    rows = 'target,source,transform\nparentaccountid,company.name,"lookup(account.name, defer)"\n'
    mapping = parse_mapping("lead", rows, "lead.csv", {})
    frame = sample_frame([sourced(company={"name": "Orel"})])
    answers = {LookupKey.of("account", "name", "Orel"): LookupMiss.NOT_FOUND}
    told = forecast(mapping, frame, table(lookup), creates=True, lookups=answers)
    assert (told.rejected, told.rejections) == (0, ())
    assert told.waits == (Cause("parentaccountid", "lookup_not_found", 1),)


def test_keys_that_nobody_has_are_named() -> None:
    rows = "target,source\njobtitle,{custom.budgit} {custom.budget}\nsubject,answer.timelin\nlastname,last_name\n"
    mapping = parse_mapping("lead", rows, "lead.csv", {})
    sample = [sourced(last_name="Ruiz", custom_fields={"budget": {"type": "text", "value": "5"}}), sourced()]
    told = forecast(mapping, sample_frame(sample), LEAD, creates=False, lookups={})
    assert told.unheard == ("answer.timelin", "custom.budgit")
    assert forecast(mapping, sample_frame([]), LEAD, creates=False, lookups={}).unheard == ()
