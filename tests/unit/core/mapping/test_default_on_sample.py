"""The shipped mapping on the whole sample show: nobody is rejected or warned about but whom the generator planted."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from dynamics.core.mapping import Mapped, apply_mapping, update_values
from dynamics.core.mapping.explaining import REQUIRED
from dynamics.core.merge import changed_values
from dynamics.core.normalize import utf16_length
from dynamics.core.prospect import prospect_frame, source_values
from dynamics.rehearsal import Rehearsal
from sandbox.sample import Sample, generate

INCLUDE = Path(__file__).parents[4] / "include"
DESCRIPTION = 2000  # UTF-16 units
CUT = r"description: text of \d+ characters was cut to 2000"

# Planted to be too long for a lead, and fitting into the other tables or not mapped there.
ELSEWHERE = {
    "lead": set(),
    "contact": {"companyname", "mobilephone"},
    "account": {"companyname", "mobilephone", "firstname", "jobtitle", "emailaddress1", "lastname"},
}


@cache
def sample() -> Sample:
    return generate()


@cache
def chunk() -> pd.DataFrame:
    ids = [prospect["id"] for prospect in sample().prospects]
    return prospect_frame(pd.DataFrame({"payload": pd.Series(sample().prospects, dtype=object, index=ids)}))


@cache
def mapped(table: str) -> Mapped:
    rehearsal = Rehearsal(INCLUDE, "default")
    return apply_mapping(rehearsal.mappings.tables[table], chunk(), rehearsal.columns(table))


@pytest.mark.parametrize("table", ["lead", "contact", "account"])
def test_only_the_planted_are_rejected(table: str) -> None:
    planted = {
        key: expected.error_column
        for key, expected in sample().expected.items()
        if expected.outcome == "rejected" and expected.error_column not in ELSEWHERE[table]
    }
    rejected = {key: (reject.column, reject.rule) for key, reject in mapped(table).rejects.items()}
    nameless = [key for key, column in planted.items() if column == "lastname"]
    assert rejected == {key: (column, "too_long") for key, column in planted.items() if key not in nameless}
    assert all(mapped(table).by_label[key].get("lastname") is None for key in nameless)


@pytest.mark.parametrize("table", ["lead", "contact", "account"])
def test_only_those_with_a_long_text_are_warned_about(table: str) -> None:
    texts = source_values(chunk(), ["notes.all", "answers.all"]).fillna("")
    whole = (texts["notes.all"].str.strip() + "\n" + texts["answers.all"]).str.strip()
    long = {key for key, text in whole.items() if utf16_length(text) > DESCRIPTION} if table != "account" else set()
    assert set(mapped(table).warnings) == long
    assert all(len(told) == 1 for told in mapped(table).warnings.values())
    told = pd.Series([line for lines in mapped(table).warnings.values() for line in lines], dtype=object)
    assert told.str.fullmatch(CUT).all()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("lead", {"industrycode", "leadqualitycode", "leadsourcecode", "numberofemployees", "description"}),
        ("contact", {"department", "description", "donotphone"}),
        ("account", {"name", "industrycode", "customertypecode", "address1_city"}),
    ],
)
def test_what_the_show_has_to_say_arrives(table: str, columns: set[str]) -> None:
    values = mapped(table).values
    assert columns <= set(values.columns[values.notna().any()])


def test_a_missing_name_is_a_missing_required_column() -> None:
    nameless = next(e.prospect_id for e in sample().expected.values() if e.error_column == "lastname")
    payload = chunk().loc[nameless, "payload"]
    for table in ("lead", "contact"):
        reject = Rehearsal(INCLUDE, "default").new_record(table, payload).reject
        assert reject is not None
        assert (reject.column, reject.rule) == ("lastname", REQUIRED)


@pytest.mark.parametrize("table", ["lead", "contact"])
def test_whom_the_crm_knows_as_they_are_it_is_told_nothing_about(table: str) -> None:
    rehearsal = Rehearsal(INCLUDE, "default")
    modes, columns = rehearsal.mappings.tables[table].write_modes, rehearsal.columns(table)
    records = {row[f"{table}id"]: row for row in sample().crm[table]}
    equals = [expected for expected in sample().expected.values() if expected.case == f"equal_{table}"]
    assert equals
    for expected in equals:
        told = update_values(mapped(table), expected.prospect_id)
        assert changed_values(told, records[str(expected.record_id)], None, modes, columns) == {}
