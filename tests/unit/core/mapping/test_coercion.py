"""What a value becomes in a column of a type, and what does not fit."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.mapping.coercion import Misfit, coercer, value_class
from tests.unit.core.builders import LEAD, modest, text


def fit(column: str, value: object) -> object:
    convert = coercer(LEAD.columns[column])
    return None if convert is None else convert(value)


@pytest.mark.parametrize(
    ("column", "value", "result"),
    [
        ("jobtitle", "CEO", "CEO"),
        ("jobtitle", " 00123 ", " 00123 "),
        ("jobtitle", 240, "240"),
        ("jobtitle", 1.5, "1.5"),
        ("jobtitle", 123456789012345678901, "123456789012345678901"),
        ("jobtitle", False, "false"),
        ("jobtitle", ["a", "b"], "a; b"),
        ("jobtitle", "x" * 100, "x" * 100),
        ("jobtitle", "😀" * 50, "😀" * 50),
        ("jobtitle", datetime(2026, 3, 4, 9, tzinfo=UTC), "2026-03-04T09:00:00Z"),
        ("numberofemployees", "240", 240),
        ("numberofemployees", 240.0, 240),
        ("numberofemployees", 0, 0),
        ("leadsourcecode", "7", 7),
        ("budgetamount", "25000.00", 25000.0),
        ("budgetamount", Decimal("0.125"), 0.13),
        ("budgetamount", 0, 0.0),
        ("donotphone", "yes", True),
        ("donotphone", False, False),
        ("estimatedclosedate", "2026-03-04T10:00:00.000Z", "2026-03-04"),
        ("estimatedclosedate", date(2026, 3, 4), "2026-03-04"),
        ("lastonholdtime", "2026-03-04T10:00:00.999+02:00", "2026-03-04T08:00:00Z"),
        ("lastonholdtime", "2026-03-04", "2026-03-04T00:00:00Z"),
        ("leadid", "{0A1B2C3D-0000-4000-8000-000000000001}", "0a1b2c3d-0000-4000-8000-000000000001"),
    ],
)
def test_fits(column: str, value: object, result: object) -> None:
    found = fit(column, value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("jobtitle", "x" * 101, "too_long"),
        ("jobtitle", "😀" * 51, "too_long"),
        ("jobtitle", {"a": 1}, "not_text"),
        ("numberofemployees", "1E5", "not_a_whole_number"),
        ("numberofemployees", "2.5", "not_a_whole_number"),
        ("numberofemployees", True, "not_a_whole_number"),
        ("numberofemployees", float("inf"), "not_a_whole_number"),
        ("numberofemployees", -1, "out_of_range"),
        ("numberofemployees", 10**400, "out_of_range"),
        ("leadsourcecode", 8, "not_an_option"),
        ("leadsourcecode", "Web", "not_an_option"),
        ("budgetamount", "1.234,56", "not_a_number"),
        ("budgetamount", "9" * 41, "not_a_number"),
        ("budgetamount", 1e13, "out_of_range"),
        ("budgetamount", float("inf"), "out_of_range"),
        ("budgetamount", True, "not_a_number"),
        ("donotphone", "perhaps", "not_a_boolean"),
        ("estimatedclosedate", "04/03/2026", "not_a_date"),
        ("estimatedclosedate", "1752-12-31", "out_of_range"),
        ("lastonholdtime", 5, "not_a_date"),
        ("lastonholdtime", "9999-12-31T23:59:59-10:00", "out_of_range"),
        ("leadid", "12", "not_an_id"),
    ],
)
def test_does_not_fit(column: str, value: object, rule: str) -> None:
    misfit = fit(column, value)
    assert isinstance(misfit, Misfit)
    assert misfit.rule == rule


@pytest.mark.parametrize("column", ["entityimage"])
def test_types_that_are_not_supported(column: str) -> None:
    assert coercer(LEAD.columns[column]) is None


def test_a_column_without_a_length_takes_any() -> None:
    convert = coercer(text("a", None))
    assert convert is not None
    assert convert("x" * 5000) == "x" * 5000


def test_the_class_of_a_value_tells_nothing_about_it() -> None:
    values = ["Ann Lee", 42, True, ["a", "b"], {"a": 1}, date(2026, 3, 4)]
    assert [value_class(value) for value in values] == [
        "text of 7 characters",
        "a number",
        "a yes/no value",
        "a list of 2",
        "a structured value",
        "a date",
    ]


MAPPABLE = sorted(name for name, column in LEAD.columns.items() if coercer(column) is not None)


@given(
    st.sampled_from(MAPPABLE),
    st.text()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.lists(st.text(), max_size=2)
    | st.dates(),
)
@modest
def test_what_fits_is_json_and_fits_again(column: str, value: object) -> None:
    fitted = fit(column, value)
    if not isinstance(fitted, Misfit):
        assert json.loads(json.dumps(fitted)) == fitted
        assert fit(column, fitted) == fitted
