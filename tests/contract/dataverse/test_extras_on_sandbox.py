"""What extras send, on the sandbox: responses with their party, notes, memberships; and how names are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from dynamics.core.companies import CompanyKey
from dynamics.core.crm import RecordWrite, WriteState
from dynamics.core.extras import ExtrasWish, OwnerRule
from dynamics.core.mapping import parse_mapping
from dynamics.core.policy import Check, CreateRule, MatchBy, Policy, Several
from dynamics.dataverse.client import DataverseClient
from dynamics.extras.resolving import check, resolve
from sandbox.process import SandboxProcess
from tests.contract.dataverse.test_client_on_sandbox import account, client_of

LEAD, OTHER, CONTACT, CAMPAIGN, LIST, OWNER = (uuid4() for _ in range(6))
POLICY = Policy(Check.LEADS, MatchBy.EMAIL, Several.SKIP, CreateRule.LEAD)
MAPPINGS = {
    table: parse_mapping(table, f"target,source\n{row}\n", f"{table}.csv", {})
    for table, row in {
        "lead": "lastname,last_name",
        "contact": "lastname,last_name",
        "account": "name,company.name",
    }.items()
}
EVERYTHING = ExtrasWish(
    owner=OwnerRule("owner.email", fallback="sales@us.test"),
    by=CompanyKey.NAME,
    response_campaign="FLOW25",
    marketing_list="Visitors",
    note=True,
)


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[DataverseClient]:
    a_list = {"listid": str(LIST), "listname": "Visitors", "type": False, "createdfromcode": 4}
    tables = {
        "lead": [{"leadid": str(each), "lastname": "Ruiz"} for each in (LEAD, OTHER)],
        "contact": [{"contactid": str(CONTACT), "lastname": "Ruiz"}],
        "campaign": [{"campaignid": str(CAMPAIGN), "name": "Flow", "codename": "FLOW25"}],
        "list": [a_list, a_list | {"listid": str(uuid4()), "listname": "Query", "type": True}],
        "systemuser": [{"systemuserid": str(OWNER), "internalemailaddress": "sales@us.test", "fullname": "Sales"}],
    }
    sandbox.control("POST", "seed", {"tables": tables})
    with client_of(account(sandbox)) as ready:
        yield ready


def rows(sandbox: SandboxProcess, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.control("GET", f"rows?table={table}")
    return found


@pytest.mark.parametrize("isolated", [False, True], ids=["in bulk", "by itself"])
def test_a_campaign_response_has_its_campaign_and_its_party(
    sandbox: SandboxProcess, client: DataverseClient, isolated: bool
) -> None:
    values = {
        "subject": "Flow",
        "receivedon": "2026-03-14T09:00:00Z",
        "responsecode": 1,
        "regardingobjectid": f"campaign({CAMPAIGN})",
        "customer": [f"lead({LEAD})"],
    }
    write = RecordWrite(uuid4(), values, isolated=isolated)
    for state in (WriteState.DONE, WriteState.EXISTS):
        report = client.create("campaignresponse", [write])
        assert (report.stopped_by, report.results[write.record_id].state) == (None, state)
    [response] = rows(sandbox, "campaignresponse")
    assert (response["activityid"], response["_regardingobjectid_value"]) == (str(write.record_id), str(CAMPAIGN))
    [party] = rows(sandbox, "activityparty")
    assert (party["_activityid_value"], party["_partyid_value"]) == (str(write.record_id), str(LEAD))
    assert party["participationtypemask"] == 11


def test_a_note_hangs_on_its_record(sandbox: SandboxProcess, client: DataverseClient) -> None:
    write = RecordWrite(uuid4(), {"subject": "Scan", "notetext": "When? Soon", "objectid": f"contact({CONTACT})"})
    assert client.create("annotation", [write]).results[write.record_id].state is WriteState.DONE
    [note] = rows(sandbox, "annotation")
    assert (note["_objectid_value"], note["notetext"]) == (str(CONTACT), "When? Soon")


def test_members_are_on_the_list_once_in_one_request(sandbox: SandboxProcess, client: DataverseClient) -> None:
    client.metadata("lead")
    before = client.requests
    for _ in range(2):
        report = client.add_members(LIST, "lead", [LEAD])
        assert (report.stopped_by, report.results[LEAD].state) == (None, WriteState.DONE)
    assert client.requests == before + 2
    assert [row["_entityid_value"] for row in rows(sandbox, "listmember")] == [str(LEAD)]


def test_a_member_that_is_gone_keeps_no_other_from_the_list(sandbox: SandboxProcess, client: DataverseClient) -> None:
    gone = uuid4()
    report = client.add_members(LIST, "lead", [gone, LEAD])
    assert {each: result.state for each, result in report.results.items()} == {
        gone: WriteState.REFUSED,
        LEAD: WriteState.DONE,
    }


def test_a_locked_list_is_asked_once(sandbox: SandboxProcess, client: DataverseClient) -> None:
    sandbox.control(
        "POST", "edit", {"table": "list", "id": str(LIST), "action": "change", "values": {"lockstatus": True}}
    )
    client.metadata("lead")
    before = client.requests
    report = client.add_members(LIST, "lead", [LEAD, OTHER])
    assert {result.state for result in report.results.values()} == {WriteState.REFUSED}
    assert client.requests == before + 1


def test_a_list_of_others_stops_everything(client: DataverseClient) -> None:
    report = client.add_members(LIST, "contact", [CONTACT])
    assert report.stopped_by is not None
    assert report.results[CONTACT].state is WriteState.NOT_SENT


def test_names_are_found_and_nothing_is_missing(client: DataverseClient) -> None:
    resolved = check(EVERYTHING, POLICY, MAPPINGS, "dynamics_default", client)
    assert (resolved.problems, resolved.faults) == ([], [])
    plan = resolved.plan
    assert (plan.campaign_id, plan.marketing_list and plan.marketing_list.list_id) == (CAMPAIGN, LIST)
    assert plan.makes == ("campaignresponse", "listmember", "annotation")


def test_every_fault_is_told_at_once(sandbox: SandboxProcess, client: DataverseClient) -> None:
    missing = ["prvCreateNote", "prvCreateAccount", "prvCreateActivity"]
    sandbox.control("PUT", "settings", {"applications": {sandbox.ready["client_id"]: {"missing_privileges": missing}}})
    wish = ExtrasWish(
        owner=OwnerRule("owner.email", fallback="nobody@us.test"),
        by=CompanyKey.NAME,
        response_campaign="FLOW24",
        marketing_list="Query",
        note=True,
    )
    lead = parse_mapping("lead", "target,source\nlastname,last_name\ndescription,notes.all\n", "lead.csv", {})
    found = check(wish, POLICY, {"lead": lead, "contact": MAPPINGS["contact"]}, "dynamics_default", client)
    assert [(each.setting, each.what) for each in found.problems] == [
        ("owner", "'nobody@us.test' is not found in systemuser.internalemailaddress."),
        ("campaign", "'FLOW24' is not found in campaign.codename."),
        ("marketing_list", "'Query' is a dynamic list: its members are found by a query."),
        ("account", "The mapping set has no account.csv."),
    ]
    [fault] = found.faults
    assert all(name in fault.what for name in missing)


def test_nothing_named_asks_nothing(client: DataverseClient) -> None:
    client.organization()
    before = client.requests
    assert resolve(ExtrasWish(note=True), client).problems == []
    assert client.requests == before


def test_an_unknown_list_and_one_that_stands_there_twice(sandbox: SandboxProcess, client: DataverseClient) -> None:
    twin = {"listid": str(UUID(int=5)), "listname": "visitors", "type": False, "createdfromcode": 4}
    sandbox.control("POST", "seed", {"tables": {"list": [twin]}})
    for name, what in (
        ("Visitors", "There are several active lists 'Visitors'."),
        ("V", "There is no active list 'V'."),
    ):
        [problem] = resolve(ExtrasWish(marketing_list=name), client).problems
        assert problem.what == what
