"""Content written at a stop and taken back at the next start: what comes back, and what goes on from there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.unit.sandbox.dataverse.desk import A, B, C, Desk

TRACKED = {"Prefer": "odata.track-changes"}


def restarted(desk: Desk) -> Desk:
    """A new organisation that took back what the old one wrote."""
    kept = orjson.loads(orjson.dumps(desk.organization.content()))
    after = Desk()
    after.wait(3600)
    after.organization.restore(kept)
    return after


def all_rows(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    tables = ("lead", "contact", "account", "campaign", "systemuser", "organization", "sdkmessagefilter")
    return {table: list(desk.organization.rows(table)) for table in tables}


def test_rows_come_back_as_they_were(desk: Desk) -> None:
    desk.ok("POST", "accounts", {"accountid": C, "name": "Acme"})
    desk.ok("POST", "contacts", {"contactid": A, "lastname": "O'Brien 🙂", "parentcustomerid_account@odata.bind":
                                 f"/accounts({C})"})  # fmt: skip
    desk.ok("POST", "leads", {"leadid": B, "lastname": "Ruiz", "cap_badgeid": "007", "revenue": 12.5})
    desk.organization.edit({"action": "disqualify", "table": "lead", "id": B})
    again = restarted(desk)
    assert all_rows(again) == all_rows(desk)
    expand = f"contacts({A})?$expand=parentcustomerid_account($select=name)"
    assert again.ok("GET", expand)["parentcustomerid_account"]["name"] == "Acme"
    assert again.ok("GET", "leads(cap_badgeid='007')")["statecode"] == 2
    assert again.refused("POST", "leads", {"lastname": "Twin", "cap_badgeid": "007"})[1] == "0x80060892"


def test_clients_go_on_with_the_versions_and_delta_tokens_they_have(desk: Desk) -> None:
    for row_id in (A, B):
        desk.ok("POST", "leads", {"leadid": row_id, "lastname": "Ruiz"})
    tag = desk.ok("GET", f"leads({A})")["@odata.etag"]
    link = desk.ok("GET", "leads?$select=lastname", **TRACKED)["@odata.deltaLink"]
    desk.ok("DELETE", f"leads({B})")
    again = restarted(desk)
    changed = again.ok("GET", link.partition("/v9.2/")[2])["value"]
    assert [(each["id"], each["reason"]) for each in changed] == [(B, "deleted")]
    again.ok("PATCH", f"leads({A})", {"jobtitle": "CTO"}, If_Match=tag)
    assert again.refused("PATCH", f"leads({A})", {"jobtitle": "CFO"}, If_Match=tag)[0] == 412


def test_ids_given_by_the_organisation_are_never_given_twice(desk: Desk) -> None:
    desk.ok("POST", "leads", {"lastname": "First"})
    again = restarted(desk)
    again.ok("POST", "leads", {"lastname": "Second"})
    assert again.names("lastname ne null") == ["First", "Second"]
    assert restarted(again).names("lastname ne null") == ["First", "Second"]


def test_changed_tables_come_back(desk: Desk) -> None:
    desk.organization.change_schema({"action": "add_column", "table": "lead", "column": "new_Stand", "max_length": 5})
    desk.organization.change_schema({"action": "drop_column", "table": "lead", "column": "jobtitle"})
    desk.ok("POST", "leads", {"leadid": A, "new_stand": "A12"})
    again = restarted(desk)
    assert again.find("leads", "new_stand eq 'a12'")[0]["leadid"] == A
    assert again.refused("POST", "leads", {"new_stand": "A12345"})[1] == "0x80044331"
    assert again.refused("GET", "leads?$select=jobtitle")[0] == 400
    assert restarted(again).find("leads", "new_stand eq 'a12'")[0]["leadid"] == A


def test_a_deleted_table_stays_deleted(desk: Desk) -> None:
    assert desk.call("DELETE", "EntityDefinitions(LogicalName='campaignresponse')").status == 204
    assert restarted(desk).call("GET", "campaignresponses").status == 404


def test_a_reset_forgets_what_was_kept(desk: Desk) -> None:
    desk.ok("POST", "leads", {"leadid": A, "lastname": "Ruiz"})
    again = restarted(desk)
    again.organization.reset()
    assert list(again.organization.rows("lead")) == []


@pytest.mark.parametrize("kept", [{}, {"rows": {}}, {"schema": 1}, [], {"schema": [], "removed": [], "rows": 1}])
def test_anything_else_is_refused(desk: Desk, kept: Any) -> None:
    with pytest.raises(ValueError, match=r"content|valid"):
        desk.organization.restore(kept)
