"""Which actions answer a delivery, and when a run is full."""

from __future__ import annotations

import pytest

from dynamics.core.fulfillment import (
    ROLL_AFTER_PROSPECTS,
    ROLL_AFTER_S,
    Delivery,
    Listener,
    Scene,
    answering,
    is_full,
    pause_s,
    scene_of_prospect,
)

ALL = Listener("all")
EVENT = Listener("event", event_ids=frozenset({"e1"}))
FORM = Listener("form", form_ids=frozenset({"f1", "f2"}))
BOTH = Listener("both", frozenset({"e1"}), frozenset({"f1"}))
BROKEN = Listener("broken", broken=True)
LISTENERS = (ALL, EVENT, FORM, BOTH, BROKEN)


def scene(*ids: str) -> Scene:
    return Scene(frozenset(i for i in ids if i[0] == "e"), frozenset(i for i in ids if i[0] == "f"))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, ["all", "event", "form", "both", "broken"]),
        (scene("e1", "f1"), ["all", "event", "form", "both", "broken"]),
        (scene("e1", "f9"), ["all", "event", "broken"]),
        (scene("e9", "f2"), ["all", "form", "broken"]),
        (scene(), ["all", "broken"]),
    ],
)
def test_an_action_answers_its_events_and_forms(place: Scene | None, expected: list[str]) -> None:
    assert answering(Delivery("c", "1", "t", prospect_ids=("p",), scene=place), LISTENERS) == expected


def test_one_asked_for_by_name_is_the_only_one_if_it_is_there() -> None:
    named = Delivery("c", "1", "action.requested", prospect_ids=("p",), scene=scene("e9"), action="form")
    assert answering(named, LISTENERS) == ["form"]
    assert answering(named, (ALL, EVENT)) == ["all"]


def test_nobody_answers_what_is_about_nobody() -> None:
    assert answering(Delivery("c", "1", "webhook.test"), LISTENERS) == []


def test_a_prospect_was_captured_where_its_submissions_were_and_one_that_is_gone_nowhere_known() -> None:
    kept = {"event": {"id": "e1"}, "form": None, "state": "complete"}
    gone = {"event": {"id": "e2"}, "form": {"id": "f2"}, "state": "deleted"}
    assert scene_of_prospect({"submissions": [kept, gone]}) == scene("e1")
    assert scene_of_prospect({"submissions": [kept], "deleted_at": "2026-03-14T09:00:00Z"}) is None


@pytest.mark.parametrize(
    ("has", "age_s", "expected"),
    [
        (0, 10 * ROLL_AFTER_S, False),
        (1, ROLL_AFTER_S - 1, False),
        (1, ROLL_AFTER_S, True),
        (ROLL_AFTER_PROSPECTS, 0, True),
    ],
)
def test_a_run_is_full_by_age_or_by_number(has: int, age_s: float, expected: bool) -> None:
    assert is_full(has, age_s) is expected


def test_a_pause_doubles_from_the_first_to_the_longest() -> None:
    assert [pause_s(attempts) for attempts in (0, 1, 2, 3, 6, 7, 500)] == [60, 60, 120, 240, 1920, 3600, 3600]
