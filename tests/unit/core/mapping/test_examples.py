"""Examples of a mapping: what is one, and how a difference reads."""

from __future__ import annotations

from typing import Any

import pytest

from dynamics.core.mapping.examples import differences, example_fault

RECORD = {"record": {"lastname": "Okafor", "leadsourcecode": 7, "donotphone": True}}
REJECT = {"reject": {"column": "lastname", "rule": "required"}}
WARNED = RECORD | {"warnings": ["description: text of 2431 characters was cut to 2000"]}


def changed(**values: Any) -> dict[str, Any]:
    return {"record": RECORD["record"] | values}


@pytest.mark.parametrize(
    ("expected", "found", "lines"),
    [
        (RECORD, RECORD, []),
        (REJECT, REJECT, []),
        (WARNED, WARNED, []),
        (changed(lastname="Stone"), RECORD, ['lastname: expected "Stone", found "Okafor"']),
        (changed(jobtitle="CEO"), RECORD, ['jobtitle: expected "CEO", found no value']),
        (RECORD, changed(jobtitle="CEO"), ['jobtitle: expected no value, found "CEO"']),
        (changed(donotphone=1), RECORD, ["donotphone: expected 1, found true"]),
        (RECORD, REJECT, ["expected a record, but it is rejected (lastname: required)"]),
        (REJECT, RECORD, ["expected a reject (lastname: required), but the record can be written"]),
        (
            {"reject": {"column": "jobtitle", "rule": "too_long"}},
            REJECT,
            ["expected the reject jobtitle: too_long, found lastname: required"],
        ),
        (WARNED, RECORD, ["expected the warning 'description: text of 2431 characters was cut to 2000'"]),
        (RECORD, WARNED, ["warning not expected: 'description: text of 2431 characters was cut to 2000'"]),
    ],
)
def test_a_difference_reads_as_what_was_expected_and_what_was_found(
    expected: dict[str, Any], found: dict[str, Any], lines: list[str]
) -> None:
    assert differences(expected, found) == lines


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"about": "x", "prospect": {}, "expected": {"lead": RECORD}}, None),
        ([], "it is no JSON object"),
        ({"about": "x", "prospect": []}, "'prospect' is missing, or no object"),
        ({"prospect": {}}, "'about' is missing, or no text"),
        ({"about": "x", "prospect": {}, "expected": {}}, "'expected' names no table"),
        (
            {"about": "x", "prospect": {}, "expected": {"lead": {}}},
            "'expected.lead' has not one of 'record' and 'reject' (and, if any, 'warnings')",
        ),
        (
            {"about": "x", "prospect": {}, "expected": {"lead": RECORD}, "expcted": 1},
            "'expcted' is no part of an example: about, expected, prospect",
        ),
    ],
)
def test_what_is_no_example_is_named(content: object, fault: str | None) -> None:
    assert example_fault(content) == fault
