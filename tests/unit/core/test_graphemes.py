"""Where a text may be cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.graphemes import floor_boundary, is_boundary
from tests.unit.core.builders import modest

WHOLE = [
    "e\u0301",
    "\r\n",
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "❤️",
    "🇩🇪",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "각",
    "\u1100\u1161\u11a8",
    "가\u11a8",
    "กำ",
    "क्ष",
    "\u0600١",
    "Z͑ͫ̓ͪ̂",
]


@pytest.mark.parametrize("character", WHOLE)
def test_a_reader_s_character_is_never_cut(character: str) -> None:
    text = f"a{character}b"
    inside = range(2, 1 + len(character))
    assert not [index for index in inside if is_boundary(text, index)]
    assert is_boundary(text, 1)
    assert is_boundary(text, 1 + len(character))


def test_flags_part_after_every_second_letter() -> None:
    assert [is_boundary("🇩🇪🇫🇷🇬", index) for index in range(6)] == [True, False, True, False, True, True]


@given(st.lists(st.sampled_from([*WHOLE, "a", "字", "😀", " "]), max_size=12), st.integers(0, 60))
@modest
def test_the_last_boundary_is_one(characters: list[str], index: int) -> None:
    text = "".join(characters)
    index = min(index, len(text))
    floor = floor_boundary(text, index)
    assert floor <= index
    assert is_boundary(text, floor)
    assert not any(is_boundary(text, between) for between in range(floor + 1, index + 1))
