"""The Web API's transport on the wire: access, headers, limits, faults, journal, latency."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests

from sandbox.process import SandboxProcess
from tests.fixtures.sandbox import WebApiCaller

ID = "00000000-0000-4000-8000-00000000000a"


def application(sandbox: SandboxProcess, **standing: object) -> None:
    change = {"applications": {sandbox.ready["client_id"]: standing}}
    sandbox.control("PUT", "settings", change)


def fault(sandbox: SandboxProcess, **rule: object) -> None:
    sandbox.control("PUT", "faults", [rule])


def journal(sandbox: SandboxProcess, **query: object) -> list[dict[str, object]]:
    """Entries of the Web API only, in order of arrival."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    entries: list[dict[str, object]] = sandbox.control("GET", f"journal?{asked}")
    return [entry for entry in entries if entry["organization"]]


def test_without_a_token_an_empty_401_names_authority_and_resource(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    answer = crm.call("GET", "WhoAmI", headers={"Authorization": ""})
    assert (answer.status_code, answer.content) == (401, b"")
    authority = sandbox.ready["authority"]
    assert answer.headers["WWW-Authenticate"] == (
        f"Bearer authorization_uri={authority}/oauth2/authorize, resource_id={crm.url}/"
    )


@pytest.mark.parametrize(("user", "code"), [("removed", "0x80072560"), ("disabled", "0x80040225")])
def test_an_application_without_a_working_user_is_403(
    sandbox: SandboxProcess, crm: WebApiCaller, user: str, code: str
) -> None:
    application(sandbox, user=user)
    answer = crm.call("GET", "WhoAmI")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    application(sandbox, user="enabled")
    assert crm.call("GET", "WhoAmI").status_code == 200


def test_a_missing_privilege_is_named(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    application(sandbox, missing_privileges=["prvCreateLead"])
    answer = crm.call("POST", "leads", json={"lastname": "x"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "0x80040220"
    assert "prvCreateLead" in answer.json()["error"]["message"]


def test_every_application_user_is_somebody_else(sandbox: SandboxProcess) -> None:
    callers = [WebApiCaller(sandbox, client_id=client) for client in sandbox.ready["application_users"]]
    users = {caller.call("GET", "WhoAmI").json()["UserId"] for caller in callers}
    assert len(users) == 3


def test_headers_of_every_answer(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings", {"dop_hint": 48})
    with crm.session.get(f"{crm.url}/api/data/v9.2/WhoAmI", stream=True, timeout=30) as answer:
        raw = answer.raw.headers
        assert len(raw.getlist("x-ms-service-request-id")) == 2
        cookies = raw.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["ARRAffinity", "ReqClientId", "orgId"]
    assert raw["x-ms-dop-hint"] == "48"
    assert raw["x-ms-ratelimit-time-remaining-xrm-requests"] == "1,200.00"
    assert raw["x-ms-ratelimit-burst-remaining-xrm-requests"] == "5999"
    assert raw["OData-Version"] == "4.0"
    assert raw["REQ_ID"]


def test_headers_that_name_ids_can_be_missing_or_in_upper_case(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    path, body = "leads(00000000-0000-4000-8000-00000000abcd)", {"lastname": "Ruiz"}
    sandbox.control("PUT", "settings", {"id_headers": "upper"})
    answer = crm.call("PATCH", path, json=body)
    assert answer.headers["odata-entityid"].endswith("(00000000-0000-4000-8000-00000000ABCD)")
    assert "ODATA-ENTITYID" in list(answer.headers)
    sandbox.control("PUT", "settings", {"id_headers": "missing"})
    answer = crm.call("PATCH", path, json=body)
    assert answer.status_code == 204
    assert not {"odata-entityid", "location", "req_id", "x-ms-service-request-id"} & set(map(str.lower, answer.headers))


@pytest.mark.parametrize("version", ["v9.0", "v9.1", "v9.2"])
def test_versions(crm: WebApiCaller, version: str) -> None:
    assert crm.session.get(f"{crm.url}/api/data/{version}/WhoAmI", timeout=30).status_code == 200


def test_other_paths_are_no_service(crm: WebApiCaller) -> None:
    for path in ("/api/data/v8.2/WhoAmI", "/main.aspx", "/"):
        assert crm.session.get(f"{crm.url}{path}", timeout=30).status_code == 404


def test_answers_are_compressed_only_if_asked(crm: WebApiCaller) -> None:
    for number in range(30):
        crm.create(lastname=f"Compressible {number}")
    packed = crm.call("GET", "leads")
    plain = crm.call("GET", "leads", headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json()["value"] == plain.json()["value"]


def test_a_url_is_decoded_once(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    lead = crm.create(lastname="100%27 sure", emailaddress1="a+b@x.test")

    def found(raw_filter: str) -> list[str]:
        answer = crm.call("GET", f"leads?$select=lastname&$filter={raw_filter}")
        assert answer.status_code == 200, answer.text
        return [row["leadid"] for row in answer.json()["value"]]

    assert found("lastname%20eq%20%27100%2527%20sure%27") == [lead]
    assert found("emailaddress1+eq+'a%2Bb@x.test'") == [lead]
    assert found("emailaddress1+eq+'a+b@x.test'") == [], "an unescaped plus in a query is a blank"
    assert "lastname eq '100%27 sure'" in str(journal(sandbox, method="GET")[0]["path"])


def test_a_url_has_a_limit(crm: WebApiCaller) -> None:
    path = "leads?$top=1&$filter=lastname eq '"
    room = 32_768 - len("/api/data/v9.2/") - len(path.replace(" ", "%20")) - 1
    assert crm.call("GET", f"{path}{'x' * room}'").status_code == 200
    assert crm.call("GET", f"{path}{'x' * (room + 1)}'").status_code == 414


def test_requests_over_the_limit_get_429_with_growing_waits(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings", {"limits": {"requests": 2, "window_s": 300}})
    answers = [crm.call("GET", "WhoAmI") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    remaining = [answer.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] for answer in answers]
    assert remaining == ["1", "0", "0", "0"]
    assert answers[2].json()["error"] == {
        "code": "0x80072322",
        "message": "Number of requests exceeded the limit of 2 over time window of 300 seconds.",
    }
    assert int(answers[2].headers["Retry-After"]) >= 299
    other = WebApiCaller(sandbox, client_id=sandbox.ready["application_users"][1])
    assert other.call("GET", "WhoAmI").status_code == 200, "limits are a user's"


def test_execution_time_over_the_limit_gets_429(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings", {"limits": {"execution_s": 0.02}, "latency": {"per_request_s": 0.03}})
    first, second = crm.call("GET", "WhoAmI"), crm.call("GET", "WhoAmI")
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["error"]["code"] == "0x80072321"


def test_concurrent_requests_over_the_limit_get_429(sandbox: SandboxProcess) -> None:
    callers = [WebApiCaller(sandbox) for _ in range(3)]
    for caller in callers:
        caller.call("GET", "WhoAmI")  # connects, so that the three below start as one
    sandbox.control("PUT", "settings", {"limits": {"concurrency": 1}, "latency": {"per_request_s": 0.6}})
    together = threading.Barrier(3)

    def ask(caller: WebApiCaller) -> requests.Response:
        together.wait(timeout=30)
        return caller.call("GET", "WhoAmI")

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, callers))
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    assert {answer.json()["error"]["code"] for answer in answers if not answer.ok} == {"0x80072326"}


def test_servers_count_for_themselves_and_the_cookie_chooses(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings", {"servers": 2, "limits": {"requests": 3}})
    in_turn = [crm.call("GET", "WhoAmI") for _ in range(4)]
    assert [answer.status_code for answer in in_turn] == [200] * 4, "two each"
    chosen = {"ARRAffinity": in_turn[0].cookies["ARRAffinity"]}
    assert chosen["ARRAffinity"] == in_turn[2].cookies["ARRAffinity"] != in_turn[1].cookies["ARRAffinity"]
    kept = [crm.call("GET", "WhoAmI", cookies=chosen).status_code for _ in range(2)]
    assert kept == [200, 429]


def test_latency_is_waited_for_and_journalled(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings", {"latency": {"per_request_s": 0.05, "per_row_s": 0.01}})
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.lead", "lastname": f"L{number}"} for number in range(10)]
    assert crm.call("POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": targets}).ok
    (entry,) = journal(sandbox, method="POST")
    assert entry["rows"] == 10
    assert float(str(entry["latency_s"])) >= 0.15


@pytest.mark.parametrize(("effect", "stored"), [("drop_before_commit", False), ("drop_after_commit", True)])
def test_a_dropped_connection_gives_no_answer(
    sandbox: SandboxProcess, crm: WebApiCaller, effect: str, stored: bool
) -> None:
    fault(sandbox, match={"table": "lead", "operation": "Upsert"}, effect=effect)
    with pytest.raises(requests.ConnectionError):
        crm.call("PATCH", f"leads({ID})", json={"lastname": "x"})
    (entry,) = journal(sandbox, method="PATCH")
    assert (entry["status"], entry["committed"], entry["fault"]) == (0, stored, effect)
    assert [row["leadid"] for row in sandbox.control("GET", "rows?table=lead")] == ([ID] if stored else [])


def test_a_person_may_edit_just_before_a_request(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    record = crm.create(lastname="A")
    tag = crm.call("GET", f"leads({record})").json()["@odata.etag"]
    fault(sandbox, match={"method": "PATCH"}, effect="edit", edit={"action": "deactivate"})
    answer = crm.call("PATCH", f"leads({record})", json={"lastname": "B"}, headers={"If-Match": tag})
    assert answer.status_code == 412
    (row,) = sandbox.control("GET", "rows?table=lead")
    assert (row["lastname"], row["statecode"]) == ("A", 2)
    assert [entry["fault"] for entry in journal(sandbox, method="PATCH")] == ["edit"]


def test_an_administrator_may_change_the_schema_just_before_a_request(
    sandbox: SandboxProcess, crm: WebApiCaller
) -> None:
    change = {"action": "drop_column", "table": "lead", "column": "fax"}
    fault(sandbox, match={"method": "POST", "nth": 2}, effect="schema", schema_change=change)
    crm.create(lastname="A", fax="1")
    refused = crm.call("POST", "leads", json={"lastname": "B", "fax": "1"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "0x80048d19")


@pytest.mark.parametrize("committed", [False, True])
def test_a_gateway_error_may_hide_a_commit(sandbox: SandboxProcess, crm: WebApiCaller, committed: bool) -> None:
    fault(sandbox, match={"method": "POST"}, effect="status", status=502, committed=committed, times=1)
    answer = crm.call("POST", "leads", json={"lastname": "x"})
    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith("text/html")
    assert len(sandbox.control("GET", "rows?table=lead")) == committed
    assert sandbox.control("GET", "faults")[0]["remaining"] == 0


def test_a_fault_says_what_it_is_told(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    rule = {"status": 429, "code": "0x80072326", "message": "Number of concurrent requests exceeded the limit of 52."}
    fault(sandbox, effect="status", retry_after=30, **rule)
    answer = crm.call("GET", "WhoAmI")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert answer.json()["error"] == {"code": rule["code"], "message": rule["message"]}


def test_a_pause_may_be_told_as_a_date(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    fault(sandbox, effect="status", status=429, retry_after=30, retry_after_as="date")
    told = parsedate_to_datetime(crm.call("GET", "WhoAmI").headers["Retry-After"])
    assert 25 < (told - datetime.now(UTC)).total_seconds() <= 30
    with pytest.raises(requests.HTTPError, match="whole seconds"):
        fault(sandbox, effect="status", status=429, retry_after="soon", retry_after_as="date")


def test_a_hanging_request_ends_with_the_clients_patience(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    fault(sandbox, effect="hang", times=1)
    with pytest.raises(requests.Timeout):
        crm.call("GET", "WhoAmI", timeout=0.3)
    assert crm.call("GET", "WhoAmI").status_code == 200


def test_faults_match_a_table_and_an_organisation(sandbox: SandboxProcess) -> None:
    first, second = WebApiCaller(sandbox, 0), WebApiCaller(sandbox, 1)
    fault(sandbox, match={"organization": 1, "table": "contact"}, effect="status", status=503)
    assert first.call("GET", "contacts").status_code == 200
    assert second.call("GET", "leads").status_code == 200
    assert second.call("GET", "contacts").status_code == 503


def test_a_fault_at_the_capture_api_is_worded_as_its_own(sandbox: SandboxProcess) -> None:
    fault(sandbox, match={"path": "^/v1/prospects"}, effect="status", status=429, retry_after=3)
    url, key = f"{sandbox.ready['capture_url']}/v1/prospects", sandbox.ready["capture_key"]
    answer = requests.get(url, headers={"X-Api-Key": key}, verify=sandbox.ca_bundle, timeout=30)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 429


def test_the_journal_tells_what_happened(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    lead = crm.create(lastname="Ruiz")
    crm.call("PATCH", f"leads({lead})", json={"jobtitle": "x"}, headers={"If-Match": "*"})
    crm.call("PATCH", f"leads({lead})", json={"leadsourcecode": 999})
    entries = journal(sandbox, table="lead")
    facts = [(e["method"], e["operation"], e["status"], e["code"], e["committed"], e["rows"]) for e in entries]
    assert facts == [
        ("POST", "Create", 204, None, True, 1),
        ("PATCH", "Update", 204, None, True, 1),
        ("PATCH", "Upsert", 400, "0x8004431a", False, 0),
    ]
    assert entries[0]["ids"] == [lead]
    assert {entry["caller"] for entry in entries} == {sandbox.ready["client_id"]}
    assert len({entry["body_sha256"] for entry in entries}) == 3
    assert sandbox.control("GET", "events?table=lead") == {lead: {"create": 1, "update": 1, "delete": 0}}
    assert journal(sandbox, table="lead", after=entries[1]["seq"]) == entries[2:]
    assert "Ruiz" not in str(entries), "no body is kept"
    sandbox.control("DELETE", "journal")
    assert sandbox.control("GET", "journal") == []


def test_a_sandbox_in_a_hurry_keeps_its_clock_apart(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings?organization=0", {"clock_offset_s": 86_400 * 400})
    lead = crm.create(lastname="Future")
    assert crm.call("GET", f"leads({lead})?$select=createdon").json()["createdon"] > "2027-06"
    other = WebApiCaller(sandbox, 1)
    assert int(other.call("GET", "WhoAmI").headers["Date"].split()[3]) < int(
        crm.call("GET", "WhoAmI").headers["Date"].split()[3]
    )


def test_ids_of_the_organisations_differ(sandbox: SandboxProcess) -> None:
    organizations = [WebApiCaller(sandbox, index).call("GET", "WhoAmI").json()["OrganizationId"] for index in (0, 1)]
    assert organizations == [one["organization_id"] for one in sandbox.ready["organizations"]]
