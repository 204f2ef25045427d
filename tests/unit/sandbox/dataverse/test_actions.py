"""Functions and actions: identity, duplicates, qualify, merge, marketing lists, privileges."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.unit.sandbox.dataverse.desk import A, B, C, D, Desk, typed

QUALIFY = f"leads({A})/Microsoft.Dynamics.CRM.QualifyLead"


def test_identity(desk: Desk) -> None:
    me = desk.ok("GET", "WhoAmI")
    assert me == desk.ok("GET", "WhoAmI()")
    assert me["OrganizationId"] == str(desk.organization.organization_id)
    user = desk.ok("GET", f"systemusers({me['UserId']})")
    assert (user["applicationid"], user["fullname"], user["accessmode"]) == ("app", "Sync App", 4)
    assert desk.ok("GET", "RetrieveVersion()")["Version"].startswith("9.2.")
    assert desk.refused("POST", "WhoAmI", {})[0] == 404


def test_privileges_and_roles(desk: Desk) -> None:
    desk.organization.register_application_user("app", "Sync App", ["prvCreateLead"])
    desk.caller = desk.organization.caller_for("app")
    me = f"systemusers({desk.ok('GET', 'WhoAmI')['UserId']})"
    held = desk.ok("GET", f"{me}/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()")["RolePrivileges"]
    names = {privilege["PrivilegeName"] for privilege in held}
    assert "prvReadLead" in names
    assert "prvCreateLead" not in names
    assert [role["name"] for role in desk.ok("GET", f"{me}/systemuserroles_association?$select=name")["value"]]


def test_duplicates_are_found_by_the_stock_rules(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "emailaddress1": "ana@x.test"})
    entity = quote("{'@odata.type':'Microsoft.Dynamics.CRM.lead','emailaddress1':'ANA@x.test'}")
    paging = quote("{'PageNumber':1,'Count':50}")
    call = "RetrieveDuplicates(BusinessEntity=@p1,MatchingEntityName=@p2,PagingInfo=@p3)"
    found = desk.ok("GET", f"{call}?@p1={entity}&@p2='lead'&@p3={paging}")["value"]
    assert [row["leadid"] for row in found] == [A]


def test_qualifying_creates_what_was_asked_and_links_it(desk: Desk) -> None:
    person = {"firstname": "Ana", "lastname": "Ruiz", "companyname": "Orel", "emailaddress1": "ana@x.test"}
    desk.ok("POST", "leads", {"leadid": A, "subject": "Fair", **person})
    asked = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3}
    created = desk.ok("POST", QUALIFY, asked)["value"]
    kinds = [each["@odata.type"].rpartition(".")[2] for each in created]
    assert kinds == ["account", "contact", "opportunity"]
    account, contact = created[0]["accountid"], created[1]["contactid"]
    row = desk.ok("GET", f"contacts({contact})")
    assert (row["fullname"], row["_parentcustomerid_value"], row["_originatingleadid_value"]) == (
        "Ana Ruiz",
        account,
        A,
    )
    assert desk.ok("GET", f"accounts({account})")["_primarycontactid_value"] == contact
    lead = desk.ok("GET", f"leads({A})")
    assert (lead["statecode"], lead["statuscode"], lead["_parentcontactid_value"]) == (1, 3, contact)
    assert desk.refused("POST", QUALIFY, asked)[1] == "0x80040519"


def test_qualifying_needs_a_status_of_the_qualified_state(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    assert desk.refused("POST", QUALIFY, {"CreateContact": True})[0] == 400
    assert desk.refused("POST", QUALIFY, {"CreateContact": True, "Status": 4})[1] == "0x80048408"
    assert desk.ok("GET", "contacts")["value"] == []


def test_merging_keeps_the_loser_inactive_under_its_master(desk: Desk) -> None:
    for row_id, name in ((A, "Keep"), (B, "Lose")):
        desk.ok("POST", "contacts", {"contactid": row_id, "lastname": name})
    asked = {"Target": typed("contact", contactid=A), "Subordinate": typed("contact", contactid=B)}
    content = {"UpdateContent": typed("contact", jobtitle="CTO"), "PerformParentingChecks": False}
    assert desk.call("POST", "Merge", {**asked, **content}).status == 204
    loser = desk.ok("GET", f"contacts({B})")
    assert (loser["statecode"], loser["merged"], loser["_masterid_value"]) == (1, True, A)
    assert desk.ok("GET", f"contacts({A})")["jobtitle"] == "CTO"
    assert desk.refused("POST", "Merge", asked)[1] == "0x80045304"
    missing = {**asked, "Subordinate": typed("contact", contactid=C)}
    assert desk.refused("POST", "Merge", missing)[:2] == (404, "0x80040217")


@pytest.fixture
def listed(desk: Desk) -> Desk:
    desk.ok("POST", "lists", {"listid": A, "listname": "Fair", "type": False, "createdfromcode": 4})
    desk.ok("POST", "leads", {"leadid": B, "lastname": "Ruiz"})
    desk.ok("POST", "contacts", {"contactid": C, "lastname": "Zola"})
    return desk


def test_list_members_are_added_once(listed: Desk) -> None:
    body = {"List": typed("list", listid=A), "Members": [typed("lead", leadid=B)]}
    for _ in range(2):
        assert listed.call("POST", "AddListMembersList", body).status == 204
    (member,) = listed.ok("GET", f"listmembers?$filter=_listid_value eq {A}")["value"]
    assert member["_entityid_value"] == B
    again = listed.ok("POST", f"lists({A})/Microsoft.Dynamics.CRM.AddMemberList", {"EntityId": B})
    assert again["Id"] == member["listmemberid"]
    listed.ok("POST", f"lists({A})/Microsoft.Dynamics.CRM.RemoveMemberList", {"EntityId": B})
    assert listed.ok("GET", "listmembers")["value"] == []


def test_lists_refuse_other_kinds_and_changes_while_locked(listed: Desk) -> None:
    body = {"List": typed("list", listid=A), "Members": [typed("contact", contactid=C)]}
    assert listed.refused("POST", "AddListMembersList", body)[1] == "0x80040301"
    listed.ok("PATCH", f"lists({A})", {"lockstatus": True})
    body["Members"] = [typed("lead", leadid=B)]
    assert listed.refused("POST", "AddListMembersList", body)[1] == "0x80040302"
    assert listed.refused("POST", "AddListMembersList", {"List": typed("list", listid=D)})[0] == 404


def test_duplicate_detection_is_off_unless_asked_for(desk: Desk) -> None:
    body = {"emailaddress1": "ana@x.test"}
    for _ in range(2):
        desk.ok("POST", "leads", body)
    asked = {"MSCRM.SuppressDuplicateDetection": "false"}
    assert desk.refused("POST", "leads", body, **asked)[:2] == (412, "0x80040333")
    assert len(desk.ok("GET", "leads")["value"]) == 2
    desk.ok("POST", "leads", {"emailaddress1": "new@x.test"}, **asked)


def test_bulk_delete_takes_rows_by_id(desk: Desk) -> None:
    for row_id in (A, B):
        desk.ok("POST", "leads", {"leadid": row_id})
    values = [{"Value": row_id, "Type": "System.Guid"} for row_id in (A, C)]
    criteria = {"Conditions": [{"AttributeName": "leadid", "Operator": "In", "Values": values}]}
    assert desk.ok("POST", "BulkDelete", {"QuerySet": [{"EntityName": "lead", "Criteria": criteria}]})["JobId"]
    assert [row["leadid"] for row in desk.ok("GET", "leads")["value"]] == [B]
