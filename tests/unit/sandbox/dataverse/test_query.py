"""Collections: filters, order, pages, counts, selection, expansion, aggregation."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from sandbox.dataverse import Organization
from tests.unit.sandbox.dataverse.desk import API, A, B, C, Desk, typed

PEOPLE: list[dict[str, Any]] = [
    {"lastname": "Ruiz", "emailaddress1": "ana@x.test", "leadsourcecode": 7, "revenue": 10},
    {"lastname": "ruiz", "emailaddress1": "ANA@x.test", "leadsourcecode": 8},
    {"lastname": "O'Brien", "emailaddress1": "o'brien+fair@x.test", "numberofemployees": 5},
    {"lastname": "José", "firstname": "Jose", "donotemail": True, "estimatedclosedate": "2026-05-01"},
    {"lastname": "100% Zola", "jobtitle": "CTO", "telephone1": None},
]


@pytest.fixture
def crowd(desk: Desk) -> Desk:
    for person in PEOPLE:
        desk.ok("POST", "leads", person)
        desk.wait(86_400)
    return desk


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("lastname eq 'RUIZ'", ["Ruiz", "ruiz"]),
        ("lastname eq 'ruiz  '", ["Ruiz", "ruiz"]),
        ("lastname eq 'O''Brien'", ["O'Brien"]),
        ("lastname eq 'Jose'", []),
        ("'José' eq lastname", ["José"]),
        ("lastname ne 'ruiz'", ["100% Zola", "José", "O'Brien"]),
        ("leadsourcecode ne 7", ["100% Zola", "José", "O'Brien", "ruiz"]),
        ("jobtitle ne 'x' and jobtitle ne null", ["100% Zola"]),
        ("jobtitle eq null and leadsourcecode eq null", ["José", "O'Brien"]),
        ("leadsourcecode gt 7", ["ruiz"]),
        ("not (leadsourcecode ge 7)", ["100% Zola", "José", "O'Brien"]),
        ("leadsourcecode eq 7 or numberofemployees eq 5", ["O'Brien", "Ruiz"]),
        ("revenue le 10.5", ["Ruiz"]),
        ("donotemail eq true", ["José"]),
        ("estimatedclosedate lt 2026-06-01", ["José"]),
        ("createdon ge 2026-03-17T15:09:26Z", ["100% Zola", "José"]),
        ("createdon lt 2026-03-15", ["Ruiz"]),
        ("firstname eq lastname", []),
        ("contains(lastname,'BRI')", ["O'Brien"]),
        ("startswith(emailaddress1,'ana')", ["Ruiz", "ruiz"]),
        ("endswith(lastname,'z')", ["Ruiz", "ruiz"]),
        ("contains(lastname,'r_z')", []),
        ("contains(lastname,'ru_z')", ["Ruiz", "ruiz"]),
        ("contains(lastname,'100[%] z')", ["100% Zola"]),
        ("startswith(lastname,'[or]')", ["O'Brien", "Ruiz", "ruiz"]),
        ("startswith(lastname,'[^or]')", ["100% Zola", "José"]),
        ("Microsoft.Dynamics.CRM.In(PropertyName='leadsourcecode',PropertyValues=['7','8'])", ["Ruiz", "ruiz"]),
        (
            'Microsoft.Dynamics.CRM.In(PropertyName=\'lastname\',PropertyValues=["O\'Brien","josé"])',
            ["José", "O'Brien"],
        ),
        (
            "Microsoft.Dynamics.CRM.NotIn(PropertyName='lastname',PropertyValues=[\"ruiz\"])",
            ["100% Zola", "José", "O'Brien"],
        ),
        ('Microsoft.Dynamics.CRM.Between(PropertyName=\'numberofemployees\',PropertyValues=["1","9"])', ["O'Brien"]),
        ("Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=2)", ["100% Zola", "José"]),
        ("Microsoft.Dynamics.CRM.On(PropertyName='createdon',PropertyValue='2026-03-15')", ["ruiz"]),
        ("Microsoft.Dynamics.CRM.EqualUserId(PropertyName='ownerid') and lastname eq 'ruiz'", ["Ruiz", "ruiz"]),
        ("_ownerid_value eq 00000000-0000-0000-0000-000000000000", []),
        ("owninguser/lastname eq 'App' and lastname eq 'O''Brien'", ["O'Brien"]),
    ],
)
def test_filters(crowd: Desk, condition: str, names: list[str]) -> None:
    assert crowd.names(condition) == names


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("lastnam eq 'x'", "Could not find a property named 'lastnam' on type 'Microsoft.Dynamics.CRM.lead'."),
        ("ownerid eq 'x'", "Could not find a property named 'ownerid'"),
        ("lastname eq 'O'Brien'", "Syntax error"),
        ("lastname eq 'x", "There is an unterminated literal at position 14"),
        ("statecode eq 'x'", "incompatible types was detected. Found operand types 'Edm.Int32' and 'Edm.String'"),
        ("_ownerid_value eq 'x'", "'Edm.Guid' and 'Edm.String' for operator kind 'Equal'"),
        ("tolower(lastname) eq 'x'", "An unknown function with name 'tolower' was found"),
        (
            "Microsoft.Dynamics.CRM.Inn(PropertyName='lastname')",
            "unknown function with name 'Microsoft.Dynamics.CRM.Inn'",
        ),
        ("lastname", None),
        ("(lastname eq 'x'", "Syntax error"),
        ("lastname eq @p1", "alias '@p1' was not found"),
    ],
)
def test_bad_filters(crowd: Desk, condition: str, text: str | None) -> None:
    if text is None:
        assert crowd.names(condition) == []
    else:
        assert text in crowd.refused("GET", f"leads?$filter={quote(condition)}")[2]


def test_an_unknown_column_in_a_query_function_has_its_own_code(crowd: Desk) -> None:
    condition = quote("Microsoft.Dynamics.CRM.In(PropertyName='nosuch',PropertyValues=[\"x\"])")
    assert crowd.refused("GET", f"leads?$filter={condition}")[1] == "0x80041103"


def test_parameter_aliases(crowd: Desk) -> None:
    condition = "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2) and leadsourcecode eq @p3"
    values = quote('["ana@x.test","x"]')
    found = crowd.ok("GET", f"leads?$filter={quote(condition)}&@p1='emailaddress1'&@p2={values}&@p3=8")
    assert [row["lastname"] for row in found["value"]] == ["ruiz"]


def test_an_index_follows_every_write(crowd: Desk) -> None:
    assert crowd.names("emailaddress1 eq 'ana@x.test'") == ["Ruiz", "ruiz"]
    first = crowd.find("leads", "lastname eq 'ruiz' and leadsourcecode eq 7")[0]["leadid"]
    crowd.ok("PATCH", f"leads({first})", {"emailaddress1": "new@x.test"})
    assert crowd.names("emailaddress1 eq 'ana@x.test'") == ["ruiz"]
    assert crowd.names("emailaddress1 eq 'NEW@x.test'") == ["Ruiz"]
    crowd.ok("DELETE", f"leads({first})")
    assert crowd.names("emailaddress1 eq 'new@x.test'") == []


def test_accents_may_be_ignored(crowd: Desk) -> None:
    assert crowd.names("lastname eq 'jose'") == []
    crowd.organization.settings.accent_insensitive = True
    assert crowd.names("lastname eq 'jose'") == ["José"]
    assert crowd.names("contains(lastname,'jose')") == ["José"]


def test_filters_may_lag_behind_writes(desk: Desk) -> None:
    desk.organization.settings.filter_lag_s = 5
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    assert desk.names("lastname eq 'ruiz'") == []
    assert desk.ok("GET", f"leads({A})")["lastname"] == "Ruiz"
    desk.wait(5)
    assert desk.names("lastname eq 'ruiz'") == ["Ruiz"]


@pytest.mark.parametrize("order", ["lastname", "createdon desc", "leadsourcecode desc,lastname asc", ""])
def test_pages_meet_without_gap_or_overlap(crowd: Desk, order: str) -> None:
    whole = crowd.ok("GET", f"leads?$select=lastname&$orderby={quote(order)}")["value"]
    address, paged = f"leads?$select=lastname&$orderby={quote(order)}&$top=1", []
    while address:
        page = crowd.ok("GET", address, Prefer="odata.maxpagesize=2")
        paged += page["value"]
        assert len(page["value"]) <= 2
        address = page.get("@odata.nextLink", "").removeprefix(API + "/")
    assert paged == whole
    assert len(paged) == len(PEOPLE)


def test_top_without_a_page_size_gives_no_link(crowd: Desk) -> None:
    answer = crowd.ok("GET", "leads?$top=2&$orderby=lastname desc&$select=lastname")
    assert {row["lastname"] for row in answer["value"]} == {"Ruiz", "ruiz"}
    assert "@odata.nextLink" not in answer


def test_nulls_sort_first_and_choices_by_number(crowd: Desk) -> None:
    rows = crowd.ok("GET", "leads?$orderby=leadsourcecode&$select=leadsourcecode")["value"]
    assert [row["leadsourcecode"] for row in rows] == [None, None, None, 7, 8]


def test_counts_and_pages_stop_at_five_thousand() -> None:
    desk = Desk()
    desk.organization.load("lead", ({"lastname": f"N{number}"} for number in range(5001)))
    answer = desk.ok("GET", "leads?$select=leadid&$count=true", Prefer='odata.include-annotations="*"')
    assert (answer["@odata.count"], len(answer["value"])) == (5000, 5000)
    assert answer["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert desk.call("GET", "leads/$count").body == b"5000"
    total = desk.ok("GET", "RetrieveTotalRecordCount(EntityNames=['lead'])")["EntityRecordCountCollection"]
    assert (total["Keys"], total["Values"]) == (["lead"], [5001])
    assert len(desk.ok("GET", answer["@odata.nextLink"].removeprefix(API + "/"))["value"]) == 1


def test_selection(crowd: Desk) -> None:
    row = crowd.ok("GET", "leads?$select=lastname,_ownerid_value&$top=1")["value"][0]
    assert set(row) == {"@odata.etag", "leadid", "lastname", "_ownerid_value"}
    for name in ("ownerid", "campaignid", "leadsourcecodename", "LastName"):
        status, code, message = crowd.refused("GET", f"leads?$select={name}")
        assert (status, code) == (400, "0x80060888")
        assert f"Could not find a property named '{name}'" in message


@pytest.mark.parametrize("option", ["$skip=1", "$search=x", "$format=json"])
def test_options_that_do_not_exist(crowd: Desk, option: str) -> None:
    assert crowd.refused("GET", f"leads?{option}")[1] == "0x80060888"


def test_formatted_values(crowd: Desk) -> None:
    row = crowd.ok(
        "GET",
        "leads?$filter=leadsourcecode eq 7&$select=leadsourcecode,donotemail,revenue,createdon,jobtitle",
        Prefer='odata.include-annotations="OData.Community.Display.V1.FormattedValue"',
    )["value"][0]
    suffix = "@OData.Community.Display.V1.FormattedValue"
    shown = {name.removesuffix(suffix): value for name, value in row.items() if name.endswith(suffix)}
    assert shown["leadsourcecode"] == "Trade Show"
    assert (shown["donotemail"], shown["revenue"], shown["createdon"]) == ("Allow", "$10.00", "3/14/2026 3:09 PM")
    assert "jobtitle" not in shown


def test_expansion(desk: Desk) -> None:
    desk.ok("POST", "accounts", {"accountid": A, "name": "Orel"})
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({A})"}
    desk.ok("POST", "contacts", {"contactid": B, "lastname": "Ruiz", **bind})
    desk.ok("POST", "contacts", {"contactid": C, "lastname": "Zola"})
    answer = desk.ok("GET", "contacts?$select=lastname&$expand=parentcustomerid_account($select=name)")
    assert answer["@odata.context"] == f"{API}/$metadata#contacts(lastname,parentcustomerid_account(name))"
    assert [row["parentcustomerid_account"] and row["parentcustomerid_account"]["name"] for row in answer["value"]] == [
        "Orel",
        None,
    ]
    (account,) = desk.ok("GET", "accounts?$expand=contact_customer_accounts($select=lastname)")["value"]
    assert [row["lastname"] for row in account["contact_customer_accounts"]] == ["Ruiz"]
    assert desk.refused("GET", "contacts?$expand=nosuch")[0] == 400


def test_lambdas_look_into_collections(desk: Desk) -> None:
    desk.ok("POST", "accounts", {"accountid": A, "name": "Orel"})
    desk.ok("POST", "accounts", {"accountid": B, "name": "Empty"})
    for name in ("Ruiz", "Zola"):
        desk.ok("POST", "contacts", {"lastname": name, "parentcustomerid_account@odata.bind": f"/accounts({A})"})
    for condition, names in (
        ("contact_customer_accounts/any(c:c/lastname eq 'zola')", ["Orel"]),
        ("contact_customer_accounts/all(c:c/lastname eq 'zola')", ["Empty"]),
        ("contact_customer_accounts/any()", ["Orel"]),
    ):
        assert [row["name"] for row in desk.find("accounts", condition)] == names


def test_aggregation(crowd: Desk) -> None:
    grouped = crowd.ok("GET", "leads?$apply=groupby((leadsourcecode),aggregate($count as n))")["value"]
    assert {row["leadsourcecode"]: row["n"] for row in grouped} == {7: 1, 8: 1, None: 3}
    condition = quote("filter(leadsourcecode eq 7)/aggregate(revenue with sum as total)")
    assert crowd.ok("GET", f"leads?$apply={condition}")["value"] == [{"total": 10}]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT lastname FROM lead WHERE lastname = 'ruiz' AND leadsourcecode <> 8", ["Ruiz"]),
        ("SELECT TOP 1 l.lastname FROM lead AS l ORDER BY l.createdon DESC", ["100% Zola"]),
        ("SELECT lastname FROM lead WHERE lastname LIKE 'o%' OR jobtitle IN ('cto', 'x')", ["100% Zola", "O'Brien"]),
        ("SELECT lastname FROM lead WHERE NOT (jobtitle IS NULL) AND telephone1 IS NULL", ["100% Zola"]),
    ],
)
def test_sql(crowd: Desk, query: str, names: list[str]) -> None:
    assert sorted(row["lastname"] for row in crowd.ok("GET", f"leads?sql={quote(query)}")["value"]) == names


def test_fetchxml_pages(crowd: Desk) -> None:
    fetch = (
        '<fetch count="2" page="{}"><entity name="lead"><attribute name="lastname"/><order attribute="lastname"/>'
        '<filter type="or"><condition attribute="lastname" operator="like" value="%z%"/>'
        '<condition attribute="leadsourcecode" operator="in"><value>7</value></condition></filter></entity></fetch>'
    )
    prefer = 'odata.include-annotations="Microsoft.Dynamics.CRM.*"'
    first = crowd.ok("GET", f"leads?fetchXml={quote(fetch.format(1))}", Prefer=prefer)
    second = crowd.ok("GET", f"leads?fetchXml={quote(fetch.format(2))}", Prefer=prefer)
    names = [row["lastname"] for row in first["value"] + second["value"]]
    assert (names[0], len(names)) == ("100% Zola", 3)
    assert first["@Microsoft.Dynamics.CRM.morerecords"] is True
    assert "pagingcookie=" in first["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"]
    assert second["@Microsoft.Dynamics.CRM.morerecords"] is False
    joined = '<fetch><entity name="lead"><link-entity name="contact"/></entity></fetch>'
    assert crowd.refused("GET", f"leads?fetchXml={quote(joined)}")[0] == 501


def test_bulk_availability_can_be_asked_for(desk: Desk) -> None:
    question = (
        "sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq @m and primaryobjecttypecode eq @t"
        "&@m='CreateMultiple'&@t='{}'"
    )
    assert len(desk.ok("GET", question.format("lead"))["value"]) == 1
    assert desk.ok("GET", question.format("systemuser"))["value"] == []
    desk.organization.settings.bulk_disabled = {"lead"}
    assert desk.ok("GET", question.format("lead"))["value"] == []


def test_changes_are_tracked_to_the_last_delta_link(desk: Desk) -> None:
    for row_id, name in ((A, "Ruiz"), (B, "Zola"), (C, "Gil")):
        desk.ok("POST", "leads", {"leadid": row_id, "lastname": name})
    page = desk.ok("GET", "leads?$select=lastname", Prefer="odata.track-changes,odata.maxpagesize=2")
    desk.ok("PATCH", f"leads({A})", {"jobtitle": "CTO"})
    page = desk.ok("GET", page["@odata.nextLink"].removeprefix(API + "/"), Prefer="odata.track-changes")
    link = page["@odata.deltaLink"].removeprefix(API + "/")
    desk.ok("DELETE", f"leads({B})")
    changed = desk.ok("GET", link)
    assert [row["leadid"] for row in changed["value"][:-1]] == [A]
    assert changed["value"][-1] == {
        "@odata.context": f"{API}/$metadata#leads/$deletedEntity",
        "id": B,
        "reason": "deleted",
    }
    assert desk.call("GET", link.replace("leads?", "leads/$count?")).body == b"2"
    link = changed["@odata.deltaLink"].removeprefix(API + "/")
    assert desk.ok("GET", link)["value"] == []
    desk.wait(8 * 86_400)
    assert desk.refused("GET", link)[1] == "0x80044352"


def test_change_tracking_limits(desk: Desk) -> None:
    prefer = {"Prefer": "odata.track-changes"}
    assert "isn't supported when Change Tracking" in desk.refused("GET", "leads?$top=1", **prefer)[2]
    assert desk.refused("GET", "systemusers", **prefer)[1] == "0x80072491"
    desk.organization.settings.change_tracking_disabled = {"lead"}
    assert desk.refused("GET", "leads", **prefer)[1] == "0x80072491"


def test_a_rejected_change_set_leaves_no_trace_in_tracking(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz", "emailaddress1": "a@x.test"})
    link = desk.ok("GET", "leads", Prefer="odata.track-changes")["@odata.deltaLink"].removeprefix(API + "/")
    assert desk.names("emailaddress1 eq 'a@x.test'") == ["Ruiz"]
    with desk.organization.transaction() as transaction:
        desk.ok("DELETE", f"leads({A})")
        desk.ok("POST", "leads", {"lastname": "Gone", "emailaddress1": "a@x.test"})
        desk.ok(
            "POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": [typed("lead", lastname="Gone too")]}
        )
        transaction.rollback()
    assert desk.ok("GET", link)["value"] == []
    assert desk.names("emailaddress1 eq 'a@x.test'") == ["Ruiz"]
    assert len(desk.ok("GET", "leads")["value"]) == 1


def test_two_organisations_share_nothing() -> None:
    one, other = Desk(), Desk()
    one.ok("POST", "leads", {"lastname": "Ruiz"})
    one.organization.change_schema({"action": "drop_column", "table": "lead", "column": "jobtitle"})
    assert other.ok("GET", "leads?$select=jobtitle")["value"] == []
    assert isinstance(other.organization, Organization)
    assert orjson.loads(one.call("GET", "leads/$count").body) == 1
