"""CreateMultiple, UpdateMultiple, UpsertMultiple: order, all or nothing, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sandbox.dataverse.desk import A, B, C, Desk, typed


def bulk(operation: str, *targets: dict[str, Any], entity_set: str = "leads") -> tuple[str, str, dict[str, Any]]:
    return "POST", f"{entity_set}/Microsoft.Dynamics.CRM.{operation}", {"Targets": list(targets)}


def test_ids_come_in_the_order_of_the_targets(desk: Desk) -> None:
    targets = [typed("lead", leadid=B), typed("lead", lastname="no id of its own"), typed("lead", leadid=A)]
    answer = desk.ok(*bulk("CreateMultiple", *targets))
    assert (answer["Ids"][0], answer["Ids"][2]) == (B, A)
    response = desk.call(*bulk("CreateMultiple", typed("lead", leadid=C)))
    assert (response.rows, response.changes) == (1, (("create", "lead", C),))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"jobtitle": "x" * 101}, "0x80044331"),
        ({"leadid": A}, "0x80040237"),
        ({"nosuch": 1}, "0x80048d19"),
        ({"cap_badgeid": "TAKEN"}, "0x80060892"),
        ({"campaignid@odata.bind": f"/campaigns({A})"}, "0x80040217"),
    ],
)
def test_one_bad_target_undoes_all_and_is_not_pointed_out(desk: Desk, bad: dict[str, Any], code: str) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Here before", "cap_badgeid": "taken"})
    refused = desk.refused(*bulk("CreateMultiple", typed("lead", lastname="Good"), typed("lead", **bad)))
    assert refused[1] == code
    assert "index" not in refused[2].lower()
    assert [row["lastname"] for row in desk.ok("GET", "leads")["value"]] == ["Here before"]
    assert desk.names("lastname eq 'good'") == []


def test_a_key_used_twice_within_one_request(desk: Desk) -> None:
    twins = [typed("lead", cap_badgeid=value) for value in ("A", "a")]
    assert desk.refused(*bulk("CreateMultiple", *twins))[1] == "0x80060892"


@pytest.mark.parametrize("operation", ["CreateMultiple", "UpdateMultiple", "UpsertMultiple"])
@pytest.mark.parametrize(
    "target", [{"leadid": A}, {"@odata.type": "Microsoft.Dynamics.CRM.contact", "leadid": A}, "text"]
)
def test_each_target_says_its_type(desk: Desk, operation: str, target: Any) -> None:
    assert desk.refused(*bulk(operation, target))[0] == 400


def test_update_multiple_takes_a_repeated_row_once(desk: Desk) -> None:
    desk.ok(*bulk("CreateMultiple", typed("lead", leadid=A), typed("lead", leadid=B)))
    targets = [typed("lead", leadid=A, jobtitle="first"), typed("lead", leadid=A, jobtitle="second")]
    response = desk.call(*bulk("UpdateMultiple", *targets, typed("lead", leadid=B, jobtitle="other")))
    assert (response.status, response.body) == (204, b"")
    assert [desk.ok("GET", f"leads({row})")["jobtitle"] for row in (A, B)] == ["first", "other"]


def test_update_multiple_of_a_missing_row_changes_nothing(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A})
    targets = [typed("lead", leadid=A, jobtitle="x"), typed("lead", leadid=B, jobtitle="x")]
    assert desk.refused(*bulk("UpdateMultiple", *targets))[2] == f"Lead With Ids = {B} Do Not Exist"
    assert desk.ok("GET", f"leads({A})")["jobtitle"] is None
    assert desk.refused(*bulk("UpdateMultiple", typed("lead", jobtitle="x")))[0] == 400


def test_upsert_multiple_by_id_and_by_key(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    desk.ok("POST", "leads", {"leadid": B, "cap_badgeid": "K1"})
    targets = [
        typed("lead", leadid=A, jobtitle="by id"),
        {**typed("lead", jobtitle="by key"), "@odata.id": "leads(cap_badgeid='k1')"},
        {**typed("lead", jobtitle="new"), "@odata.id": "leads(cap_badgeid='a%20b')"},
        typed("lead", leadid=C, jobtitle="new by id"),
    ]
    response = desk.call(*bulk("UpsertMultiple", *targets))
    assert (response.status, response.body) == (204, b"")
    assert [event for event, _, _ in response.changes] == ["update", "update", "create", "create"]
    rows = {row["jobtitle"]: row for row in desk.ok("GET", "leads")["value"]}
    assert (rows["by key"]["leadid"], rows["new"]["cap_badgeid"], rows["new by id"]["leadid"]) == (B, "a b", C)


def test_upsert_multiple_refuses_doubles_and_keys_given_twice(desk: Desk) -> None:
    keyed = {**typed("lead"), "@odata.id": "leads(cap_badgeid='K')"}
    assert desk.refused(*bulk("UpsertMultiple", keyed, {**keyed, "@odata.id": "leads(cap_badgeid='k')"}))[0] == 400
    assert desk.refused(*bulk("UpsertMultiple", typed("lead", leadid=A), typed("lead", leadid=A)))[0] == 400
    assert desk.refused(*bulk("UpsertMultiple", {**keyed, "cap_badgeid": "K"}))[0] == 400
    assert desk.ok("GET", "leads")["value"] == []


def test_bulk_may_be_unavailable(desk: Desk) -> None:
    desk.organization.settings.bulk_disabled = {"lead"}
    assert "is not enabled on the entity" in desk.refused(*bulk("CreateMultiple", typed("lead")))[2]
    assert desk.refused(*bulk("CreateMultiple", typed("team"), entity_set="teams"))[0] == 400
    assert "not yet been implemented" in desk.refused(*bulk("DeleteMultiple", typed("lead")))[2]


def test_deadlocks_by_seed(desk: Desk) -> None:
    settings = desk.organization.settings
    settings.deadlock_probability = 0.5
    statuses = [desk.call(*bulk("CreateMultiple", typed("lead"))).status for _ in range(20)]
    assert set(statuses) == {200, 500}
    assert len(desk.ok("GET", "leads")["value"]) == statuses.count(200)
    settings.deadlock_probability = 1.0
    status, code, message = desk.refused(*bulk("CreateMultiple", typed("lead")))
    assert (status, code) == (500, "0x80044150")
    assert "Sql Number: 1205" in message
