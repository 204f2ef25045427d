"""Which prospects an automation takes."""

from __future__ import annotations

from typing import Any

import pytest

from dynamics.core.where import Where, chosen


def submission(captured_at: str = "2026-03-14T09:00:00Z", state: str = "complete", **parts: Any) -> dict[str, Any]:
    return {"id": f"sub_{captured_at}", "captured_at": captured_at, "state": state, **parts}


def answer(key: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"element_id": f"el_{key}", "key": key, "question": key, "type": "text", "value": value, **more}


def prospect(*submissions: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"id": "pro_1", "updated_at": "2026-03-14T09:00:00Z", "submissions": list(submissions), **parts}


EVENT = {"event": {"id": "evt_1"}, "form": {"id": "frm_1"}}
ASKED = submission(answers=[answer("timeline", "now"), answer("budget", 5000), answer("ready", True)])


@pytest.mark.parametrize(
    ("where", "payload", "is_taken"),
    [
        (Where(), prospect(), True),
        (Where(event_ids=("evt_1",)), prospect(submission(**EVENT)), True),
        (Where(event_ids=("evt_2", "evt_1")), prospect(submission(**EVENT)), True),
        (Where(event_ids=("evt_2",)), prospect(submission(**EVENT)), False),
        (Where(event_ids=("evt_1",)), prospect(submission(event=None)), False),
        (Where(event_ids=("evt_1",)), prospect(submission(state="deleted", **EVENT)), False),
        (Where(event_ids=("evt_1",)), prospect(submission(state="on_hold", **EVENT)), True),
        # Each condition is met by any one submission, as in the source's listing.
        (
            Where(event_ids=("evt_1",), form_ids=("frm_2",)),
            prospect(submission(**EVENT), submission(form={"id": "frm_2"})),
            True,
        ),
        (Where(event_ids=("evt_1",), form_ids=("frm_2",)), prospect(submission(**EVENT)), False),
        (Where(owner_ids=("usr_1",)), prospect(owner={"id": "usr_1"}), True),
        (Where(owner_ids=("usr_1",)), prospect(owner=None), False),
        (Where(tags=("vip", "press")), prospect(tags=["guest", "press"]), True),
        (Where(tags=("vip",)), prospect(tags=["VIP"]), False),  # letter by letter
        (Where(tags=("vip",)), prospect(), False),
        (Where(answers={"timeline": ("later", "now")}), prospect(ASKED), True),
        (Where(answers={"el_timeline": ("now",)}), prospect(ASKED), True),
        (Where(answers={"timeline": ("Now",)}), prospect(ASKED), False),
        (Where(answers={"timeline": ("now",), "ready": (False,)}), prospect(ASKED), False),
        (Where(answers={"budget": (5000,)}), prospect(ASKED), True),
        (Where(answers={"budget": ("5000",)}), prospect(ASKED), True),
        (Where(answers={"ready": (True,)}), prospect(ASKED), True),
        (Where(answers={"ready": (1,)}), prospect(ASKED), False),
        (Where(answers={"ready": ("True",)}), prospect(ASKED), False),
        (Where(answers={"nobody": ("",)}), prospect(ASKED), False),
        # The newest answer counts; one of several choices will do.
        (
            Where(answers={"timeline": ("now",)}),
            prospect(ASKED, submission("2026-03-15T09:00:00Z", answers=[answer("timeline", "never")])),
            False,
        ),
        (
            Where(answers={"topics": ("CRM",)}),
            prospect(submission(answers=[answer("topics", ["c1", "c2"], labels=["ERP", "CRM"])])),
            True,
        ),
        (Where(answers={"timeline": ("now",)}), prospect(ASKED | {"state": "on_hold"}), False),
        (
            Where(consent={"marketing": ("granted",)}),
            prospect(
                consents=[
                    {"purpose": "marketing", "state": "granted", "recorded_at": "2026-03-14T09:00:00Z"},
                    {"purpose": "marketing", "state": "withdrawn", "recorded_at": "2026-03-15T09:00:00Z"},
                ]
            ),
            False,
        ),
        (
            Where(consent={"marketing": ("granted", "requested")}),
            prospect(consents=[{"purpose": "marketing", "state": "requested", "recorded_at": "2026-03-14T09:00:00Z"}]),
            True,
        ),
        (Where(consent={"marketing": ("unknown",)}), prospect(), False),
    ],
)
def test_what_is_taken(where: Where, payload: dict[str, Any], is_taken: bool) -> None:
    assert chosen([payload], where) == [is_taken]


def test_a_page_keeps_its_order() -> None:
    page = [prospect(tags=["a"]), prospect(tags=["b"]), prospect(tags=["a", "b"])]
    assert chosen(page, Where(tags=("b",))) == [False, True, True]
    assert chosen([], Where(tags=("b",))) == []
