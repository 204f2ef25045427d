"""What the fast parser would change or refuse comes through as it was written."""

from __future__ import annotations

import json

import pytest

from dynamics.core.json_text import json_bytes, parse_json


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize(
    "number",
    [
        0,
        2**63 - 1,
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        9_999_999_999_999_999_999,
        -9_999_999_999_999_999_999,
        123456789012345678901,
        int("7" * 300),
    ],
)
def test_an_integer_keeps_all_its_digits(number: int, as_bytes: bool) -> None:
    text = f'{{"badge": {number}, "others": [1, "{number}"]}}'
    value = parse_json(text.encode() if as_bytes else text)
    assert value == {"badge": number, "others": [1, str(number)]}
    assert type(value["badge"]) is int
    assert json.loads(json_bytes(value)) == value


@pytest.mark.parametrize("text", ["1" * 5000, "[NaN]", '["\\ud83d", NaN]', "[12345678901234567890", ""])
def test_what_is_no_json_or_no_number_anybody_writes_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse_json(text)


def test_an_unpaired_surrogate_is_kept() -> None:
    assert parse_json(b'["\\ud83d", 12345678901234567890123]') == ["\ud83d", 12345678901234567890123]


def test_fractions_and_texts_with_many_digits_are_what_they_were() -> None:
    assert parse_json('[0.12345678901234567890123, "00000000000000000000"]') == [
        0.12345678901234567890123,
        "00000000000000000000",
    ]
