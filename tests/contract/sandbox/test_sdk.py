"""Microsoft's own Python SDK works on the sandbox unmodified, over HTTPS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError, MetadataError
from PowerPlatform.Dataverse.models.upsert import UpsertItem

from sandbox.process import SandboxProcess
from tests.fixtures.sandbox import token_answer


class ClientSecret:
    """What azure-identity's ClientSecretCredential does, with the sandbox as its authority."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self._sandbox = sandbox

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        answer = token_answer(self._sandbox, {"scope": scopes[0]})
        return AccessToken(answer["access_token"], int(time.time()) + answer["expires_in"])


@pytest.fixture
def client(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataverseClient]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", sandbox.ca_bundle)
    with DataverseClient(sandbox.ready["organizations"][0]["url"], ClientSecret(sandbox)) as sdk:
        yield sdk


def test_create_and_retrieve(client: DataverseClient) -> None:
    lead = client.records.create("lead", {"lastname": "O'Brien", "subject": "Stand 7", "emailaddress1": "a+b@x.test"})
    record = client.records.retrieve("lead", lead, select=["lastname", "emailaddress1", "fullname"])
    assert record is not None
    assert (record["lastname"], record["emailaddress1"]) == ("O'Brien", "a+b@x.test")


def test_retrieve_of_a_missing_record_is_none(client: DataverseClient) -> None:
    assert client.records.retrieve("lead", "00000000-0000-4000-8000-000000000001") is None


def test_create_many_keeps_the_order_of_ids(client: DataverseClient) -> None:
    ids = client.records.create("contact", [{"lastname": f"N{number}"} for number in range(250)])
    assert len(set(ids)) == 250
    last = client.records.retrieve("contact", ids[249], select=["lastname"])
    assert last is not None
    assert last["lastname"] == "N249"


def test_query_filters_selects_orders_and_limits(client: DataverseClient) -> None:
    names = ["Ruiz", "ruiz", "D'Angelo", "Zola", "Müller & Söhne"]
    client.records.create("lead", [{"lastname": name, "subject": "x"} for name in names])
    same = client.records.list("lead", filter="lastname eq 'RUIZ'", select=["lastname"], orderby=["createdon asc"])
    assert sorted(record["lastname"] for record in same) == ["Ruiz", "ruiz"]
    for awkward in ("D'Angelo", "Müller & Söhne"):
        literal = awkward.replace("'", "''")
        assert len(list(client.records.list("lead", filter=f"lastname eq '{literal}'"))) == 1
    first = client.records.list("lead", select=["lastname"], orderby=["lastname desc"], top=1)
    assert [record["lastname"] for record in first] == ["Zola"]


def test_pages_follow_each_other_without_loss(client: DataverseClient) -> None:
    client.records.create("contact", [{"lastname": f"P{number:03}"} for number in range(95)])
    pages = list(client.records.list_pages("contact", select=["lastname"], orderby=["lastname asc"], page_size=20))
    assert [len(list(page)) for page in pages] == [20, 20, 20, 20, 15]
    assert [record["lastname"] for page in pages for record in page] == [f"P{number:03}" for number in range(95)]


def test_update_one_many_alike_and_many_paired(client: DataverseClient) -> None:
    ids = client.records.create("lead", [{"lastname": name} for name in ("A", "B")])
    client.records.update("lead", ids[0], {"jobtitle": "Buyer"})
    client.records.update("lead", ids, {"companyname": "Orel Labs"})
    client.records.update("lead", ids, [{"firstname": "Ana"}, {"firstname": "Bo"}])
    first, second = (
        client.records.retrieve("lead", lead, select=["jobtitle", "companyname", "firstname"]) for lead in ids
    )
    assert first is not None
    assert second is not None
    assert (first["jobtitle"], first["companyname"], first["firstname"]) == ("Buyer", "Orel Labs", "Ana")
    assert (second["jobtitle"], second["companyname"], second["firstname"]) == (None, "Orel Labs", "Bo")


def test_upsert_by_alternate_key(client: DataverseClient) -> None:
    for job in ("Buyer", "Head of Buying"):
        client.records.upsert("lead", [UpsertItem({"cap_badgeid": "A-1"}, {"lastname": "Ruiz", "jobtitle": job})])
    client.records.upsert(
        "lead",
        [
            UpsertItem({"cap_badgeid": "A-1"}, {"companyname": "Orel"}),
            UpsertItem({"cap_badgeid": "A-2"}, {"lastname": "Zola"}),
        ],
    )
    found = client.records.list("lead", select=["cap_badgeid", "jobtitle", "companyname"], orderby=["cap_badgeid asc"])
    assert [(row["cap_badgeid"], row["jobtitle"], row["companyname"]) for row in found] == [
        ("A-1", "Head of Buying", "Orel"),
        ("A-2", None, None),
    ]


def test_delete(client: DataverseClient) -> None:
    lead = client.records.create("lead", {"lastname": "Ruiz"})
    client.records.delete("lead", lead)
    assert client.records.retrieve("lead", lead) is None


def test_choices_are_written_and_read_by_label(client: DataverseClient) -> None:
    lead = client.records.create("lead", {"lastname": "Ruiz", "leadsourcecode": "Trade Show"})
    record = client.records.retrieve("lead", lead, select=["leadsourcecode"], include_annotations="*")
    assert record is not None
    assert record["leadsourcecode"] == 7
    assert record["leadsourcecode@OData.Community.Display.V1.FormattedValue"] == "Trade Show"


def test_table_metadata(client: DataverseClient) -> None:
    table = client.tables.get("lead")
    assert table is not None
    assert (table["table_logical_name"], table["entity_set_name"]) == ("lead", "leads")
    columns = {column["LogicalName"] for column in client.tables.list_columns("lead")}
    assert {"lastname", "emailaddress1", "leadsourcecode", "cap_badgeid"} <= columns
    keys = client.tables.get_alternate_keys("lead")
    assert [key.key_attributes for key in keys] == [["cap_badgeid"]]
    with pytest.raises(MetadataError):
        client.records.create("nosuchtable", {"x": 1})


def test_batch_with_change_set_reference_and_query(client: DataverseClient) -> None:
    batch = client.batch.new()
    batch.records.create("lead", {"lastname": "Alone"})
    with batch.changeset() as changes:
        contact = changes.records.create("contact", {"lastname": "Referred"})
        changes.records.update("contact", contact, {"jobtitle": "Buyer"})
    batch.records.list("contact", filter="lastname eq 'Referred'", select=["lastname", "jobtitle"])
    result = batch.execute()
    assert not result.has_errors
    assert [response.status_code for response in result.responses] == [204, 204, 204, 200]
    data = result.responses[3].data
    assert data is not None
    assert [row["jobtitle"] for row in data["value"]] == ["Buyer"]


def test_batch_goes_on_after_an_error_only_if_told(client: DataverseClient) -> None:
    for go_on, statuses in ((False, [400]), (True, [400, 204])):
        batch = client.batch.new()
        batch.records.create("lead", {"lastname": "Refused", "leadsourcecode": 999})
        batch.records.create("lead", {"lastname": "After"})
        result = batch.execute(continue_on_error=go_on)
        assert [answer.status_code for answer in result.responses] == statuses
        assert result.responses[0].error_code == "0x8004431a"


def test_a_failed_change_set_leaves_nothing(client: DataverseClient) -> None:
    batch = client.batch.new()
    with batch.changeset() as changes:
        changes.records.create("lead", {"lastname": "Gone"})
        changes.records.create("lead", {"lastname": "Ruiz", "leadsourcecode": 999})
    result = batch.execute()
    assert [answer.status_code for answer in result.responses] == [400]
    assert list(client.records.list("lead", select=["lastname"])) == []


def test_errors_are_mapped(client: DataverseClient, sandbox: SandboxProcess) -> None:
    lead = client.records.create("lead", {"lastname": "Ruiz", "cap_badgeid": "B-1"})
    with pytest.raises(HttpError) as duplicate:
        client.records.create("lead", {"lastname": "Other", "cap_badgeid": "B-1"})
    assert (duplicate.value.status_code, duplicate.value.details["service_error_code"]) == (412, "0x80060892")
    with pytest.raises(HttpError) as missing:
        client.records.delete("lead", "00000000-0000-4000-8000-000000000001")
    assert (missing.value.status_code, missing.value.details["service_error_code"]) == (404, "0x80040217")
    rule = {"match": {"table": "lead"}, "effect": "status", "status": 429, "retry_after": 17, "times": 1}
    sandbox.control("PUT", "faults", [rule])
    with pytest.raises(HttpError) as throttled:
        client.records.update("lead", lead, {"jobtitle": "x"})
    assert throttled.value.status_code == 429
    assert throttled.value.is_transient
    assert throttled.value.details["retry_after"] == 17
    assert throttled.value.details["service_error_code"] == "0x80072322"
