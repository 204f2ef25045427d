"""The chunk frame: dtypes, capture times, states, blanks."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from dynamics.core.prospect import prospect_frame, source_values
from tests.unit.core.builders import chunk, items, prospect, submission


def state_of(**values: Any) -> str:
    return str(chunk(prospect(**values))["state"].iloc[0])


def test_the_frame_keeps_its_rows_and_gains_declared_columns() -> None:
    claimed = items(prospect(), prospect(id="pro_00000002", submissions=[]))
    frame = prospect_frame(claimed)
    assert list(frame.index) == [100, 101]
    assert set(frame.columns) == {*claimed.columns, "captured_at", "state", "captures"}
    assert str(frame["captured_at"].dtype) == "datetime64[us, UTC]"
    assert frame.loc[100, "captured_at"] == pd.Timestamp("2026-03-04T09:00:00Z")
    assert frame.loc[101, "captured_at"] == pd.Timestamp("2026-03-05T08:00:00Z")
    assert "state" not in claimed.columns


def test_an_empty_claim_is_an_empty_frame() -> None:
    frame = prospect_frame(items(prospect()).iloc[:0])
    assert len(frame) == 0
    assert str(frame["captured_at"].dtype) == "datetime64[us, UTC]"
    assert source_values(frame, ["email"]).shape == (0, 1)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "ready"),
        ({"submissions": []}, "ready"),
        ({"submissions": None}, "ready"),
        ({"status": "recycled"}, "recycled"),
        ({"status": "on_hold"}, "on_hold"),
        ({"privacy": {"processing_restricted": True}}, "processing_restricted"),
        ({"privacy": {"processing_restricted": False}}, "ready"),
        ({"deleted_at": "2026-03-06T00:00:00.000Z", "deletion_reason": "erasure"}, "deleted"),
        ({"deleted_at": "2026-03-06T00:00:00.000Z", "privacy": {"processing_restricted": True}}, "deleted"),
        ({"status": "recycled", "privacy": {"processing_restricted": True}}, "processing_restricted"),
    ],
)
def test_state_of_the_prospect(values: dict[str, Any], state: str) -> None:
    assert state_of(**values) == state


def test_a_prospect_whose_personal_data_was_removed_is_not_synced() -> None:
    claimed = items(prospect(), prospect(id="pro_00000002"))
    claimed["payload"] = [{}, claimed["payload"].iloc[1]]
    assert list(prospect_frame(claimed)["state"]) == ["payload_removed", "ready"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["on_hold"], "on_hold"),
        (["awaiting_transcription"], "awaiting_transcription"),
        (["on_hold", "awaiting_reconciliation"], "awaiting_reconciliation"),
        (["complete", "on_hold"], "ready"),
        (["on_hold", "complete"], "ready"),
        (["awaiting_transcription", "deleted"], "awaiting_transcription"),
        (["deleted"], "ready"),
        (["a_state_of_tomorrow"], "on_hold"),
    ],
)
def test_state_of_the_submissions(states: list[str], expected: str) -> None:
    """`states` from the oldest capture to the newest, listed the other way round."""
    captures = [
        submission(id=f"sub_{hour:08}", captured_at=f"2026-03-04T{hour:02}:00:00.000Z", state=state)
        for hour, state in enumerate(states)
    ]
    assert state_of(submissions=captures[::-1]) == expected


def test_the_newest_complete_capture_counts_to_the_fraction() -> None:
    captures = [
        submission(id="sub_00000001", captured_at="2026-03-04T09:00:00Z"),
        submission(id="sub_00000002", captured_at="2026-03-04T09:00:00.500Z"),
        submission(id="sub_00000003", captured_at="2026-03-04T09:00:01Z", state="on_hold"),
    ]
    frame = chunk(prospect(submissions=captures))
    assert frame["captured_at"].iloc[0] == pd.Timestamp("2026-03-04T09:00:00.5Z")
    assert [entry["id"] for entry in frame["captures"].iloc[0]] == ["sub_00000002", "sub_00000001"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04T10:00:00+02:00", "2026-03-04T08:00:00Z"),
        ("2026-03-04T10:00:00", "2026-03-04T10:00:00Z"),
        ("not a time", "1970-01-01T00:00:00Z"),
        (None, "1970-01-01T00:00:00Z"),
    ],
)
def test_odd_times(text: str | None, moment: str) -> None:
    frame = chunk(prospect(submissions=[submission(captured_at=text)]))
    assert frame["captured_at"].iloc[0] == pd.Timestamp(moment)


@pytest.mark.parametrize("blank", [None, "", "   ", "\t\n", float("nan"), [], ["", None], {}])
def test_blanks_are_none(blank: object) -> None:
    assert source_values(chunk(prospect(job_title=blank)), ["job_title"])["job_title"].iloc[0] is None


@pytest.mark.parametrize("value", [0, False, 0.0, "0", " x ", ["x"]])
def test_values_are_not_blanks(value: object) -> None:
    found = source_values(chunk(prospect(score=value)), ["score"])["score"].iloc[0]
    assert found == value
    assert type(found) is type(value)


def test_one_sorted_object_column_a_path() -> None:
    values = source_values(chunk(prospect(score=1), prospect(id="pro_00000002")), ["score", "email"])
    assert list(values.columns) == ["email", "score"]
    assert [str(dtype) for dtype in values.dtypes] == ["object", "object"]
    assert values["score"].tolist() == [1, None]


def test_an_unknown_path_is_an_error() -> None:
    with pytest.raises(KeyError, match="firstname"):
        source_values(chunk(prospect()), ["firstname"])
