"""What a body may hold: names, types, lengths, choices, ranges, states; and what is not enforced."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.dataverse import Request
from tests.unit.sandbox.dataverse.desk import A, B, Desk

PARSE = "0x80048d19"


@pytest.mark.parametrize(
    ("values", "code", "text"),
    [
        ({"lastnam": "x"}, PARSE, "The property 'lastnam' does not exist on type 'Microsoft.Dynamics.CRM.lead'"),
        ({"LastName": "x"}, PARSE, "The property 'LastName' does not exist"),
        ({"CampaignId@odata.bind": f"/campaigns({A})"}, PARSE, "undeclared property 'CampaignId' which only has"),
        ({"leadsourcecode": "7"}, PARSE, "Cannot convert the literal '7' to the expected type 'Edm.Int32'."),
        ({"leadsourcecode": True}, PARSE, "'Edm.Int32'"),
        ({"numberofemployees": 3_000_000_000}, PARSE, "literal '3000000000' to the expected type 'Edm.Int32'"),
        ({"donotemail": 1}, PARSE, "'Edm.Boolean'"),
        ({"lastname": 5}, PARSE, "'Edm.String'"),
        ({"revenue": "5"}, PARSE, "'Edm.Decimal'"),
        ({"leadid": "x"}, PARSE, "'Edm.Guid'"),
        ({"estimatedclosedate": "14.03.2026"}, PARSE, "'Edm.Date'"),
        ({"lastonholdtime": "2026-03-14T10:00:00"}, PARSE, "'Edm.DateTimeOffset'"),
        ({"campaignid": A}, PARSE, "A 'StartObject' node was expected."),
        ({"_campaignid_value": A}, "0x80060888", "CRM do not support direct update of Entity Reference properties"),
        ({"leadsourcecode": 99}, "0x8004431a", "The value 99 of 'leadsourcecode' on record of type 'lead' is outside"),
        ({"numberofemployees": -1}, "0x8004432f", "'numberofemployees'"),
        ({"revenue": -1}, "0x80044330", "'revenue'"),
        ({"jobtitle": "x" * 101}, "0x80044331", "The length of the 'jobtitle' attribute of the 'lead' entity exceeded"),
        ({"mobilephone": "1" * 21}, "0x80044331", "maximum allowed length of '20'"),
        ({"jobtitle": "a\bb"}, "0x80040278", "hexadecimal value 0x08"),
        ({"statecode": 1}, "0x80048408", "3 is not a valid status code for state code LeadState.Open on lead"),
        ({"statuscode": 4}, "0x80048408", "4 is not a valid status code for state code LeadState.Open on lead"),
    ],
)
def test_a_refused_value_refuses_the_row(desk: Desk, values: dict[str, Any], code: str, text: str) -> None:
    status, found, message = desk.refused("POST", "leads", {"lastname": "Ruiz", **values})
    assert (status, found) == (400, code)
    assert text in message
    assert desk.ok("GET", "leads")["value"] == []


def test_lengths_count_utf16_units(desk: Desk) -> None:
    desk.ok("POST", "leads", {"jobtitle": "😀" * 50})
    assert desk.refused("POST", "leads", {"jobtitle": "😀" * 50 + "x"})[1] == "0x80044331"


@pytest.mark.parametrize("body", [{}, {"subject": None, "lastname": ""}, {"emailaddress1": "no address at all"}])
def test_form_rules_are_not_enforced(desk: Desk, body: dict[str, Any]) -> None:
    assert desk.call("POST", "leads", body).status == 204


def test_system_required_columns_are(desk: Desk) -> None:
    assert desk.refused("POST", "lists", {"listname": "VIP", "type": False})[1] == "0x80040200"
    desk.organization.change_schema({"action": "require_column", "table": "lead", "column": "jobtitle"})
    assert "'jobtitle'" in desk.refused("POST", "leads", {"lastname": "x"})[2]
    desk.ok("POST", "leads", {"leadid": A, "jobtitle": "CTO"})
    assert desk.refused("PATCH", f"leads({A})", {"jobtitle": None})[1] == "0x80040200"


def test_computed_and_read_only_columns_are_ignored_on_write(desk: Desk) -> None:
    body = {
        "leadid": A,
        "lastname": "Ruiz",
        "fullname": "Other",
        "createdon": "2001-01-01T00:00:00Z",
        "versionnumber": 1,
    }
    desk.ok("POST", "leads", {**body, "address1_line1": "Main 1", "address1_city": "Berlin"})
    row = desk.ok("GET", f"leads({A})")
    assert (row["fullname"], row["createdon"]) == ("Ruiz", "2026-03-14T15:09:26Z")
    assert row["address1_composite"] == "Main 1\r\nBerlin"
    desk.ok("PATCH", f"leads({A})", {"address1_composite": "x", "firstname": "Ana"})
    assert desk.ok("GET", f"leads({A})")["fullname"] == "Ana Ruiz"


def test_create_only_columns_are_ignored_on_update(desk: Desk) -> None:
    desk.ok("POST", "campaigns", {"campaignid": A, "name": "HIMSS"})
    bind = {"regardingobjectid_campaign_campaignresponse@odata.bind": f"/campaigns({A})"}
    desk.ok("POST", "campaignresponses", {"activityid": B, "subject": "x", "importsequencenumber": 1})
    desk.ok("PATCH", f"campaignresponses({B})", {**bind, "importsequencenumber": 2})
    row = desk.ok("GET", f"campaignresponses({B})")
    assert (row["_regardingobjectid_value"], row["importsequencenumber"]) == (None, 1)


def test_moments_travel_in_utc_and_empty_text_is_null(desk: Desk) -> None:
    desk.ok("POST", "contacts", {"contactid": A, "lastonholdtime": "2026-03-14T10:00:00.25+02:00", "jobtitle": ""})
    row = desk.ok("GET", f"contacts({A})")
    assert (row["lastonholdtime"], row["jobtitle"]) == ("2026-03-14T08:00:00Z", None)
    assert desk.refused("POST", "contacts", {"lastonholdtime": "1700-01-01T00:00:00Z"})[1] == "0x80040239"


def test_state_changes_need_a_status_of_that_state(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    desk.ok("PATCH", f"leads({A})", {"statecode": 2})
    assert desk.ok("GET", f"leads({A})")["statuscode"] == 4
    assert desk.refused("PATCH", f"leads({A})", {"statuscode": 1})[1] == "0x80048408"
    assert "LeadState.Disqualified" in desk.refused("PATCH", f"leads({A})", {"statecode": 2, "statuscode": 3})[2]
    desk.ok("PATCH", f"leads({A})", {"jobtitle": "closed rows can be updated"})
    desk.ok("PATCH", f"leads({A})", {"statecode": 0, "statuscode": 2})


def test_states_at_creation_when_not_strict(desk: Desk) -> None:
    desk.organization.settings.strict_create_state = False
    desk.ok("POST", "leads", {"leadid": A, "statecode": 2, "statuscode": 5})
    assert desk.ok("GET", f"leads({A})")["statecode"] == 2


def test_money_is_rounded_and_brings_its_currency(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "revenue": 10.129})
    row = desk.ok("GET", f"leads({A})?$select=revenue,revenue_base")
    assert (row["revenue"], row["revenue_base"]) == (10.13, 10.13)
    assert (
        row["_transactioncurrencyid_value"]
        == desk.ok("GET", "transactioncurrencies")["value"][0]["transactioncurrencyid"]
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_a_body_must_be_an_object(desk: Desk, body: bytes) -> None:
    assert desk.caller is not None
    response = desk.organization.handle(Request("POST", "leads", (), {}, body, desk.caller))
    assert (response.status, response.code) == (400, PARSE)


def test_error_details_on_request(desk: Desk) -> None:
    response = desk.call("POST", "leads", {"x": 1}, Prefer='odata.include-annotations="*"')
    assert b"@Microsoft.PowerApps.CDS.HelpLink" in response.body
