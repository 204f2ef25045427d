"""What is sent to a record that exists, and what a person keeps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.identity import column_hashes
from dynamics.core.mapping import WriteMode
from dynamics.core.merge import changed_values, merge_members, same_value
from tests.unit.core.builders import LEAD, modest

CREATE_ONLY, IF_EMPTY, APPEND = WriteMode.CREATE_ONLY, WriteMode.IF_EMPTY, WriteMode.APPEND


def changes(
    wanted: dict[str, Any],
    current: dict[str, Any],
    settled: dict[str, Any] | None = None,
    **modes: WriteMode,
) -> dict[str, Any]:
    hashes = None if settled is None else column_hashes(settled)
    return changed_values(wanted, current, hashes, modes, LEAD)


WORDS = st.sampled_from(["", " ", "ours", "theirs", "other"])


@pytest.mark.parametrize(
    ("ours_before", "there", "wanted", "sent"),
    [
        (None, None, "new", True),  # we never wrote: fill
        (None, "theirs", "new", True),  # we never wrote: replace
        (None, "new", "new", False),  # equal already
        ("old", "old", "new", True),  # only we changed
        ("old", "theirs", "old", False),  # only a person changed: theirs stays
        ("old", None, "old", False),  # a person emptied it: stays empty
        ("old", "theirs", "new", True),  # both changed: the newer word of the prospect
        ("old", "new", "new", False),  # both changed to the same
    ],
)
def test_three_way(ours_before: str | None, there: str | None, wanted: str, sent: bool) -> None:
    settled = None if ours_before is None else {"jobtitle": ours_before}
    expected = {"jobtitle": wanted} if sent else {}
    assert changes({"jobtitle": wanted}, {"jobtitle": there}, settled) == expected


@pytest.mark.parametrize(
    ("mode", "there", "sent"),
    [
        (CREATE_ONLY, None, {}),
        (CREATE_ONLY, "theirs", {}),
        (IF_EMPTY, None, {"jobtitle": "ours"}),
        (IF_EMPTY, "  ", {"jobtitle": "ours"}),
        (IF_EMPTY, "theirs", {}),
        (APPEND, None, {"jobtitle": "ours"}),
        (APPEND, "theirs", {"jobtitle": "theirs\nours"}),
        (APPEND, "it is ours", {}),
    ],
)
def test_write_modes(mode: WriteMode, there: str | None, sent: dict[str, str]) -> None:
    assert changes({"jobtitle": "ours"}, {"jobtitle": there}, jobtitle=mode) == sent


@pytest.mark.parametrize("mode", [WriteMode.ALWAYS, IF_EMPTY, APPEND])
def test_a_placeholder_leaves_when_a_real_value_comes(mode: WriteMode) -> None:
    modes, placeholders = {"jobtitle": mode}, {"jobtitle": "Unknown"}
    sent = changed_values({"jobtitle": "ours"}, {"jobtitle": "Unknown"}, {}, modes, LEAD, placeholders)
    assert sent == {"jobtitle": "ours"}


def test_what_a_person_wrote_over_a_placeholder_is_no_placeholder() -> None:
    modes, placeholders = {"jobtitle": IF_EMPTY}, {"jobtitle": "Unknown"}
    assert changed_values({"jobtitle": "ours"}, {"jobtitle": "theirs"}, {}, modes, LEAD, placeholders) == {}


def test_notes_that_grew_are_appended_once() -> None:
    there = "Bought pumps in 2020.\nFirst.\r\nSecond."
    sent = changes({"description": "First.\nSecond.\nThird."}, {"description": there}, description=APPEND)
    assert sent == {"description": f"{there}\nThird."}
    assert changes({"description": "First.\nSecond."}, {"description": there}, description=APPEND) == {}


def test_nothing_is_appended_beyond_the_length() -> None:
    wanted, current, modes = {"jobtitle": "x" * 60}, {"jobtitle": "y" * 60}, {"jobtitle": APPEND}
    assert changes(wanted, current, None, **modes) == {}


def test_what_a_person_took_out_of_an_appended_text_stays_out() -> None:
    assert (
        changes({"description": "ours"}, {"description": "theirs"}, {"description": "ours"}, description=APPEND) == {}
    )


def test_clearing() -> None:
    assert changes({"jobtitle": None}, {"jobtitle": "theirs"}) == {"jobtitle": None}
    assert changes({"jobtitle": None}, {"jobtitle": None}) == {}
    assert changes({"jobtitle": None}, {}) == {}
    assert changes({"jobtitle": None}, {"jobtitle": "theirs"}, {"jobtitle": None}) == {}
    assert changes({"jobtitle": None}, {"jobtitle": "theirs"}, jobtitle=IF_EMPTY) == {}
    assert changes({"jobtitle": None}, {"jobtitle": "theirs"}, jobtitle=APPEND) == {}


@pytest.mark.parametrize(
    ("column", "ours", "theirs", "same"),
    [
        ("jobtitle", "CEO", "CEO", True),
        ("jobtitle", "CEO", "ceo", False),
        ("jobtitle", "CEO ", "CEO", False),
        ("jobtitle", None, "", True),
        ("description", "a\nb", "a\r\nb", True),
        ("leadsourcecode", 7, 7, True),
        ("leadsourcecode", 7, 1, False),
        ("budgetamount", 25000.0, 25000, True),
        ("budgetamount", 0.125, 0.13, True),
        ("budgetamount", 25000.01, 25000, False),
        ("budgetamount", 0, None, False),
        ("donotphone", True, True, True),
        ("donotphone", False, None, False),
        ("lastonholdtime", "2026-03-04T09:00:00Z", "2026-03-04T09:00:00.123Z", True),
        ("lastonholdtime", "2026-03-04T09:00:00Z", "2026-03-04T10:00:00+01:00", True),
        ("lastonholdtime", "2026-03-04T09:00:00Z", "2026-03-04T09:00:01Z", False),
        ("estimatedclosedate", "2026-03-04", "2026-03-04", True),
        ("estimatedclosedate", "2026-03-04", "2026-03-05", False),
        ("leadid", "0A1B2C3D-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000001", True),
    ],
)
def test_equality_by_type(column: str, ours: object, theirs: object, same: bool) -> None:
    assert same_value(LEAD.columns[column], ours, theirs) is same


def test_the_newest_that_says_something_wins_per_column() -> None:
    members: list[dict[str, Any]] = [
        {"jobtitle": "Engineer", "firstname": "Ann", "telephone1": None},
        {"jobtitle": "CEO", "lastname": "Lee", "telephone1": None},
        {"jobtitle": None, "donotphone": False},
    ]
    assert merge_members(members) == {
        "jobtitle": "CEO",
        "firstname": "Ann",
        "lastname": "Lee",
        "telephone1": None,
        "donotphone": False,
    }


COLUMNS = st.dictionaries(st.sampled_from(["jobtitle", "firstname", "description"]), WORDS)
MODES = st.dictionaries(st.sampled_from(["jobtitle", "firstname", "description"]), st.sampled_from(list(WriteMode)))


@given(COLUMNS, COLUMNS, st.none() | COLUMNS, MODES)
@modest
def test_what_is_sent_settles_it(
    wanted: dict[str, str], current: dict[str, str], settled: dict[str, str] | None, modes: dict[str, WriteMode]
) -> None:
    hashes = None if settled is None else column_hashes(settled)
    sent = changed_values(wanted, current, hashes, modes, LEAD)
    assert set(sent) <= set(wanted)
    assert changed_values(wanted, current | sent, hashes, modes, LEAD) == {}
    assert changed_values(wanted, current | sent, column_hashes(wanted), modes, LEAD) == {}
    for name in sent:
        assert modes.get(name) is not CREATE_ONLY
        assert hashes is None or hashes.get(name) != column_hashes(wanted)[name]


@given(COLUMNS, COLUMNS)
@modest
def test_a_person_s_edits_after_ours_are_never_overwritten(ours: dict[str, str], edited: dict[str, str]) -> None:
    assert changed_values(ours, ours | edited, column_hashes(ours), {}, LEAD) == {}
