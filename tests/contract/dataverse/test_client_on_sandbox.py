"""The client end to end: msal, TLS and HTTP, on the sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from dynamics.clock import SystemClock
from dynamics.core.crm import CandidateQuery, RecordWrite, WriteState
from dynamics.core.metadata import RequiredLevel, TableMetadata
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.known import Known
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.errors import AccountError, ConfigurationError, Fault
from sandbox.process import SandboxProcess
from tests.fakes.clock import FakeClock


def account(sandbox: SandboxProcess, **changes: Any) -> DataverseAccount:
    ready = sandbox.ready
    return DataverseAccount(
        environment_url=ready["organizations"][0]["url"],
        tenant_id=ready["tenant_id"],
        client_id=ready["client_id"],
        client_secret=SecretStr(ready["client_secret"]),
        authority=ready["authority"],
        application_users=tuple(ready["application_users"]),
        sandbox=True,
        ca_bundle=ready["ca_bundle"],
    ).model_copy(update=changes)


def client_of(account: DataverseAccount) -> DataverseClient:
    return DataverseClient(account, budget=LocalBudget(), clock=SystemClock())


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[DataverseClient]:
    with client_of(account(sandbox)) as ready:
        yield ready


def leads(count: int, **columns: object) -> list[RecordWrite]:
    return [
        RecordWrite(uuid4(), {"subject": f"Booth {n}", "lastname": f"L{n}", "emailaddress1": f"p{n}@x.test", **columns})
        for n in range(count)
    ]


def test_we_know_who_and_where_we_are(sandbox: SandboxProcess, client: DataverseClient) -> None:
    organization = client.organization()
    assert str(organization.organization_id) == sandbox.ready["organizations"][0]["organization_id"]
    assert client.whoami().user_id in organization.user_ids
    assert len(organization.user_ids) == len(sandbox.ready["application_users"])
    requests = client.requests
    client.organization()
    assert client.requests == requests


def test_the_connection_test_tells_identity_organisation_and_rights(client: DataverseClient) -> None:
    told = client.test()
    assert str(client.organization().organization_id) in told
    assert "Roles: System Administrator." in told
    assert "Nothing is missing" in told


def test_the_connection_test_names_missing_rights(sandbox: SandboxProcess, client: DataverseClient) -> None:
    missing = {sandbox.ready["client_id"]: {"missing_privileges": ["prvWriteLead", "prvReadAccount"]}}
    sandbox.control("PUT", "settings", {"applications": missing})
    assert "Missing: prvWriteLead, prvReadAccount." in client.test()


def test_a_certificate_signs_in_too(sandbox: SandboxProcess) -> None:
    pem = SecretStr(sandbox.ready["certificate"])
    with client_of(account(sandbox, client_secret=None, certificate=pem)) as client:
        assert client.whoami().organization_id


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"client_secret": SecretStr("wrong-canary")}, "the client secret is wrong"),
        ({"client_id": str(UUID(int=7))}, "client id is not known"),
        ({"ca_bundle": None}, "certificate is not trusted"),
    ],
)
def test_what_keeps_us_out_is_said_in_a_sentence(
    sandbox: SandboxProcess, changes: dict[str, object], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with client_of(account(sandbox, **changes)) as client, pytest.raises(AccountError, match=remedy) as refused:
        client.whoami()
    assert "canary" not in str(refused.value)


def test_an_unknown_tenant_is_said_in_a_sentence(sandbox: SandboxProcess) -> None:
    hub = sandbox.ready["authority"].rpartition("/")[0]
    elsewhere = account(sandbox, authority=f"{hub}/{uuid4()}")
    with client_of(elsewhere) as client, pytest.raises(AccountError, match="check the tenant id"):
        client.whoami()


def test_our_bundle_beats_the_environments(
    sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "theirs.pem"))
    with client_of(account(sandbox)) as client:
        assert client.whoami()


class Rotating(LocalBudget):
    """Sends as one application user after the other."""

    def __init__(self, users: Sequence[str]) -> None:
        super().__init__()
        self._users = cycle(users)

    @contextmanager
    def slot(self, patience_s: float = 35.0) -> Iterator[str]:
        with super().slot(patience_s):
            yield next(self._users)


def test_several_application_users_share_the_load_and_are_all_ours(sandbox: SandboxProcess) -> None:
    users = sandbox.ready["application_users"]
    several = account(sandbox)
    with DataverseClient(several, budget=Rotating(users), clock=SystemClock()) as client:
        ours = client.organization().user_ids
        rows = leads(3 * 250)
        client.create("lead", rows)
        found = client.read("lead", [row.record_id for row in rows], ())
    creators = Counter(UUID(record["_createdby_value"]) for record in found)
    assert set(creators) == set(ours)
    assert set(creators.values()) == {250}


def test_lanes_and_their_bulk_writes_keep_their_connections(
    sandbox: SandboxProcess, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.control("PUT", "settings", {"latency": {"per_request_s": 0.3}})
    with (
        DataverseClient(
            account(sandbox), budget=LocalBudget(24), clock=SystemClock(), callers=8, concurrency=16, create_rows=1
        ) as client,
        ThreadPoolExecutor(9) as lanes,
    ):
        client.metadata("lead")
        creating = lanes.submit(client.create, "lead", leads(16))
        list(lanes.map(lambda _: client.whoami(), range(8)))
        assert {result.state for result in creating.result().results.values()} == {WriteState.DONE}
    assert [record for record in caplog.records if record.name.startswith("urllib3")] == []


def test_a_table_is_known_with_types_limits_and_options(client: DataverseClient) -> None:
    lead = client.metadata("lead")
    assert (lead.entity_set, lead.primary_id, lead.bulk_create) == ("leads", "leadid", True)
    columns = lead.columns
    assert (columns["subject"].type, columns["subject"].max_length) == ("String", 300)
    assert columns["subject"].required is RequiredLevel.APPLICATION
    assert columns["description"].type == "Memo"
    assert columns["leadsourcecode"].options[7] == "Trade Show"
    assert columns["statecode"].options[0] == "Open"
    assert set(columns["donotemail"].options) == {0, 1}
    assert columns["estimatedclosedate"].date_only
    assert not columns["createdon"].date_only
    assert columns["ownerid"].type == "Owner"
    assert columns["numberofemployees"].minimum == 0
    assert not columns["fullname"].creatable
    requests = client.requests
    client.metadata("lead")
    assert client.requests == requests


def test_a_table_that_does_not_exist_is_an_account_fault(client: DataverseClient) -> None:
    with pytest.raises(AccountError, match="does not exist"):
        client.metadata("new_nothing")


def test_a_thousand_rows_with_seven_bad_ones(client: DataverseClient) -> None:
    rows = leads(1000)
    bad: dict[int, tuple[str, object, str]] = {
        0: ("subject", "x" * 301, "0x80044331"),
        99: ("mobilephone", "0" * 21, "0x80044331"),
        100: ("leadsourcecode", 99, "0x8004431a"),
        450: ("leadsourcecode", "seven", "0x80048d19"),
        451: ("numberofemployees", -1, "0x8004432f"),
        730: ("description", "a\bb", "0x80040278"),
        999: ("subject", "y" * 301, "0x80044331"),
    }
    for number, (column, value, _) in bad.items():
        rows[number].values[column] = value
    client.metadata("lead")
    requests = client.requests
    report = client.create("lead", rows)
    assert client.requests - requests <= 60
    assert report.stopped_by is None
    for number, (column, _, code) in bad.items():
        result = report.results[rows[number].record_id]
        assert (result.state, result.column, result.code) == (WriteState.REFUSED, column, code)
        assert result.request_id
    assert Counter(result.state for result in report.results.values()) == {WriteState.DONE: 993, WriteState.REFUSED: 7}
    found = client.read("lead", [row.record_id for row in rows], ("emailaddress1",))
    assert len(found) == 993
    assert {UUID(record["_createdby_value"]) for record in found} == {client.whoami().user_id}


def test_created_twice_a_record_exists_once(client: DataverseClient) -> None:
    rows = leads(3)
    client.create("lead", rows[:1])
    states = {key: result.state for key, result in client.create("lead", rows).results.items()}
    assert list(states.values()) == [WriteState.EXISTS, WriteState.DONE, WriteState.DONE]


def test_updates_land_on_their_version_only(client: DataverseClient) -> None:
    rows = leads(120)
    client.create("lead", rows)
    etags = {UUID(r["@id"]): r["@etag"] for r in client.read("lead", [row.record_id for row in rows], ())}
    client.update("lead", [RecordWrite(rows[5].record_id, {"jobtitle": "theirs"}, etags[rows[5].record_id])])
    writes = [RecordWrite(row.record_id, {"jobtitle": "ours"}, etags[row.record_id]) for row in rows]
    writes[7] = RecordWrite(uuid4(), {"jobtitle": "ours"}, 'W/"1"')
    writes[9] = RecordWrite(rows[9].record_id, {"jobtitle": "x" * 101}, etags[rows[9].record_id])
    report = client.update("lead", writes)
    results = [report.results[write.record_id] for write in writes]
    assert [results[n].state for n in (5, 7, 9)] == [WriteState.STALE, WriteState.GONE, WriteState.REFUSED]
    assert (results[9].column, results[9].code) == ("jobtitle", "0x80044331")
    assert Counter(result.state for result in results)[WriteState.DONE] == 117
    titles = Counter(r["jobtitle"] for r in client.read("lead", [row.record_id for row in rows], ("jobtitle",)))
    assert titles == {"ours": 117, "theirs": 1, None: 2}


NASTY = ["O'Brien", "a&b", "#1", "100%", "%2B", "a+b", 'say "hi"', "back\\slash", "a/b?c=d", "Žofia 🎪", "=1+1", "'"]


def test_nasty_names_find_their_own_records_only(sandbox: SandboxProcess, client: DataverseClient) -> None:
    rows = [
        RecordWrite(uuid4(), {"lastname": name, "firstname": f"N{n}", "emailaddress1": f"{n}@canary.test"})
        for n, name in enumerate(NASTY)
    ]
    client.create("contact", rows)
    for number, name in enumerate(NASTY):
        where = (("lastname", (name,)), ("firstname", tuple(f"n{n}" for n in range(len(NASTY)))))
        found = client.find([CandidateQuery("contact", where, ("lastname",))])
        assert [(record["@id"], record["lastname"]) for record in found] == [(str(rows[number].record_id), name)]
    addresses = [entry["path"] for entry in sandbox.control("GET", "journal") if entry["parent"] is None]
    assert addresses
    assert not any("Brien" in address for address in addresses)


def test_only_open_records_are_found_unless_asked(sandbox: SandboxProcess, client: DataverseClient) -> None:
    rows = leads(2, emailaddress1="same@x.test")
    client.create("lead", rows)
    sandbox.control("POST", "edit", {"action": "disqualify", "table": "lead", "id": str(rows[0].record_id)})
    where = (("emailaddress1", ("SAME@x.test",)),)
    found = client.find([CandidateQuery("lead", where, ())])
    assert [record["@id"] for record in found] == [str(rows[1].record_id)]
    assert len(client.find([CandidateQuery("lead", where, (), only_active=False)])) == 2


def test_pages_are_followed_to_the_end(client: DataverseClient) -> None:
    client.create("lead", leads(5200, lastname="Page", emailaddress1=None))
    found = client.find([CandidateQuery("lead", (("lastname", ("page",)),), ("lastname",))])
    assert len({record["@id"] for record in found}) == len(found) == 5200


@pytest.mark.parametrize("effect", ["drop_after_commit", "drop_before_commit"])
def test_a_lost_answer_is_unknown_and_told_by_a_read(
    sandbox: SandboxProcess, client: DataverseClient, effect: str
) -> None:
    client.metadata("lead")
    rows = leads(10)
    sandbox.control("PUT", "faults", [{"match": {"path": "CreateMultiple"}, "effect": effect, "times": 1}])
    report = client.create("lead", rows)
    assert {result.state for result in report.results.values()} == {WriteState.UNKNOWN}
    there = client.read("lead", [row.record_id for row in rows], ())
    assert len(there) == (10 if effect == "drop_after_commit" else 0)


def test_a_read_sees_what_a_query_does_not_show_yet(sandbox: SandboxProcess, client: DataverseClient) -> None:
    sandbox.control("PUT", "settings", {"filter_lag_s": 600})
    rows = leads(3)
    client.create("lead", rows)
    assert client.find([CandidateQuery("lead", (("emailaddress1", ("p1@x.test",)),), ())]) == []
    assert len(client.read("lead", [row.record_id for row in rows], ())) == 3


# ---------------------------------------------------------------- a schema that moves


def test_what_is_refused_for_a_schema_that_has_moved_counts_as_not_sent_once(
    sandbox: SandboxProcess, client: DataverseClient
) -> None:
    good, long = leads(2)
    long.values["jobtitle"] = "x" * 50
    client.metadata("lead")
    sandbox.control(
        "POST", "schema", {"action": "set_max_length", "table": "lead", "column": "jobtitle", "max_length": 40}
    )
    report = client.create("lead", [good, long])
    states = {write.record_id: report.results[write.record_id].state for write in (good, long)}
    assert (states, report.stopped_by) == (
        {good.record_id: WriteState.DONE, long.record_id: WriteState.NOT_SENT},
        None,
    )
    assert client.metadata("lead").columns["jobtitle"].max_length == 40
    assert client.create("lead", [long]).results[long.record_id].state is WriteState.REFUSED


def test_a_guard_that_will_not_go_on_stops_the_write_and_nobody_is_refused(sandbox: SandboxProcess) -> None:
    def guard(metadata: TableMetadata) -> None:
        if metadata.logical_name == "lead" and 7 not in metadata.columns["leadsourcecode"].options:
            raise ConfigurationError([Fault("lead.csv", 2, "Option *Trade Show* is gone.", "")])

    rows = leads(3)
    rows[1].values["leadsourcecode"] = 7
    with DataverseClient(account(sandbox), budget=LocalBudget(), clock=SystemClock(), guard=guard) as client:
        client.metadata("lead")
        change = {"action": "drop_option", "table": "lead", "column": "leadsourcecode", "value": 7}
        sandbox.control("POST", "schema", change)
        report = client.create("lead", rows)
        assert isinstance(report.stopped_by, ConfigurationError)
        assert {result.state for result in report.results.values()} == {WriteState.DONE, WriteState.NOT_SENT}


def test_a_column_that_is_gone_is_explained_by_the_guard_wherever_it_is_named(sandbox: SandboxProcess) -> None:
    def guard(metadata: TableMetadata) -> None:
        if "jobtitle" not in metadata.columns:
            raise ConfigurationError([Fault("lead.csv", 2, "Column jobtitle is gone.", "")])

    with DataverseClient(account(sandbox), budget=LocalBudget(), clock=SystemClock(), guard=guard) as client:
        client.metadata("lead")
        sandbox.control("POST", "schema", {"action": "drop_column", "table": "lead", "column": "jobtitle"})
        query = CandidateQuery("lead", (("emailaddress1", ("a@x.test",)),), ("jobtitle",))
        for ask in (lambda: client.find([query]), lambda: client.read("lead", [uuid4()], ("jobtitle",))):
            with pytest.raises(ConfigurationError, match="jobtitle is gone"):
                ask()
        assert isinstance(client.create("lead", leads(2, jobtitle="CTO")).stopped_by, ConfigurationError)


def test_metadata_is_read_again_after_some_minutes(sandbox: SandboxProcess) -> None:
    clock = FakeClock()
    with DataverseClient(account(sandbox), budget=LocalBudget(clock=clock), clock=clock) as client:
        client.metadata("lead")
        sandbox.control("POST", "schema", {"action": "drop_column", "table": "lead", "column": "jobtitle"})
        assert "jobtitle" in client.metadata("lead").columns
        clock.sleep(301)
        assert "jobtitle" not in client.metadata("lead").columns


def test_what_one_client_has_learnt_another_of_the_account_need_not_ask(sandbox: SandboxProcess) -> None:
    clock, known, guarded = FakeClock(), Known(), []

    def client() -> DataverseClient:
        budget = LocalBudget(clock=clock)
        return DataverseClient(
            account(sandbox), budget=budget, clock=clock, known=known, guard=lambda lead: guarded.append(lead)
        )

    with client() as first, client() as second:
        assert (first.organization(), first.metadata("lead")) == (second.organization(), second.metadata("lead"))
        asked = first.requests
        assert second.requests == 0
        assert len(guarded) == 2, "each guard has seen the table"
        clock.sleep(301)
        second.organization()
        second.metadata("lead")
        first.metadata("lead")
        assert (first.requests, second.requests) == (asked, asked)
        assert len(guarded) == 4
    known.close()
