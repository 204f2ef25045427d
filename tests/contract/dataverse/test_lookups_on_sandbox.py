"""Lookups of every kind on the sandbox: found, bound, read back, compared, cleared, and gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from dynamics.core.crm import RecordWrite, WriteState
from dynamics.core.lookup import LookupKey, LookupMiss, lookup_value
from dynamics.core.mapping.rules import WriteMode
from dynamics.core.merge import changed_values
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.dataverse.lookups import KEPT_S
from sandbox.process import SandboxProcess
from tests.contract.dataverse.test_client_on_sandbox import account
from tests.fakes.clock import FakeClock

FLOW = LookupKey("campaign", "codename", "FLOW25")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(sandbox: SandboxProcess, clock: FakeClock) -> Iterator[DataverseClient]:
    with DataverseClient(account(sandbox), budget=LocalBudget(), clock=clock) as ready:
        yield ready


def make(client: DataverseClient, table: str, **values: Any) -> str:
    """A record somebody made, as a reference."""
    write = RecordWrite(uuid4(), values)
    assert client.create(table, [write]).results[write.record_id].state is WriteState.DONE
    return lookup_value(table, write.record_id)


def seed(sandbox: SandboxProcess, table: str, **values: Any) -> str:
    record_id = str(uuid4())
    sandbox.control("POST", "seed", {"tables": {table: [{f"{table}id": record_id, **values}]}})
    return lookup_value(table, record_id)


def one(client: DataverseClient, key: LookupKey) -> str | LookupMiss:
    return client.look_up([key])[key]


def test_each_kind_is_bound_read_back_and_cleared(client: DataverseClient, sandbox: SandboxProcess) -> None:
    campaign = make(client, "campaign", name="Flow", codename="FLOW25")
    company = make(client, "account", name="Acme")
    person = make(client, "contact", lastname="Lee")
    user = seed(sandbox, "systemuser", internalemailaddress="sam@x.test", fullname="Sam Lee")
    values = {"lastname": "Ruiz", "campaignid": campaign, "customerid": company, "ownerid": user}
    bulk, alone = RecordWrite(uuid4(), values), RecordWrite(uuid4(), values | {"customerid": person}, isolated=True)
    report = client.create("lead", [bulk, alone])
    assert report.stopped_by is None
    assert {result.state for result in report.results.values()} == {WriteState.DONE}
    ids = [bulk.record_id, alone.record_id]
    read = {UUID(record["@id"]): record for record in client.read("lead", ids, tuple(values))}
    for write in (bulk, alone):
        record = read[write.record_id]
        assert {name: record[name] for name in values} == write.values
        assert changed_values(write.values, record, None, {}, client.metadata("lead")) == {}
    cleared = RecordWrite(bulk.record_id, {"campaignid": None, "customerid": None}, read[bulk.record_id]["@etag"])
    moved = RecordWrite(alone.record_id, {"customerid": company}, read[alone.record_id]["@etag"])
    assert {r.state for r in client.update("lead", [cleared, moved]).results.values()} == {WriteState.DONE}
    read = {UUID(record["@id"]): record for record in client.read("lead", ids, tuple(values))}
    assert (read[bulk.record_id].get("campaignid"), read[bulk.record_id].get("customerid")) == (None, None)
    assert read[alone.record_id]["customerid"] == company


def test_a_blank_lookup_is_filled_and_a_full_one_left(client: DataverseClient) -> None:
    campaign = make(client, "campaign", name="Flow", codename="FLOW25")
    lead = RecordWrite(uuid4(), {"lastname": "Ruiz"})
    client.create("lead", [lead])
    (record,) = client.read("lead", [lead.record_id], ("campaignid",))
    modes = {"campaignid": WriteMode.IF_EMPTY}
    metadata = client.metadata("lead")
    assert changed_values({"campaignid": campaign}, record, None, modes, metadata) == {"campaignid": campaign}
    other = record | {"campaignid": lookup_value("campaign", uuid4())}
    assert changed_values({"campaignid": campaign}, other, None, modes, metadata) == {}


def test_users_and_teams_are_found_and_disabled_users_are_not(client: DataverseClient, sandbox: SandboxProcess) -> None:
    sam = seed(sandbox, "systemuser", internalemailaddress="Sam@x.test", isdisabled=False)
    seed(sandbox, "systemuser", internalemailaddress="gone@x.test", isdisabled=True)
    team = seed(sandbox, "team", name="Inside sales")
    keys = [
        LookupKey("systemuser", "internalemailaddress", "sam@X.test"),
        LookupKey("systemuser", "internalemailaddress", "gone@x.test"),
        LookupKey("systemuser", "internalemailaddress", "O'Nobody@x.test"),
        LookupKey("team", "name", "inside sales"),
        LookupKey.of("systemuser", "systemuserid", sam[11:-1].upper()),
        LookupKey.of("systemuser", "systemuserid", "no id"),
    ]
    assert list(client.look_up(keys).values()) == [
        sam,
        LookupMiss.INACTIVE,
        LookupMiss.NOT_FOUND,
        team,
        sam,
        LookupMiss.NOT_FOUND,
    ]
    lead = RecordWrite(uuid4(), {"lastname": "Ruiz", "ownerid": team})
    assert client.create("lead", [lead]).results[lead.record_id].state is WriteState.DONE
    (record,) = client.read("lead", [lead.record_id], ("ownerid",))
    assert record["ownerid"] == team


def test_many_texts_of_several_tables_take_one_request(client: DataverseClient) -> None:
    writes = [RecordWrite(uuid4(), {"name": f"Company {n}"}) for n in range(300)]
    client.create("account", writes)
    make(client, "campaign", name="Flow", codename="FLOW25")
    keys = [LookupKey("account", "name", f"company {n}") for n in range(300)]
    client.metadata("account"), client.metadata("campaign")
    before = client.requests
    answers = client.look_up([*keys, FLOW])
    assert client.requests - before == 1
    assert [answers[key] for key in keys] == [lookup_value("account", write.record_id) for write in writes]


def test_what_was_found_is_kept_for_a_while_and_what_is_missing_is_not(
    client: DataverseClient, clock: FakeClock
) -> None:
    assert one(client, FLOW) is LookupMiss.NOT_FOUND
    first = make(client, "campaign", name="Flow", codename="FLOW25")
    assert one(client, FLOW) == first
    before = client.requests
    assert one(client, FLOW) == first
    assert client.requests == before
    make(client, "campaign", name="Flow again", codename="FLOW25")
    clock.sleep(KEPT_S)
    assert one(client, FLOW) is LookupMiss.AMBIGUOUS


@pytest.mark.parametrize("isolated", [True, False])
def test_a_target_that_vanished_is_told_and_looked_up_anew(
    client: DataverseClient, sandbox: SandboxProcess, isolated: bool
) -> None:
    campaign = make(client, "campaign", name="Flow", codename="FLOW25")
    assert one(client, FLOW) == campaign
    sandbox.control("POST", "edit", {"action": "delete", "table": "campaign", "id": campaign[9:-1]})
    lead = RecordWrite(uuid4(), {"lastname": "Ruiz", "campaignid": campaign}, isolated=isolated)
    other = RecordWrite(uuid4(), {"lastname": "Lee"})
    results = client.create("lead", [lead, other]).results
    assert results[lead.record_id].state is WriteState.TARGET_GONE
    assert results[other.record_id].state is WriteState.DONE
    assert one(client, FLOW) is LookupMiss.NOT_FOUND
