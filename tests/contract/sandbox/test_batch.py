"""`$batch` on the wire: order, atomicity, references, strictness."""

from __future__ import annotations

import re

import pytest
import requests

from sandbox.process import SandboxProcess
from tests.fixtures.sandbox import SERVICE, WebApiCaller

MISSING = "00000000-0000-4000-8000-000000000001"
HEAD = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"


def part(request: str, body: str = "", *, content_id: int | None = None, headers: str = "") -> str:
    named = f"Content-ID: {content_id}\r\n" if content_id is not None else ""
    return f"{HEAD}{named}\r\n{request} HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n{body}\r\n"


def change_set(*parts: str) -> str:
    inner = "".join(f"--cs\r\n{one}" for one in parts)
    return f"Content-Type: multipart/mixed; boundary=cs\r\n\r\n{inner}--cs--\r\n"


def post(crm: WebApiCaller, *items: str, prefer: str | None = None) -> requests.Response:
    body = "".join(f"--b\r\n{item}" for item in items) + "--b--\r\n"
    headers = {"Content-Type": 'multipart/mixed; boundary="b"'} | ({"Prefer": prefer} if prefer else {})
    return crm.call("POST", "$batch", data=body.encode(), headers=headers)


def statuses(response: requests.Response) -> list[int]:
    return [int(found) for found in re.findall(r"HTTP/1\.1 (\d{3})", response.text)]


def create(name: str, content_id: int | None = None, table_set: str = "leads") -> str:
    return part(f"POST {SERVICE}{table_set}", f'{{"lastname":"{name}"}}', content_id=content_id)


def delete_missing(content_id: int | None = None) -> str:
    return part(f"DELETE {SERVICE}leads({MISSING})", content_id=content_id)


def names(sandbox: SandboxProcess, table: str = "lead") -> list[object]:
    return sorted(row["lastname"] for row in sandbox.control("GET", f"rows?table={table}"))


def test_parts_run_in_order_and_answer_in_order(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    answer = post(crm, create("A"), create("B"), part(f"GET {SERVICE}leads?$select=lastname&$orderby=lastname"))
    assert answer.status_code == 200
    assert re.fullmatch(r"multipart/mixed; boundary=batchresponse_[0-9a-f-]{36}", answer.headers["Content-Type"])
    assert statuses(answer) == [204, 204, 200]
    assert answer.text.index('"A"') < answer.text.index('"B"')
    assert "Content-ID" not in answer.text
    outer, *parts = sandbox.control("GET", "journal?organization=0")
    assert (outer["operation"], outer["rows"], outer["committed"]) == ("Batch", 4, True)
    assert [(one["operation"], one["parent"]) for one in parts] == [
        ("Create", outer["seq"]),
        ("Create", outer["seq"]),
        ("RetrieveMultiple", outer["seq"]),
    ]


def test_an_error_stops_the_batch_and_is_its_status(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    answer = post(crm, create("A"), delete_missing(), create("B"))
    assert (answer.status_code, statuses(answer)) == (404, [204, 404])
    assert '"code":"0x80040217"' in answer.text
    assert names(sandbox) == ["A"]


def test_continue_on_error_runs_all(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    answer = post(crm, create("A"), delete_missing(), create("B"), prefer="odata.continue-on-error")
    assert (answer.status_code, statuses(answer)) == (200, [204, 404, 204])
    assert names(sandbox) == ["A", "B"]


def test_a_change_set_is_all_or_nothing(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    changes = change_set(create("A", 1), create("B", 2), delete_missing(3))
    answer = post(crm, changes, create("C"), prefer="odata.continue-on-error")
    assert (answer.status_code, statuses(answer)) == (200, [404, 204])
    assert names(sandbox) == ["C"]
    entries = [entry for entry in sandbox.control("GET", "journal?table=lead") if entry["operation"] == "Create"]
    assert [entry["committed"] for entry in entries] == [False, False, True]
    assert len(sandbox.control("GET", "events?table=lead")) == 1


def test_references_point_at_earlier_changes(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    bind = '{"lastname":"Child","parentcontactid@odata.bind":"/$1"}'
    answer = post(
        crm,
        change_set(
            create("Parent", 1, "contacts"),
            part(f"POST {SERVICE}leads", bind, content_id=2),
            part("PATCH $1", '{"jobtitle":"Buyer"}', content_id=3),
            part("PUT $1/department", '{"value":"East"}', content_id=4),
        ),
    )
    assert (answer.status_code, statuses(answer)) == (200, [204] * 4), answer.text
    assert re.findall(r"Content-ID: (\d)", answer.text) == ["1", "2", "3", "4"]
    (contact,) = sandbox.control("GET", "rows?table=contact")
    (lead,) = sandbox.control("GET", "rows?table=lead")
    assert (contact["jobtitle"], contact["department"]) == ("Buyer", "East")
    found = crm.call("GET", f"leads({lead['leadid']})?$select=_parentcontactid_value").json()
    assert found["_parentcontactid_value"] == contact["contactid"]


def test_a_reference_to_a_record_answered_in_full(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    full = part(f"POST {SERVICE}leads", '{"lastname":"A"}', content_id=1, headers="Prefer: return=representation\r\n")
    answer = post(crm, change_set(full, part("PATCH $1", '{"lastname":"B"}', content_id=2)))
    assert statuses(answer) == [201, 204], answer.text
    assert names(sandbox) == ["B"]


def test_an_unknown_reference_is_refused(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    answer = post(crm, change_set(create("A", 1), part("PATCH $7", "{}", content_id=2)))
    assert (answer.status_code, statuses(answer)) == (400, [400])
    assert "Content-ID Reference: '$7' does not exist in the batch context." in answer.text
    assert names(sandbox) == []


def test_text_that_looks_like_a_reference_is_left_alone(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    body = '{"lastname":"$1","description":"/$1"}'
    assert post(crm, change_set(part(f"POST {SERVICE}leads", body, content_id=1))).status_code == 200
    assert names(sandbox) == ["$1"]


def test_headers_of_a_part_are_its_own(crm: WebApiCaller) -> None:
    lead = crm.create(lastname="A")
    target = f"PATCH {SERVICE}leads({lead})"
    answer = post(
        crm,
        part(target, '{"jobtitle":"x"}', headers='If-Match: W/"1"\r\n'),
        part(target, '{"jobtitle":"y"}', headers="Prefer: return=representation\r\n"),
        prefer="odata.continue-on-error",
    )
    assert statuses(answer) == [412, 200]


@pytest.mark.parametrize("root", ["{url}/api/data/v9.2/", "/api/data/v9.2/", ""])
def test_a_part_may_name_its_target_in_three_ways(crm: WebApiCaller, root: str) -> None:
    answer = post(crm, part(f"GET {root.format(url=crm.url)}WhoAmI"))
    assert statuses(answer) == [200]


@pytest.mark.parametrize(
    ("target", "status"),
    [("https://elsewhere.test/api/data/v9.2/leads", 400), (f"{SERVICE}$batch", 400), ("/other/leads", 404)],
)
def test_a_part_cannot_leave_the_service(crm: WebApiCaller, target: str, status: int) -> None:
    assert statuses(post(crm, part(f"POST {target}"))) == [status]


def test_urls_of_parts_may_be_longer(crm: WebApiCaller) -> None:
    start = f"GET {SERVICE}leads?$top=1&$filter=lastname%20eq%20'"
    room = 65_536 - len(start) + len("GET ") - 1
    assert statuses(post(crm, part(f"{start}{'x' * room}'"))) == [200]
    assert statuses(post(crm, part(f"{start}{'x' * (room + 1)}'"))) == [414]


def test_a_malformed_batch_runs_nothing_and_is_plain_json(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    answer = post(crm, create("A"), change_set(create("B")))
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["error"]["code"] == "0x80060888"
    assert names(sandbox) == []


def test_a_fault_may_meet_one_part(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    match = {"inner": True, "operation": "Create", "nth": 2}
    rule = {"match": match, "effect": "status", "status": 429, "code": "0x80072322"}
    sandbox.control("PUT", "faults", [rule])
    answer = post(crm, create("A"), create("B"), create("C"), prefer="odata.continue-on-error")
    assert statuses(answer) == [204, 429, 204]
    assert names(sandbox) == ["A", "C"]


@pytest.mark.parametrize("committed", [False, True])
def test_a_fault_of_one_part_may_hide_a_commit(sandbox: SandboxProcess, crm: WebApiCaller, committed: bool) -> None:
    rule = {"match": {"inner": True, "nth": 1}, "effect": "status", "status": 503, "committed": committed}
    sandbox.control("PUT", "faults", [rule])
    answer = post(crm, create("A"), create("B"), prefer="odata.continue-on-error")
    assert statuses(answer) == [503, 204]
    assert names(sandbox) == (["A", "B"] if committed else ["B"])
    assert len(sandbox.control("GET", "events?table=lead")) == 1 + committed


def test_a_commit_hidden_in_a_change_set_is_undone(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    rule = {"match": {"inner": True, "nth": 2}, "effect": "status", "status": 503, "committed": True}
    sandbox.control("PUT", "faults", [rule])
    assert statuses(post(crm, change_set(create("A", 1), create("B", 2)))) == [503]
    assert names(sandbox) == []
    assert sandbox.control("GET", "events?table=lead") == {}


@pytest.mark.parametrize(("effect", "kept"), [("drop_before_commit", ["A"]), ("drop_after_commit", ["A", "B"])])
def test_the_connection_may_break_at_one_part(
    sandbox: SandboxProcess, crm: WebApiCaller, effect: str, kept: list[str]
) -> None:
    sandbox.control("PUT", "faults", [{"match": {"inner": True, "nth": 2}, "effect": effect}])
    with pytest.raises(requests.ConnectionError):
        post(crm, create("A"), create("B"), create("C"))
    assert names(sandbox) == kept
    outer, *parts = sandbox.control("GET", "journal?organization=0")
    assert (outer["status"], outer["committed"], len(parts)) == (0, True, 2)
    assert len(sandbox.control("GET", "events?table=lead")) == len(kept)


def test_a_person_may_edit_just_before_a_part(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    record = crm.create(lastname="A", jobtitle="CTO")
    tag = crm.call("GET", f"leads({record})").json()["@odata.etag"]
    edit = {"match": {"inner": True, "method": "PATCH"}, "effect": "edit", "edit": {"values": {"jobtitle": "CEO"}}}
    sandbox.control("PUT", "faults", [{**edit, "times": 1}])
    patch = part(f"PATCH {SERVICE}leads({record})", '{"fax":"1"}', headers=f"If-Match: {tag}\r\n")
    assert statuses(post(crm, patch)) == [412]
    (row,) = sandbox.control("GET", "rows?table=lead")
    assert (row["jobtitle"], row.get("fax")) == ("CEO", None)
    assert sandbox.control("GET", "events?table=lead")[record]["update"] == 0  # a person's edit is no request


def test_a_thousand_operations_are_one_request(sandbox: SandboxProcess, crm: WebApiCaller) -> None:
    sandbox.control("PUT", "settings", {"limits": {"requests": 1}})
    answer = post(crm, *[create(f"N{number}") for number in range(1000)])
    assert (answer.status_code, len(statuses(answer))) == (200, 1000)
    assert len(names(sandbox)) == 1000
