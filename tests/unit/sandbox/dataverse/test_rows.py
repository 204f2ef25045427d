"""Single rows: create, read, conditional update, upsert by id and key, delete, properties, lookups."""

from __future__ import annotations

import pytest

from tests.unit.sandbox.dataverse.desk import API, A, B, C, Desk, header


def test_a_created_row_is_addressed_and_stamped(desk: Desk) -> None:
    response = desk.call("POST", "leads", {"leadid": A, "lastname": "Ruiz", "firstname": "Ana"})
    assert response.status == 204
    assert header(response, "OData-EntityId") == header(response, "Location") == f"{API}/leads({A})"
    assert response.changes == (("create", "lead", A),)
    assert response.committed
    row = desk.ok("GET", f"leads({A})")
    assert (row["fullname"], row["statecode"], row["statuscode"]) == ("Ana Ruiz", 0, 1)
    assert row["createdon"] == row["modifiedon"] == "2026-03-14T15:09:26Z"
    assert row["_createdby_value"] == row["_ownerid_value"] == desk.ok("GET", "WhoAmI")["UserId"]
    assert row["jobtitle"] is None


def test_a_representation_replaces_the_address(desk: Desk) -> None:
    response = desk.call("POST", "leads?$select=lastname", {"lastname": "Ruiz"}, Prefer="return=representation")
    assert response.status == 201
    assert header(response, "OData-EntityId") is None
    assert header(response, "Preference-Applied") == "return=representation"
    assert set(desk.ok("GET", "leads?$select=lastname")["value"][0]) == {"@odata.etag", "lastname", "leadid"}


def test_an_id_may_be_used_once(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    assert desk.refused("POST", "leads", {"leadid": A})[:2] == (412, "0x80040237")


def test_a_missing_row(desk: Desk) -> None:
    assert desk.refused("GET", f"leads({A})") == (404, "0x80040217", f"lead With Id = {A} Does Not Exist")
    assert desk.refused("DELETE", f"leads({A})")[0] == 404
    assert desk.refused("GET", "leadz")[:2] == (404, "0x8006088a")


def test_update_conditions(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    old = header(desk.call("GET", f"leads({A})"), "ETag")
    assert old is not None
    assert desk.call("PATCH", f"leads({A})", {"jobtitle": "CTO"}, If_Match=old).status == 204
    assert desk.refused("PATCH", f"leads({A})", {"jobtitle": "CEO"}, If_Match=old)[:2] == (412, "0x80060882")
    assert desk.refused("PATCH", f"leads({A})", {"jobtitle": "CEO"}, If_None_Match="*")[:2] == (412, "0x80040237")
    assert desk.refused("PATCH", f"leads({B})", {"jobtitle": "CEO"}, If_Match="*")[:2] == (404, "0x80040217")
    assert desk.refused("DELETE", f"leads({A})", If_Match=old)[:2] == (412, "0x80060882")
    assert desk.ok("GET", f"leads({A})")["jobtitle"] == "CTO"


def test_an_unconditional_patch_creates(desk: Desk) -> None:
    created = desk.call("PATCH", f"leads({A})", {"lastname": "Ruiz"})
    updated = desk.call("PATCH", f"leads({A})", {"lastname": "Gil"})
    assert (created.status, updated.status) == (204, 204)
    assert (created.changes[0][0], updated.changes[0][0]) == ("create", "update")
    for address, status in ((f"leads({B})", 201), (f"leads({A})", 200)):
        response = desk.call("PATCH", address, {"lastname": "Zola"}, Prefer="return=representation")
        assert response.status == status
        assert header(response, "ETag")


def test_an_update_leaves_other_columns_and_the_creation_alone(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz", "jobtitle": "CTO"})
    desk.wait(60)
    desk.ok("PATCH", f"leads({A})", {"lastname": "Gil", "jobtitle": None})
    row = desk.ok("GET", f"leads({A})")
    assert (row["lastname"], row["fullname"], row["jobtitle"]) == ("Gil", "Gil", None)
    assert (row["createdon"], row["modifiedon"]) == ("2026-03-14T15:09:26Z", "2026-03-14T15:10:26Z")


def test_an_alternate_key_addresses_upserts_and_ignores_case(desk: Desk) -> None:
    response = desk.call("PATCH", "contacts(cap_badgeid='A-1')", {"lastname": "Ruiz"})
    assert header(response, "OData-EntityId") == f"{API}/contacts(cap_badgeid='A-1')"
    desk.ok("PATCH", "contacts(cap_badgeid='a-1')", {"lastname": "Gil", "cap_badgeid": "ignored"})
    (row,) = desk.ok("GET", "contacts")["value"]
    assert (row["lastname"], row["cap_badgeid"]) == ("Gil", "A-1")
    assert desk.ok("GET", "contacts(cap_badgeid='A-1')?$select=lastname")["lastname"] == "Gil"
    assert desk.refused("PATCH", "contacts(cap_badgeid='B')", {}, If_Match="*")[:2] == (404, "0x80060891")
    assert desk.refused("POST", "contacts", {"cap_badgeid": "a-1"})[:2] == (412, "0x80060892")


@pytest.mark.parametrize(
    ("key", "status", "text"),
    [
        ("cap_badgeid='O''Brien'", 404, "key"),
        ("cap_badgeid='a%2Bb'", 400, "potentially dangerous"),
        ("cap_badgeid='a%2Fb'", 400, "potentially dangerous"),
        ("emailaddress1='x'", 400, "The key in the request URI is not valid"),
        ("'x'", 400, "The key in the request URI is not valid"),
    ],
)
def test_keys_that_cannot_address(desk: Desk, key: str, status: int, text: str) -> None:
    refused = desk.refused("GET", f"leads({key})")
    assert refused[0] == status
    assert text in refused[2]


def test_a_pending_key_is_neither_usable_nor_enforced(desk: Desk) -> None:
    desk.organization.change_schema({"action": "set_key_status", "table": "lead", "status": "Pending"})
    assert desk.refused("GET", "leads(cap_badgeid='x')")[0] == 400
    for _ in range(2):
        desk.ok("POST", "leads", {"cap_badgeid": "x"})


def test_lookups_are_bound_read_and_cleared(desk: Desk) -> None:
    desk.ok("POST", "accounts", {"accountid": A, "name": "Orel"})
    desk.ok("POST", "contacts", {"contactid": B, "lastname": "Boss", "cap_badgeid": "boss"})
    bind = {"contactid": C, "lastname": "Ruiz", "parentcustomerid_account@odata.bind": f"/accounts({A})"}
    desk.ok("POST", "contacts", bind)
    for value in (f"{API}/contacts({B})", "contacts(cap_badgeid='boss')"):
        desk.ok("PATCH", f"contacts({C})", {"parentcustomerid_contact@odata.bind": value})
    noted = desk.ok("GET", f"contacts({C})?$select=_parentcustomerid_value", Prefer='odata.include-annotations="*"')
    assert noted["_parentcustomerid_value"] == B
    assert noted["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
    assert noted["_parentcustomerid_value@OData.Community.Display.V1.FormattedValue"] == "Boss"
    desk.ok("PATCH", f"contacts({C})", {"parentcustomerid_contact@odata.bind": None})
    assert desk.ok("GET", f"contacts({C})")["_parentcustomerid_value"] is None


def test_references_associate_both_ways(desk: Desk) -> None:
    desk.ok("POST", "accounts", {"accountid": A, "name": "Orel"})
    desk.ok("POST", "contacts", {"contactid": B, "lastname": "Ruiz"})
    link = {"@odata.id": f"{API}/contacts({B})"}
    desk.ok("POST", f"accounts({A})/contact_customer_accounts/$ref", link)
    assert [row["contactid"] for row in desk.ok("GET", f"accounts({A})/contact_customer_accounts")["value"]] == [B]
    desk.ok("DELETE", f"accounts({A})/contact_customer_accounts({B})/$ref")
    desk.ok("POST", f"accounts({A})/contact_customer_accounts", {"contactid": C, "lastname": "Zola"})
    assert [row["contactid"] for row in desk.ok("GET", f"accounts({A})/contact_customer_accounts")["value"]] == [C]
    desk.ok("PUT", f"accounts({A})/primarycontactid/$ref", link)
    assert desk.ok("GET", f"accounts({A})/primarycontactid?$select=lastname")["lastname"] == "Ruiz"
    desk.ok("DELETE", f"accounts({A})/primarycontactid/$ref")
    assert desk.call("GET", f"accounts({A})/primarycontactid").status == 204


def test_a_missing_bind_target_refuses_everything(desk: Desk) -> None:
    body = {"leadid": A, "campaignid@odata.bind": f"/campaigns({B})"}
    assert desk.refused("POST", "leads", body)[:2] == (404, "0x80040217")
    assert (
        desk.refused("POST", "leads", {"parentcontactid@odata.bind": "/contacts(cap_badgeid='x')"})[1] == "0x80060891"
    )
    assert desk.ok("GET", "leads")["value"] == []


def test_deep_insert_writes_both_ends_or_nothing(desk: Desk) -> None:
    party = {"partyid_contact@odata.bind": f"/contacts({A})", "participationtypemask": 11}
    response_body = {"activityid": B, "subject": "Scan", "campaignresponse_activity_parties": [party]}
    assert desk.refused("POST", "campaignresponses", response_body)[0] == 404
    assert desk.ok("GET", "campaignresponses")["value"] == []
    desk.ok("POST", "contacts", {"contactid": A, "lastname": "Ruiz"})
    response = desk.call("POST", "campaignresponses", response_body)
    assert [table for _, table, _ in response.changes] == ["campaignresponse", "activityparty"]
    (part,) = desk.ok("GET", f"campaignresponses({B})/campaignresponse_activity_parties")["value"]
    assert (part["_partyid_value"], part["participationtypemask"]) == (A, 11)


def test_deleting_takes_notes_along_and_clears_lookups(desk: Desk) -> None:
    desk.ok("POST", "contacts", {"contactid": A, "lastname": "Ruiz"})
    desk.ok("POST", "leads", {"leadid": B, "parentcontactid@odata.bind": f"/contacts({A})"})
    desk.ok("POST", "annotations", {"notetext": "met", "objectid_contact@odata.bind": f"/contacts({A})"})
    desk.ok("DELETE", f"contacts({A})")
    assert desk.ok("GET", "annotations")["value"] == []
    assert desk.ok("GET", f"leads({B})")["_parentcontactid_value"] is None


def test_single_properties(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    assert desk.ok("GET", f"leads({A})/lastname")["value"] == "Ruiz"
    assert desk.call("GET", f"leads({A})/lastname/$value").body == b"Ruiz"
    assert desk.call("PUT", f"leads({A})/lastname", {"value": "Gil"}).status == 204
    assert desk.call("DELETE", f"leads({A})/lastname").status == 204
    assert desk.call("GET", f"leads({A})/lastname").status == 204


def test_not_modified_only_without_annotations_and_expansion(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    tag = header(desk.call("GET", f"leads({A})"), "ETag")
    assert tag is not None
    assert desk.call("GET", f"leads({A})", If_None_Match=tag).status == 304
    assert desk.call("GET", f"leads({A})?$expand=campaignid", If_None_Match=tag).status == 200


def test_owner_defaults_to_the_caller_and_may_be_a_team(desk: Desk) -> None:
    (team,) = desk.ok("GET", "teams")["value"]
    desk.ok("POST", "leads", {"leadid": A, "ownerid@odata.bind": f"/teams({team['teamid']})"})
    row = desk.ok("GET", f"leads({A})")
    assert (row["_ownerid_value"], row["_owningteam_value"], row["_owninguser_value"]) == (
        team["teamid"],
        team["teamid"],
        None,
    )


def test_a_missing_privilege_is_named(desk: Desk) -> None:
    desk.organization.register_application_user("app", "Sync App", ["prvCreateLead"])
    desk.caller = desk.organization.caller_for("app")
    status, code, message = desk.refused("POST", "leads", {"lastname": "Ruiz"})
    assert (status, code) == (403, "0x80040220")
    assert "is missing prvCreateLead privilege" in message
    assert desk.call("POST", "contacts", {"lastname": "Ruiz"}).status == 204


def test_overridden_creation(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "overriddencreatedon": "2020-01-02T00:00:00Z"})
    row = desk.ok("GET", f"leads({A})")
    assert (row["createdon"], row["overriddencreatedon"]) == ("2020-01-02T00:00:00Z", "2026-03-14T15:09:26Z")
