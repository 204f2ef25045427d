"""Behind the client's back: schema drift, plug-ins, edits by people, seeding, reset, transactions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.sandbox.dataverse.desk import A, B, C, Desk, typed

BULK = "leads/Microsoft.Dynamics.CRM.CreateMultiple"


def drift(desk: Desk, action: str, table: str = "lead", **more: Any) -> None:
    desk.organization.change_schema({"action": action, "table": table, **more})


def test_a_dropped_column_is_gone_everywhere(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "jobtitle": "CTO"})
    drift(desk, "drop_column", column="jobtitle")
    assert desk.refused("PATCH", f"leads({A})", {"jobtitle": "x"})[1] == "0x80048d19"
    assert desk.refused("GET", "leads?$select=jobtitle")[1] == "0x80060888"
    assert "jobtitle" not in desk.ok("GET", f"leads({A})")
    assert desk.refused("GET", "EntityDefinitions(LogicalName='lead')/Attributes(LogicalName='jobtitle')")[0] == 404


def test_a_renamed_column_keeps_its_values(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "jobtitle": "CTO"})
    drift(desk, "rename_column", column="jobtitle", to="new_title")
    assert desk.ok("GET", f"leads({A})?$select=new_title")["new_title"] == "CTO"
    assert desk.refused("GET", "leads?$filter=jobtitle eq 'x'")[0] == 400


def test_options_and_lengths_drift(desk: Desk) -> None:
    drift(desk, "drop_option", column="leadsourcecode", value=7)
    assert desk.refused("POST", "leads", {"leadsourcecode": 7})[1] == "0x8004431a"
    drift(desk, "add_option", column="leadsourcecode", value=192350000, label="Fair")
    desk.ok("POST", "leads", {"leadsourcecode": 192350000})
    drift(desk, "rename_option", column="leadsourcecode", value=192350000, label="Expo")
    row = desk.ok("GET", "leads?$select=leadsourcecode", Prefer='odata.include-annotations="*"')["value"][0]
    assert row["leadsourcecode@OData.Community.Display.V1.FormattedValue"] == "Expo"
    drift(desk, "set_max_length", column="subject", max_length=50)
    assert "'50'" in desk.refused("POST", "leads", {"subject": "x" * 51})[2]


def test_a_drifted_tenant(desk: Desk) -> None:
    drift(desk, "tenant_drift")
    assert desk.refused("POST", "leads", {"lastname": "Ruiz"})[1] == "0x80040200"
    good = {"leadid": A, "new_region": "North", "industrycode": 43, "leadsourcecode": 192350100, "lastname": "Ruiz"}
    desk.ok("POST", "leads", good)
    assert desk.refused("PATCH", f"leads({A})", {"industrycode": 1})[1] == "0x8004431a"
    assert desk.refused("PATCH", f"leads({A})", {"subject": "x" * 51})[1] == "0x80044331"
    for number, target in ((B, "account"), (C, "contact")):
        desk.ok("POST", f"{target}s", {f"{target}id": number})
        desk.ok("PATCH", f"leads({A})", {f"new_SponsorId_{target}@odata.bind": f"/{target}s({number})"})
        assert desk.ok("GET", f"leads({A})")["_new_sponsorid_value"] == number
    with pytest.raises(ValueError, match="only a drifted lead"):
        drift(desk, "tenant_drift", table="contact")


def test_new_columns_and_lookups(desk: Desk) -> None:
    drift(desk, "add_column", column="new_Stand", type="String", max_length=5)
    drift(desk, "add_lookup", column="new_EventId", target="campaign")
    desk.ok("POST", "campaigns", {"campaignid": A, "name": "HIMSS"})
    bind = {"new_EventId@odata.bind": f"/campaigns({A})"}
    desk.ok("POST", "leads", {"leadid": B, "new_stand": "A12", **bind})
    assert desk.ok("GET", f"leads({B})?$select=_new_eventid_value")["_new_eventid_value"] == A
    assert desk.refused("POST", "leads", {"new_eventid@odata.bind": f"/campaigns({A})"})[1] == "0x80048d19"


@pytest.mark.parametrize(
    "change",
    [
        {"action": "add_column", "table": "lead", "column": "new_size", "type": "text"},
        {"action": "add_column", "table": "lead", "column": "JobTitle"},
        {"action": "add_column", "table": "lead", "column": "new_size", "type": "Picklist", "options": {"1": "S"}},
        {"action": "add_column", "table": "lead", "column": "new_size", "type": "Picklist", "options": ["S"]},
        {"action": "explode", "table": "lead"},
        {"action": "drop_column", "table": "lead", "column": "nosuch"},
        {"action": "drop_column", "table": "nosuch", "column": "x"},
        {"action": "drop_option", "table": "lead", "column": "leadsourcecode", "value": 99},
    ],
)
def test_nonsense_is_said(desk: Desk, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no (schema action|column|option)|has (no|a column)|(type|options) is "):
        desk.organization.change_schema(change)


def test_a_plugin_refuses_with_its_own_words(desk: Desk) -> None:
    drift(desk, "install_plugin", event="create", message="No leads from Orel", column="companyname", value="Orel")
    targets = [typed("lead", companyname="Zola"), typed("lead", companyname="Orel")]
    assert desk.refused("POST", BULK, {"Targets": targets}) == (400, "0x80040265", "No leads from Orel")
    assert desk.ok("GET", "leads")["value"] == []
    desk.ok("POST", BULK, {"Targets": targets[:1]})
    drift(desk, "remove_plugin", event="create")
    desk.ok("POST", BULK, {"Targets": targets})


def test_a_plugin_may_refuse_a_share(desk: Desk) -> None:
    drift(desk, "install_plugin", event="update", probability=0.5, seed=3)
    desk.ok("POST", "leads", {"leadid": A})
    statuses = {desk.call("PATCH", f"leads({A})", {"jobtitle": str(n)}).status for n in range(20)}
    assert statuses == {204, 400}


def test_edits_are_a_persons(desk: Desk) -> None:
    for row_id in (A, B, C):
        desk.ok("POST", "contacts", {"contactid": row_id, "lastname": "Ruiz"})
    tag = desk.call("GET", f"contacts({A})").headers
    edit = desk.organization.edit
    edit({"action": "change", "table": "contact", "id": A, "values": {"jobtitle": "CTO"}})
    row = desk.ok("GET", f"contacts({A})")
    assert row["jobtitle"] == "CTO"
    assert row["_modifiedby_value"] != row["_createdby_value"]
    assert desk.refused("PATCH", f"contacts({A})", {}, If_Match=dict(tag)["ETag"])[0] == 412
    edit({"action": "merge", "table": "contact", "id": B, "master": A})
    edit({"action": "deactivate", "table": "contact", "id": C})
    assert [desk.ok("GET", f"contacts({each})")["statecode"] for each in (B, C)] == [1, 1]
    edit({"action": "delete", "table": "contact", "id": C})
    assert desk.refused("GET", f"contacts({C})")[0] == 404
    desk.ok("POST", "leads", {"leadid": A})
    edit({"action": "qualify", "table": "lead", "id": A})
    assert desk.ok("GET", f"leads({A})")["statuscode"] == 3
    edit({"action": "disqualify", "table": "lead", "id": A, "values": {"statuscode": 7}})
    assert desk.ok("GET", f"leads({A})")["statuscode"] == 7


@pytest.mark.parametrize(
    "change",
    [
        {"action": "vanish", "table": "lead", "id": A},
        {"action": "change", "table": "lead", "id": B, "values": {}},
        {"action": "change", "table": "lead", "id": A, "values": {"nosuch": 1}},
        {"action": "change", "table": "nosuch", "id": A, "values": {}},
    ],
)
def test_a_wrong_edit_is_said_and_does_nothing(desk: Desk, change: dict[str, Any]) -> None:
    desk.ok("POST", "leads", {"leadid": A})
    before = list(desk.organization.rows("lead"))
    with pytest.raises(ValueError, match=r"\w"):
        desk.organization.edit(change)
    assert list(desk.organization.rows("lead")) == before


def test_seeding_takes_stamps_states_and_lookups_as_given(desk: Desk) -> None:
    desk.organization.load("account", [{"accountid": A, "name": "Orel"}])
    rows: list[dict[str, object]] = [
        {
            "contactid": B,
            "lastname": "Ruiz",
            "createdon": datetime(2020, 1, 2, tzinfo=UTC),
            "statecode": 1,
            "parentcustomerid": A,
            "jobtitle": None,
        },
        {"lastname": "x" * 500},
    ]
    assert desk.organization.load("contact", rows) == 2
    row = desk.ok("GET", f"contacts({B})")
    assert (row["createdon"], row["modifiedon"]) == ("2020-01-02T00:00:00Z",) * 2
    assert (row["statecode"], row["statuscode"], row["fullname"]) == (1, 2, "Ruiz")
    assert row["_parentcustomerid_value"] == A
    assert not any(name.startswith(("#", "@")) for each in desk.organization.rows("contact") for name in each)
    with pytest.raises(ValueError, match="nosuch"):
        desk.organization.load("contact", [{"nosuch": 1}])


def test_reset_keeps_users_and_nothing_else(desk: Desk) -> None:
    me = desk.ok("GET", "WhoAmI")
    desk.ok("POST", "leads", {"leadid": A})
    drift(desk, "drop_column", column="jobtitle")
    drift(desk, "install_plugin")
    desk.organization.settings.filter_lag_s = 9
    desk.organization.reset()
    assert desk.ok("GET", "WhoAmI") == me
    assert desk.ok("GET", f"systemusers({me['UserId']})")["fullname"] == "Sync App"
    assert desk.ok("GET", "leads?$select=jobtitle")["value"] == []
    desk.ok("POST", "leads", {"leadid": A})
    assert desk.organization.settings.filter_lag_s == 0


def test_a_removed_application_user_is_nobody(desk: Desk) -> None:
    desk.organization.remove_application_user("app")
    assert desk.organization.caller_for("app") is None


def test_a_transaction_undoes_updates_and_creations_in_order(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz", "cap_badgeid": "K1"})
    before = list(desk.organization.rows("lead"))
    with desk.organization.transaction() as transaction:
        desk.ok("PATCH", f"leads({A})", {"cap_badgeid": "K2"})
        desk.ok("DELETE", f"leads({A})")
        desk.ok("PATCH", f"leads({A})", {"cap_badgeid": "K3"})
        desk.ok("POST", "leads", {"cap_badgeid": "K1"})
        transaction.rollback()
    assert list(desk.organization.rows("lead")) == before
    assert desk.ok("GET", "leads(cap_badgeid='k1')")["leadid"] == A
    for free in ("K2", "K3"):
        desk.ok("POST", "leads", {"cap_badgeid": free})


def test_tables_of_paths(desk: Desk) -> None:
    table_of = desk.organization.table_of
    assert table_of(f"leads({A})") == table_of(BULK) == "lead"
    assert [table_of(path) for path in ("WhoAmI", "$metadata", "EntityDefinitions(LogicalName='lead')", "")] == [
        None
    ] * 4
