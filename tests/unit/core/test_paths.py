"""What stands under each path of a prospect."""

from __future__ import annotations

from typing import Any

import pytest

from dynamics.core.paths import STANDARD, path_fault
from dynamics.core.prospect import source_values
from tests.unit.core.builders import chunk, prospect, submission

FULL = prospect(
    first_name="Ines",
    last_name="Okafor",
    email="ines@example.com",
    score=0,
    tags=["demo", "vip"],
    emails=[{"address": "ines@home.example", "kind": "personal"}],
    phones=[
        {"raw": "(020) 7946 0018", "e164": "+442079460018", "kind": "work"},
        {"raw": "07400 123456", "e164": None, "kind": "mobile"},
        {"raw": "+49 30 901820-7", "e164": "+4930901820", "extension": "7", "kind": "other"},
    ],
    company={
        "name": "Northmoor",
        "employee_count": 240,
        "annual_revenue": {"amount": "18000000.00", "currency": "GBP"},
    },
    addresses=[
        {"kind": "home", "city": "York", "country_code": "GB"},
        {"kind": "work", "city": "Leeds", "country": "United Kingdom", "country_code": "GB"},
    ],
    owner={"id": "usr_1", "email": "sam@vendor.example", "name": "Sam Lee"},
    rating={"scale": "stars_5", "value": 4},
    external_ids={"badge": "A-1"},
    social={"linkedin": "https://linkedin.example/ines"},
    privacy={"do_not_email": False, "do_not_phone": True},
    custom_fields={
        "budget": {"type": "money", "value": {"amount": "25000.00", "currency": "GBP"}},
        "size": {"type": "option", "value": "l", "label": "Large"},
        "due": {"type": "date", "value": "2026-05-01"},
        "interests": ["pumps", "seals"],
        "visited_before": False,
        "badge_number": "00123",
    },
    consents=[
        {"purpose": "marketing", "state": "granted", "recorded_at": "2026-03-04T09:00:00.000Z"},
        {"purpose": "marketing", "state": "withdrawn", "recorded_at": "2026-03-05T09:00:00.000Z"},
    ],
    attachments=[{"id": "att_1", "transcript": " Call me. "}, {"id": "att_2", "transcript": None}],
    notes=[
        {"id": "2", "text": "Second.\n", "created_at": "2026-03-04T10:00:00.000Z"},
        {"id": "1", "text": "First.", "created_at": "2026-03-04T09:00:00.000Z"},
        {"id": "3", "text": " ", "created_at": "2026-03-04T11:00:00.000Z"},
    ],
    submissions=[
        submission(
            id="sub_00000001",
            captured_at="2026-03-04T09:00:00.000Z",
            event={"id": "evt_1", "name": "Old Expo", "code": "OLD"},
            answers=[
                {"element_id": "el_1", "key": "timeline", "question": "When?", "value": "q1", "labels": ["Spring"]},
                {"element_id": "el_2", "key": None, "question": "Site", "value": "Leeds"},
            ],
        ),
        submission(
            id="sub_00000002",
            captured_at="2026-03-04T10:00:00.000Z",
            event={"id": "evt_2", "name": "New Expo", "code": "NEW"},
            form={"id": "frm_1", "name": "Booth form"},
            station={"id": "st_1", "name": "Desk"},
            badge={"id": "A-1", "symbology": "qr"},
            captured_by={"id": "usr_1", "name": "Sam Lee", "email": "sam@vendor.example"},
            location={"latitude": 0, "longitude": -1.5},
            answers=[
                {"element_id": "el_1", "key": "timeline", "question": "When?", "value": "q2", "labels": ["Summer"]},
                {"element_id": "el_2", "key": None, "question": "Site", "value": ""},
                {
                    "element_id": "el_3",
                    "key": "topics",
                    "question": "Topics",
                    "value": ["a", "b"],
                    "labels": ["A", "B"],
                },
                {"element_id": "el_4", "key": "again", "question": "Again?", "value": False},
            ],
        ),
        submission(id="sub_00000003", captured_at="2026-03-04T11:00:00.000Z", state="on_hold", method="typed"),
    ],
)


def value(path: str, payload: dict[str, Any] = FULL) -> object:
    return source_values(chunk(payload), [path])[path].iloc[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("prospect_id", "pro_00000001"),
        ("first_name", "Ines"),
        ("full_name", "Ines Okafor"),
        ("middle_name", None),
        ("score", 0),
        ("tags", ["demo", "vip"]),
        ("emails.personal", "ines@home.example"),
        ("emails.work", None),
        ("phones.work", "+442079460018"),
        ("phones.work.raw", "(020) 7946 0018"),
        ("phones.mobile", "07400 123456"),
        ("phones.other", "+4930901820 x7"),
        ("phones.other.extension", "7"),
        ("phones.home", None),
        ("company.name", "Northmoor"),
        ("company.employee_count", 240),
        ("company.annual_revenue", "18000000.00"),
        ("company.annual_revenue.currency", "GBP"),
        ("address.city", "Leeds"),
        ("address.home.city", "York"),
        ("address.home.country", "GB"),
        ("address.country", "United Kingdom"),
        ("address.other.city", None),
        ("owner.email", "sam@vendor.example"),
        ("rating.value", 4),
        ("external_ids.badge", "A-1"),
        ("social.linkedin", "https://linkedin.example/ines"),
        ("privacy.do_not_email", False),
        ("privacy.do_not_phone", True),
        ("privacy.do_not_mail", None),
        ("custom.budget", "25000.00"),
        ("custom.budget.currency", "GBP"),
        ("custom.size", "Large"),
        ("custom.due", "2026-05-01"),
        ("custom.interests", ["pumps", "seals"]),
        ("custom.visited_before", False),
        ("custom.badge_number", "00123"),
        ("custom.unknown", None),
        ("consent.marketing.state", "withdrawn"),
        ("consent.other.state", None),
        ("submission.id", "sub_00000002"),
        ("submission.captured_at", "2026-03-04T10:00:00.000Z"),
        ("submission.method", "badge_scan"),
        ("submission.station.name", "Desk"),
        ("submission.badge.id", "A-1"),
        ("submission.location.latitude", 0),
        ("submission.device.platform", None),
        ("event.code", "NEW"),
        ("form.name", "Booth form"),
        ("captured_by.email", "sam@vendor.example"),
        ("answer.timeline", "Summer"),
        ("answer.el_1", "Summer"),
        ("answer.el_2", "Leeds"),
        ("answer.topics", ["A", "B"]),
        ("answer.again", False),
        ("answer.unknown", None),
        ("submission.location.accuracy_m", None),
        ("submission.count", 2),
        ("submission.first_captured_at", "2026-03-04T09:00:00.000Z"),
        ("events.all", ["New Expo", "Old Expo"]),
        ("address.all", "Leeds\nUnited Kingdom"),
        ("address.home.all", "York\nGB"),
        ("address.other.all", None),
        ("consents.all", "marketing: withdrawn (2026-03-05T09:00:00.000Z)"),
        ("transcripts.all", "Call me."),
        ("notes.latest", "Second."),
        ("notes.all", "First.\nSecond."),
        ("answers.all", "When? Summer\nTopics: A; B\nAgain? False\nSite: Leeds"),
    ],
)
def test_value(path: str, expected: object) -> None:
    assert value(path) == expected
    assert type(value(path)) is type(expected)


def test_without_a_work_address_the_first_one_counts() -> None:
    payload = prospect(addresses=[{"kind": "other", "city": "Hull"}, {"kind": "home", "city": "York"}])
    assert value("address.city", payload) == "Hull"
    assert value("address.work.city", payload) is None


def test_of_two_of_a_kind_the_first_counts_and_one_of_no_kind_is_nobody_s() -> None:
    numbers = [{"raw": "1", "kind": ["work"]}, {"raw": "2", "kind": "work"}, {"raw": "3", "kind": "work"}]
    assert value("phones.work", prospect(phones=numbers)) == "2"


@pytest.mark.parametrize("path", sorted(STANDARD))
def test_a_bare_prospect_has_every_standard_path(path: str) -> None:
    bare = {"id": "pro_00000001", "revision": 1, "status": "active", "updated_at": "2026-03-05T08:00:00.000Z"}
    nulls = bare | dict.fromkeys(("company", "owner", "rating", "phones", "addresses", "notes", "submissions"))
    assert path_fault(path) is None
    assert value(path, nulls) in (None, *bare.values())


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("firstname", "first_name"),
        ("company.nmae", "company.name"),
        ("phones.cell", "phones."),
        ("city", "address.city"),
        ("custom", "custom.<key>"),
        ("custom.", "custom.<key>"),
        ("consent.marketing", "consent.<purpose>.state"),
        ("consent.marketing.mood", "consent.<purpose>.state"),
        ("zzz", "is no path"),
    ],
)
def test_a_wrong_path_names_the_right_one(path: str, hint: str) -> None:
    assert hint in (path_fault(path) or "")
