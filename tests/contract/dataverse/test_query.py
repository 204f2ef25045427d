"""Questions against recorded exchanges: how they are worded, split, hidden and followed page by page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
import requests
import responses

from dynamics.core.crm import CandidateQuery, JsonObject
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.query import find_records, read_records
from dynamics.errors import AccountError, ContractError, RateLimitedError, ServiceUnavailableError
from tests.contract.dataverse.support import (
    API,
    BATCH,
    DISCOVERY,
    LEAD,
    TOKEN,
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

CONTACT = replace(LEAD, logical_name="contact", entity_set="contacts", primary_id="contactid")


def query(*values: str, column: str = "emailaddress1", **changes: Any) -> CandidateQuery:
    return CandidateQuery("lead", ((column, values),), ("subject",), **changes)


def row(number: int, table: TableMetadata = LEAD, **columns: object) -> JsonObject:
    return {"@odata.etag": f'W/"{number}"', table.primary_id: str(record_id(number)).upper(), **columns}


def page(*rows: JsonObject, link: str | None = None) -> Part:
    return 200, {}, {"value": list(rows), **({"@odata.nextLink": link} if link else {})}


def filters(web: responses.RequestsMock) -> list[str]:
    """The conditions of all parts sent, decoded once, as the service does."""
    lines = [line for request in sent(web, BATCH) for line, _, _ in parts_of(request)]
    return [unquote(line.split("$filter=")[1].removesuffix(" HTTP/1.1")) for line in lines if "$filter=" in line]


def answer_all(web: responses.RequestsMock, part: Part) -> None:
    on_batch(web, lambda request: batch_answer(*(part for _ in parts_of(request))))


NASTY = [
    "O'Brien",
    "a&b",
    "#1",
    "100%",
    "%2B",
    "a+b@x.test",
    'say "hi"',
    "back\\slash",
    "a/b?c=d",
    "Žofia 🎪",
    "x],PropertyValues=[",
]


def test_values_survive_quoting_and_stand_in_no_address(web: responses.RequestsMock) -> None:
    sign_in(web)
    answer_all(web, page())
    find_records(transport(), [(LEAD, query(*NASTY))])
    (condition,) = filters(web)
    found = re.fullmatch(
        r"Microsoft\.Dynamics\.CRM\.In\(PropertyName='emailaddress1',PropertyValues=(\[.*\])\) and statecode eq 0",
        condition,
    )
    assert found is not None
    assert json.loads(found[1]) == NASTY
    assert {str(call.request.url) for call in web.calls} == {DISCOVERY, TOKEN, BATCH}
    line = parts_of(sent(web, BATCH)[0])[0][0]
    assert line.isascii()
    assert line.count(" ") == 2
    assert not set('#&+"\\') & set(line.split("$filter=")[1])


def test_columns_are_joined_by_and_and_lookups_read_by_their_value(web: responses.RequestsMock) -> None:
    sign_in(web)
    answer_all(web, page())
    both = CandidateQuery(
        "lead", (("lastname", ("Ruiz",)), ("firstname", ("Ana",))), ("subject", "campaignid"), only_active=False
    )
    find_records(transport(), [(LEAD, both)])
    assert filters(web) == [
        "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=[\"Ruiz\"]) and "
        "Microsoft.Dynamics.CRM.In(PropertyName='firstname',PropertyValues=[\"Ana\"])"
    ]
    line, headers, _ = parts_of(sent(web, BATCH)[0])[0]
    assert "$select=leadid,statecode,subject,_campaignid_value&" in line
    annotation = "Microsoft.Dynamics.CRM.lookuplogicalname"
    assert headers["Prefer"] == f'odata.maxpagesize=5000,odata.include-annotations="{annotation}"'


def test_lookups_are_given_back_with_the_table_they_point_to(web: responses.RequestsMock) -> None:
    sign_in(web)
    somebody = str(record_id(7))
    told = {"_customerid_value": somebody, "_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact"}
    answer_all(web, page(row(1, _campaignid_value=somebody), row(2, _campaignid_value=None, **told)))
    first, second = find_records(transport(), [(LEAD, query("a"))])
    assert first["campaignid"] == f"campaign({somebody})"  # the only table it can point to
    assert second["customerid"] == f"contact({somebody})"
    assert second.get("campaignid") is None


def test_a_lookup_that_does_not_tell_its_table_is_not_taken_for_blank(web: responses.RequestsMock) -> None:
    sign_in(web)
    answer_all(web, page(row(1, _customerid_value=str(record_id(7)))))
    with pytest.raises(ContractError, match="'customerid' points to is not told"):
        find_records(transport(), [(LEAD, query("a"))])


def test_many_values_are_asked_in_portions_that_miss_none(web: responses.RequestsMock) -> None:
    sign_in(web)
    answer_all(web, page())
    firsts, lasts = [f"f{n}" for n in range(500)], [f"l{n}" for n in range(900)]
    find_records(
        transport(), [(LEAD, CandidateQuery("lead", (("lastname", tuple(lasts)), ("firstname", tuple(firsts))), ()))]
    )
    pairs = set()
    for condition in filters(web):
        last, first = (re.findall(r'"(\w+)"', part) for part in condition.split(" and ")[:2])
        assert max(len(last), len(first)) <= 400
        pairs |= {(one, other) for one in last for other in first}
    assert len(pairs) == 500 * 900
    assert len(sent(web, BATCH)) == 1


def test_long_values_are_asked_in_urls_the_service_takes(web: responses.RequestsMock) -> None:
    sign_in(web)
    answer_all(web, page())
    values = [f"{n:03}" + "🎪" * 90 for n in range(300)]
    find_records(transport(), [(LEAD, query(*values))])
    lines = [line for request in sent(web, BATCH) for line, _, _ in parts_of(request)]
    assert max(map(len, lines)) < 60_000
    assert len(lines) > 1
    asked = [value for condition in filters(web) for value in re.findall(r'"([^"]*)"', condition)]
    assert asked == values


def test_values_longer_than_their_column_are_not_asked_for(web: responses.RequestsMock) -> None:
    sign_in(web)
    assert find_records(transport(), [(LEAD, query("x" * 101))]) == []
    assert find_records(transport(), [(LEAD, query())]) == []
    assert sent(web, BATCH) == []


def test_records_of_all_pages_and_queries_come_once_in_the_ports_form(web: responses.RequestsMock) -> None:
    sign_in(web)
    second = f"{API}/leads?$select=leadid&$skiptoken=%3Cc%20pagingcookie=%22%253c%22/%3E".replace(
        "contoso.", "contoso.api."
    )
    rounds: list[list[str]] = []

    def answer(request: requests.PreparedRequest) -> Any:
        rounds.append([line for line, _, _ in parts_of(request)])
        if len(rounds) == 1:
            return batch_answer(
                page(row(1, subject="a"), link=second), page(row(1, subject="a")), page(row(3, CONTACT))
            )
        return batch_answer(page(row(2)))

    on_batch(web, answer)
    queries = [(LEAD, query("a")), (LEAD, query("a", column="lastname")), (CONTACT, query("a"))]
    found = find_records(transport(), queries)
    assert [(record["@table"], record["@id"]) for record in found] == [
        ("lead", str(record_id(1))),
        ("contact", str(record_id(3))),
        ("lead", str(record_id(2))),
    ]
    assert (found[0]["@etag"], found[0]["subject"]) == ('W/"1"', "a")
    assert rounds[1] == [
        "GET /api/data/v9.2/leads?$select=leadid&$skiptoken=%3Cc%20pagingcookie=%22%253c%22/%3E HTTP/1.1"
    ]
    assert len(rounds) == 2


@pytest.mark.parametrize("link", ["https://evil.test/api", f"{API}/leads?$skiptoken=same"])
def test_pages_lead_neither_away_nor_round_in_circles(web: responses.RequestsMock, link: str) -> None:
    sign_in(web)
    answer_all(web, page(row(1), link=link))
    with pytest.raises(ContractError):
        find_records(transport(), [(LEAD, query("a"))])
    assert len(sent(web, BATCH)) <= 2


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ((400, {}, error("0x80041103", "canary")), AccountError),
        ((400, {}, error("0x8004430e", "canary")), ContractError),
        ((403, {}, error("0x80040220", "canary")), AccountError),
        ((429, {"Retry-After": "3"}, error("0x80072322")), RateLimitedError),
        ((503, {}, None), ServiceUnavailableError),
        ((200, {}, {}), ContractError),
        ((200, {}, b"<html>canary"), ContractError),
        ((200, {}, {"value": [{"subject": "canary"}]}), ContractError),
        ((200, {}, {"value": [{"leadid": "canary", "@odata.etag": "1"}]}), ContractError),
    ],
)
def test_a_question_without_a_proper_answer_is_never_taken_for_nothing_found(
    web: responses.RequestsMock, part: Part, kind: type[Exception]
) -> None:
    sign_in(web)
    answer_all(web, part)
    with pytest.raises(kind) as fault:
        find_records(transport(), [(LEAD, query("a"))])
    assert "canary" not in str(fault.value)


def test_missing_answers_are_noticed(web: responses.RequestsMock) -> None:
    sign_in(web)
    on_batch(web, lambda _: batch_answer(page()))
    with pytest.raises(ContractError, match="not answered in full"):
        find_records(transport(), [(LEAD, query("a")), (CONTACT, query("a"))])


def test_a_lost_batch_of_questions_is_asked_again(web: responses.RequestsMock) -> None:
    sign_in(web)
    web.post(BATCH, status=503)
    answer_all(web, page(row(1)))
    assert len(find_records(transport(), [(LEAD, query("a"))])) == 1


def test_records_that_a_query_does_not_show_are_read_by_their_address(web: responses.RequestsMock) -> None:
    sign_in(web)

    def answer(request: requests.PreparedRequest) -> Any:
        fates = []
        for line, _, _ in parts_of(request):
            if "$filter" in line:
                fates.append(page(row(1, _createdby_value=str(record_id(7)))))
            else:
                assert "$select=leadid,statecode,subject,_createdby_value" in line
                late = str(record_id(2)) in line
                fates.append((200, {}, row(2)) if late else (404, {}, error("0x80040217", "lead Does Not Exist")))
        return batch_answer(*fates)

    on_batch(web, answer)
    found = read_records(transport(), LEAD, [record_id(n) for n in (3, 2, 1)], ("subject",))
    assert [record["@id"] for record in found] == [str(record_id(1)), str(record_id(2))]
    assert found[0]["_createdby_value"] == str(record_id(7))
