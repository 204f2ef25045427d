"""Bulk writes against recorded exchanges: every row has its own fate, and no row is written twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
import requests
import responses

from dynamics.core.crm import RecordWrite, WriteReport, WriteState
from dynamics.dataverse.breaker import Breakers
from dynamics.dataverse.bulk import BulkWriter
from dynamics.errors import AccountError, ContractError, RateLimitedError, ServiceUnavailableError
from tests.contract.dataverse.support import (
    API,
    BATCH,
    CAMPAIGN,
    LEAD,
    ORG,
    Part,
    batch_answer,
    error,
    on_batch,
    parts_of,
    record_id,
    sent,
    sign_in,
    transport,
)
from tests.fakes.clock import FakeClock

MULTIPLE = f"{API}/leads/Microsoft.Dynamics.CRM.CreateMultiple"
TOO_LONG = "The length of the 'subject' attribute of the 'lead' entity exceeded the maximum allowed length of '300'."
DEADLOCK = error("0x80044150", "Sql Number: 1205")
Fates = Mapping[UUID, Part]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def writer(web: responses.RequestsMock, clock: FakeClock) -> Iterator[BulkWriter]:
    sign_in(web)
    with ThreadPoolExecutor(4) as executor:
        tables = {"campaign": CAMPAIGN}.__getitem__
        yield BulkWriter(transport(clock), clock, executor, tables, Breakers(ORG), create_rows=100, update_rows=50)


def rows(count: int, etag: str | None = None) -> list[RecordWrite]:
    return [RecordWrite(record_id(n), {"subject": f"s{n}"}, etag) for n in range(count)]


def states(report: WriteReport) -> dict[UUID, WriteState]:
    return {record_id: result.state for record_id, result in report.results.items()}


def ids_of(request: requests.PreparedRequest) -> list[str]:
    body = request.body
    assert isinstance(body, bytes)
    return [target["leadid"] for target in orjson.loads(body)["Targets"]]


def multiple(poison: Mapping[UUID, tuple[int, object]]) -> Callable[[requests.PreparedRequest], Any]:
    """CreateMultiple that refuses a message with the first poisoned row in it."""

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        ids = ids_of(request)
        for row, (status, body) in poison.items():
            if str(row) in ids:
                return status, {}, orjson.dumps(body)
        return 200, {"x-ms-service-request-id": "r-1"}, orjson.dumps({"Ids": [one.upper() for one in ids]})

    return answer


def each(fates: Fates, default: Part = (204, {}, None)) -> Callable[[requests.PreparedRequest], Any]:
    """A batch that answers every row by its fate."""

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        ids = [UUID(line.partition("(")[2][:36]) for line, _, _ in parts_of(request)]
        return batch_answer(*(fates.get(one, default) for one in ids))

    return answer


# ---------------------------------------------------------------- creating


def test_rows_are_created_under_our_ids_in_messages(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.add_callback(responses.POST, MULTIPLE, callback=multiple({}))
    report = writer.create(LEAD, list(reversed(rows(250))))
    assert set(states(report).values()) == {WriteState.DONE}
    assert report.results[record_id(7)].request_id == "r-1"
    messages = sorted(ids_of(request) for request in sent(web, MULTIPLE))
    assert [len(message) for message in messages] == [100, 100, 50]
    assert [one for message in messages for one in message] == [str(record_id(n)) for n in range(250)]
    first = orjson.loads(sent(web, MULTIPLE)[0].body)["Targets"][0]
    assert first["@odata.type"] == "Microsoft.Dynamics.CRM.lead"


def test_seven_bad_rows_of_a_thousand_cost_few_requests_and_no_good_row(
    web: responses.RequestsMock, writer: BulkWriter
) -> None:
    bad = {record_id(n): (400, error("0x80044331", TOO_LONG)) for n in (0, 99, 100, 450, 451, 730, 999)}
    fates: Fates = {row: (status, {}, body) for row, (status, body) in bad.items()}
    web.add_callback(responses.POST, MULTIPLE, callback=multiple(bad))
    on_batch(web, each(fates))
    report = writer.create(LEAD, rows(1000))
    assert {row for row, state in states(report).items() if state is WriteState.REFUSED} == set(bad)
    assert list(states(report).values()).count(WriteState.DONE) == 993
    refused = report.results[record_id(450)]
    assert (refused.code, refused.column) == ("0x80044331", "subject")
    assert refused.message == "the text is longer than the column allows (300 characters)"
    assert len(sent(web, MULTIPLE)) + len(sent(web, BATCH)) <= 60
    written = [one for request in sent(web, BATCH) for one in parts_of(request)]
    assert {headers["If-None-Match"] for _, headers, _ in written} == {"*"}


def test_a_taken_id_is_found_among_good_rows(web: responses.RequestsMock, writer: BulkWriter) -> None:
    taken = error("0x80040237", "A record with matching key values already exists.")
    web.add_callback(responses.POST, MULTIPLE, callback=multiple({record_id(3): (412, taken)}))
    on_batch(web, each({record_id(3): (412, {}, taken)}))
    report = writer.create(LEAD, rows(20))
    assert states(report).pop(record_id(3)) is WriteState.EXISTS
    assert list(states(report).values()).count(WriteState.DONE) == 19


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        ((412, {}, error("0x80040237")), WriteState.EXISTS),
        ((412, {}, error("")), WriteState.EXISTS),
        ((412, {}, error("0x80060892")), WriteState.REFUSED),
        ((412, {}, error("0x80040333")), WriteState.REFUSED),
        ((400, {}, error("0x80040265", "no")), WriteState.REFUSED),
        ((404, {}, error("0x80040217", f"account With Id = {record_id(99)} Does Not Exist")), WriteState.REFUSED),
        ((400, {}, error("0x80049999")), WriteState.UNCLASSIFIED),
        ((500, {}, error("0x80040224")), WriteState.UNCLASSIFIED),
        ((500, {}, error("0x80040216", "An unexpected error occurred.")), WriteState.UNKNOWN),
        ((500, {}, None), WriteState.UNKNOWN),
        ((503, {}, None), WriteState.UNKNOWN),
        ((204, {"OData-EntityId": f"{API}/leads({str(record_id(0)).upper()})"}, None), WriteState.DONE),
        ((204, {"OData-EntityId": f"{API}/leads({record_id(99)})"}, None), WriteState.UNKNOWN),
    ],
)
def test_a_row_of_its_own_has_the_fate_its_answer_says(
    web: responses.RequestsMock, writer: BulkWriter, fate: Part, state: WriteState
) -> None:
    on_batch(web, each({record_id(0): fate}))
    report = writer.create(replace(LEAD, bulk_create=False), rows(2))
    assert states(report) == {record_id(0): state, record_id(1): WriteState.DONE}


NOT_THERE = error("0x80040217", f"campaign With Id = {record_id(99)} Does Not Exist")


@pytest.mark.parametrize("operation", ["create", "update"])
def test_references_are_bound_by_the_navigation_property_of_their_target(
    web: responses.RequestsMock, writer: BulkWriter, operation: str
) -> None:
    on_batch(web, each({}))
    values = {"subject": "s", "campaignid": f"campaign({record_id(9)})", "customerid": None}
    write = RecordWrite(record_id(0), values, 'W/"5"', isolated=True)
    report = writer.create(LEAD, [write]) if operation == "create" else writer.update(LEAD, [write])
    assert states(report) == {record_id(0): WriteState.DONE}
    ((_, _, body),) = parts_of(sent(web, BATCH)[0])
    assert orjson.loads(body) == {
        "subject": "s",
        "campaignid@odata.bind": f"/campaigns({record_id(9)})",
        "customerid_account@odata.bind": None,
    }


def test_references_are_bound_in_bulk_messages_too(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.add_callback(responses.POST, MULTIPLE, callback=multiple({}))
    writer.create(LEAD, [RecordWrite(record_id(0), {"campaignid": f"campaign({record_id(9)})"})])
    (target,) = orjson.loads(sent(web, MULTIPLE)[0].body)["Targets"]
    assert target["campaignid@odata.bind"] == f"/campaigns({record_id(9)})"
    assert "campaignid" not in target


@pytest.mark.parametrize("fate", [(404, {}, NOT_THERE), (404, {}, error("0x80060891")), (400, {}, error("0x8004022b"))])
@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_reference_to_what_is_gone_is_told_apart_from_a_value_that_is_refused(
    web: responses.RequestsMock, writer: BulkWriter, operation: str, fate: Part
) -> None:
    on_batch(web, each({record_id(0): fate, record_id(1): fate}))
    pointing = RecordWrite(record_id(0), {"campaignid": f"campaign({record_id(99)})"}, 'W/"5"', isolated=True)
    plain = RecordWrite(record_id(1), {"subject": "s"}, 'W/"5"', isolated=True)
    send = writer.create if operation == "create" else writer.update
    assert states(send(LEAD, [pointing, plain])) == {
        record_id(0): WriteState.TARGET_GONE,
        record_id(1): WriteState.REFUSED,
    }


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (405, error("0x80060888", "Unsupported")),
        (400, error("0x80049999", "The CreateMultiple message is not enabled on the entity lead")),
        (404, error("0x80060888", "Resource not found for the segment 'Microsoft.Dynamics.CRM.CreateMultiple'.")),
    ],
)
def test_a_table_without_bulk_messages_is_written_row_by_row(
    web: responses.RequestsMock, writer: BulkWriter, status: int, body: object
) -> None:
    web.post(MULTIPLE, status=status, json=body)
    on_batch(web, each({}))
    report = writer.create(LEAD, rows(30))
    assert set(states(report).values()) == {WriteState.DONE}
    assert len(sent(web, MULTIPLE)) == len(sent(web, BATCH)) == 1


@pytest.mark.parametrize("body", [error("0x80040216", "An unexpected error occurred."), {}])
def test_a_row_that_upsets_the_service_takes_no_other_row_with_it_once_all_are_isolated(
    web: responses.RequestsMock, writer: BulkWriter, clock: FakeClock, body: object
) -> None:
    poison = record_id(3)
    web.add_callback(responses.POST, MULTIPLE, callback=multiple({poison: (500, body)}))
    on_batch(web, each({poison: (500, {}, body)}))
    assert set(states(writer.create(LEAD, rows(60))).values()) == {WriteState.UNKNOWN}
    clock.sleep(1)  # what such an answer without words costs everyone, before
    started = clock.monotonic()
    isolated = [replace(row, isolated=True) for row in rows(60)]
    report = writer.create(LEAD, [*isolated, *rows(90)[60:]])
    assert [row for row, state in states(report).items() if state is not WriteState.DONE] == [poison]
    assert report.results[poison].state is WriteState.UNKNOWN
    assert report.stopped_by is None
    assert [len(ids_of(request)) for request in sent(web, MULTIPLE)] == [60, 30]
    assert sorted(len(parts_of(request)) for request in sent(web, BATCH)) == [12, 16, 16, 16]
    assert clock.monotonic() == started  # nobody was made to wait


def test_ids_that_do_not_come_back_leave_their_rows_unknown(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(MULTIPLE, json={"Ids": [str(record_id(0)), str(record_id(77))]})
    report = writer.create(LEAD, rows(2))
    assert states(report) == {record_id(0): WriteState.DONE, record_id(1): WriteState.UNKNOWN}


def test_a_deadlock_is_sent_again_after_a_while(
    web: responses.RequestsMock, writer: BulkWriter, clock: FakeClock
) -> None:
    web.post(MULTIPLE, status=500, json=DEADLOCK)
    web.post(MULTIPLE, status=500, json=error("0x80044339"))
    web.post(MULTIPLE, json={"Ids": [str(record_id(n)) for n in range(5)]})
    started = clock.monotonic()
    assert set(states(writer.create(LEAD, rows(5))).values()) == {WriteState.DONE}
    assert clock.monotonic() > started
    assert len(sent(web, MULTIPLE)) == 3


def test_a_deadlock_without_end_rejects_nobody(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(MULTIPLE, status=500, json=DEADLOCK)
    report = writer.create(LEAD, rows(5))
    assert set(states(report).values()) == {WriteState.NOT_SENT}
    assert isinstance(report.stopped_by, ServiceUnavailableError)
    assert len(sent(web, MULTIPLE)) == 7


def test_only_rows_the_database_undid_are_sent_again(web: responses.RequestsMock, writer: BulkWriter) -> None:
    tries: list[int] = []

    def answer(request: requests.PreparedRequest) -> Any:
        tries.append(len(parts_of(request)))
        first = len(tries) == 1
        return each({record_id(2): (500, {}, DEADLOCK)} if first else {})(request)

    on_batch(web, answer)
    report = writer.create(replace(LEAD, bulk_create=False), rows(4))
    assert tries == [4, 1]
    assert set(states(report).values()) == {WriteState.DONE}


@pytest.mark.parametrize("answer", [{"status": 502}, {"body": requests.exceptions.ReadTimeout()}])
def test_a_lost_answer_leaves_its_message_unknown_and_the_others_done(
    web: responses.RequestsMock, writer: BulkWriter, answer: dict[str, Any]
) -> None:
    def lose_first(request: requests.PreparedRequest) -> Any:
        if str(record_id(0)) not in ids_of(request):
            return multiple({})(request)
        if "body" in answer:
            raise answer["body"]
        return answer["status"], {}, b""

    web.add_callback(responses.POST, MULTIPLE, callback=lose_first)
    report = writer.create(LEAD, rows(300))
    assert {row for row, state in states(report).items() if state is WriteState.UNKNOWN} == {
        record_id(n) for n in range(100)
    }
    assert list(states(report).values()).count(WriteState.DONE) == 200
    assert report.stopped_by is None
    assert len(sent(web, MULTIPLE)) == 3


def test_an_account_fault_stops_the_rest(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(MULTIPLE, status=403, json=error("0x80040220", "missing prvCreateLead privilege"))
    report = writer.create(LEAD, rows(1500))
    assert set(states(report).values()) == {WriteState.NOT_SENT}
    assert isinstance(report.stopped_by, AccountError)
    assert len(sent(web, MULTIPLE)) <= 4  # those already on their way


def test_an_unknown_column_is_the_mappings_fault_and_no_rows(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(MULTIPLE, status=400, json=error("0x80048d19", "An undeclared property 'new_gone' which only has"))
    report = writer.create(LEAD, rows(50))
    assert set(states(report).values()) == {WriteState.NOT_SENT}
    assert "new_gone" in str(report.stopped_by)
    assert len(sent(web, MULTIPLE)) == 1


def test_a_long_pause_leaves_rows_unsent_and_says_how_long(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(MULTIPLE, status=429, headers={"Retry-After": "900"}, json=error("0x80072321"))
    report = writer.create(LEAD, rows(10))
    assert isinstance(report.stopped_by, RateLimitedError)
    assert {result.retry_after_s for result in report.results.values()} == {300.0}
    assert set(states(report).values()) == {WriteState.NOT_SENT}


def test_a_fault_in_the_middle_keeps_what_is_known(web: responses.RequestsMock, writer: BulkWriter) -> None:
    """Rows written before an account fault are reported as written: else they would be written again."""

    def answer(request: requests.PreparedRequest) -> Any:
        ids = ids_of(request)
        if len(ids) > 20:
            return 400, {}, orjson.dumps(error("0x80044331", TOO_LONG))
        if str(record_id(0)) in ids:
            return multiple({})(request)
        return 403, {}, orjson.dumps(error("0x80040225"))

    web.add_callback(responses.POST, MULTIPLE, callback=answer)
    report = writer.create(LEAD, rows(40))
    assert [report.results[record_id(n)].state for n in (0, 19, 20, 39)] == [
        WriteState.DONE,
        WriteState.DONE,
        WriteState.NOT_SENT,
        WriteState.NOT_SENT,
    ]


# ---------------------------------------------------------------- a rule that refuses everything

RULE = (400, {}, error("0x80040265", "Every lead needs a region."))


def refused_by_a_rule(web: responses.RequestsMock, share: Callable[[UUID], bool]) -> None:
    def all_or_nothing(request: requests.PreparedRequest) -> Any:
        bad = [one for one in ids_of(request) if share(UUID(one))]
        return multiple({UUID(one): (400, RULE[2]) for one in bad[:1]})(request)

    def one_by_one(request: requests.PreparedRequest) -> Any:
        ids = [UUID(line.partition("(")[2][:36]) for line, _, _ in parts_of(request)]
        return batch_answer(*(RULE if share(one) else (204, {}, None) for one in ids))

    web.add_callback(responses.POST, MULTIPLE, callback=all_or_nothing)
    on_batch(web, one_by_one)


@pytest.mark.parametrize("operation", ["create", "update", "create one by one"])
def test_a_rule_that_refuses_every_row_stops_the_write_within_fifty(
    web: responses.RequestsMock, writer: BulkWriter, operation: str
) -> None:
    refused_by_a_rule(web, lambda _: True)
    table = LEAD if operation == "create" else replace(LEAD, bulk_create=False)
    write = writer.update if operation == "update" else writer.create
    with ThreadPoolExecutor(4) as lanes:  # several of one client at once, as a worker has
        reports = list(lanes.map(lambda n: write(table, rows(2000, 'W/"5"')[n * 500 : n * 500 + 500]), range(4)))
    asked = sum(len(parts_of(request)) for request in sent(web, BATCH))
    # Updates are operations of their own anyway: those on the way when the first ones are judged count too.
    assert 20 <= asked <= (50 if operation != "update" else 8 * 50)
    for report in reports:
        assert set(states(report).values()) <= {WriteState.REFUSED, WriteState.NOT_SENT}
        assert isinstance(report.stopped_by, AccountError)
        assert "a plug-in of the organisation refused the record" in str(report.stopped_by)
        assert ORG in str(report.stopped_by)


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_rule_that_refuses_one_row_in_ten_refuses_these_alone(
    web: responses.RequestsMock, writer: BulkWriter, operation: str
) -> None:
    refused_by_a_rule(web, lambda one: one.int % 10 == 0)
    report = getattr(writer, operation)(LEAD, rows(1000, 'W/"5"'))
    assert report.stopped_by is None
    assert list(states(report).values()).count(WriteState.REFUSED) == 100
    assert list(states(report).values()).count(WriteState.DONE) == 900


def test_texts_that_are_too_long_row_after_row_are_the_rows_own(
    web: responses.RequestsMock, writer: BulkWriter
) -> None:
    on_batch(web, each({}, (400, {}, error("0x80044331", TOO_LONG))))
    report = writer.update(LEAD, rows(200, 'W/"5"'))
    assert report.stopped_by is None
    assert set(states(report).values()) == {WriteState.REFUSED}


def test_one_record_twice_is_a_mistake_of_the_caller(writer: BulkWriter) -> None:
    with pytest.raises(ValueError, match="twice"):
        writer.create(LEAD, [*rows(2), *rows(1)])


# ---------------------------------------------------------------- updating


def test_updates_go_out_on_the_version_they_were_decided_on(web: responses.RequestsMock, writer: BulkWriter) -> None:
    on_batch(web, each({}))
    report = writer.update(LEAD, rows(120, 'W/"5"'))
    assert set(states(report).values()) == {WriteState.DONE}
    batches = [parts_of(request) for request in sent(web, BATCH)]
    assert sorted(len(parts) for parts in batches) == [20, 50, 50]
    line, headers, body = min(batches)[0]
    assert line == f"PATCH /api/data/v9.2/leads({record_id(0)}) HTTP/1.1"
    assert headers["If-Match"] == 'W/"5"'
    assert body == b'{"subject":"s0"}'
    assert sent(web, BATCH)[0].headers["Prefer"] == "odata.continue-on-error"


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        ((412, {}, error("0x80060882")), WriteState.STALE),
        ((412, {}, error("")), WriteState.STALE),
        ((404, {}, error("0x80040217", f"lead With Id = {str(record_id(0)).upper()} Does Not Exist")), WriteState.GONE),
        ((404, {}, error("0x80040217")), WriteState.GONE),
        ((404, {}, error("0x80040217", f"account With Id = {record_id(9)} Does Not Exist")), WriteState.REFUSED),
        ((400, {}, error("0x80044331", TOO_LONG)), WriteState.REFUSED),
        ((502, {}, b"<html>"), WriteState.UNKNOWN),
    ],
)
def test_an_update_has_the_fate_its_answer_says(
    web: responses.RequestsMock, writer: BulkWriter, fate: Part, state: WriteState
) -> None:
    on_batch(web, each({record_id(0): fate}))
    report = writer.update(LEAD, rows(3, 'W/"5"'))
    assert states(report) == {record_id(0): state, record_id(1): WriteState.DONE, record_id(2): WriteState.DONE}
    assert report.stopped_by is None


def test_updates_after_an_account_fault_are_not_sent(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(BATCH, status=403, json=error("0x80040225"))
    report = writer.update(LEAD, rows(1000, 'W/"5"'))
    assert set(states(report).values()) == {WriteState.NOT_SENT}
    assert len(sent(web, BATCH)) <= 4  # those already on their way


def test_answers_cut_short_leave_the_rest_unknown(web: responses.RequestsMock, writer: BulkWriter) -> None:
    on_batch(web, lambda _: batch_answer((204, {}, None)))
    report = writer.update(LEAD, rows(3, 'W/"5"'))
    assert list(states(report).values()) == [WriteState.DONE, WriteState.UNKNOWN, WriteState.UNKNOWN]


@pytest.mark.parametrize(
    ("fate", "kind"),
    [
        ((429, {"Retry-After": "900"}, error("0x80072322")), RateLimitedError),
        ((403, {}, error("0x80040220")), AccountError),
    ],
)
def test_a_part_that_is_turned_away_stops_the_rest(
    web: responses.RequestsMock, writer: BulkWriter, fate: Part, kind: type[Exception]
) -> None:
    on_batch(web, each({record_id(1): fate}))
    report = writer.update(LEAD, rows(3, 'W/"5"'))
    assert list(states(report).values()) == [WriteState.DONE, WriteState.NOT_SENT, WriteState.DONE]
    assert isinstance(report.stopped_by, kind)


def test_a_batch_too_large_goes_in_halves(web: responses.RequestsMock, writer: BulkWriter) -> None:
    def answer(request: requests.PreparedRequest) -> Any:
        return (413, {}, b"") if len(parts_of(request)) > 2 else each({})(request)

    on_batch(web, answer)
    report = writer.update(LEAD, rows(8, 'W/"5"'))
    assert set(states(report).values()) == {WriteState.DONE}


def test_a_batch_that_is_not_understood_is_nobodys_rows_fault(web: responses.RequestsMock, writer: BulkWriter) -> None:
    web.post(BATCH, status=400, json=error("0x80060888", "canary"))
    report = writer.update(LEAD, rows(3, 'W/"5"'))
    assert set(states(report).values()) == {WriteState.NOT_SENT}
    assert isinstance(report.stopped_by, ContractError)
    assert "canary" not in str(report.stopped_by)


def test_nothing_personal_stands_in_an_address(web: responses.RequestsMock, writer: BulkWriter) -> None:
    on_batch(web, each({}))
    writer.update(LEAD, [RecordWrite(record_id(0), {"subject": "canary"}, 'W/"5"')])
    assert all("canary" not in str(call.request.url) for call in web.calls)
    assert all(str(call.request.url).startswith((ORG, "https://login.")) for call in web.calls)
