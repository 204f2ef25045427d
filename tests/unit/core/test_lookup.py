"""Lookups: the form of a reference, what is asked, and which record is meant."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dynamics.core.lookup import (
    LookupKey,
    LookupMiss,
    lookup_answers,
    lookup_queries,
    lookup_value,
    parse_lookup,
    references,
)
from tests.unit.core.builders import CAMPAIGN, USER

ID = UUID("0F0E0D0C-0000-4000-8000-00000000C001")
KEY = LookupKey("campaign", "codename", "FLOW25")


def campaign(number: int = 1, **values: Any) -> dict[str, Any]:
    plain = {"@table": "campaign", "@id": str(UUID(int=number)), "codename": "FLOW25", "statecode": 0}
    return plain | values


def user(number: int = 1, **values: Any) -> dict[str, Any]:
    plain = {"@table": "systemuser", "@id": str(UUID(int=number)), "internalemailaddress": "sam@x.test"}
    return plain | {"isdisabled": False} | values


def test_a_reference_is_read_as_it_was_written() -> None:
    written = lookup_value("campaign", ID)
    assert written == "campaign(0f0e0d0c-0000-4000-8000-00000000c001)"
    assert lookup_value("campaign", str(ID).upper()) == written
    assert parse_lookup(written) == ("campaign", ID)


@pytest.mark.parametrize("text", ["", "campaign", str(ID), f"campaign({str(ID).upper()})", f"campaign({ID}) ", "a(b)"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="no reference"):
        parse_lookup(text)
    assert references([text, None, 7]) == frozenset()


@pytest.mark.parametrize(
    ("records", "answer"),
    [
        ([], LookupMiss.NOT_FOUND),
        ([campaign()], f"campaign({UUID(int=1)})"),
        ([campaign(codename="  flow25 ")], f"campaign({UUID(int=1)})"),
        ([campaign(codename="FLÖW25")], LookupMiss.NOT_FOUND),  # the CRM may ignore accents, people do not
        ([campaign(codename=None)], LookupMiss.NOT_FOUND),
        ([campaign(), campaign()], f"campaign({UUID(int=1)})"),  # found by two queries
        ([campaign(1), campaign(2)], LookupMiss.AMBIGUOUS),
        ([campaign(1, statecode=1), campaign(2)], f"campaign({UUID(int=2)})"),
        ([campaign(1, statecode=1), campaign(2, statecode=1)], LookupMiss.INACTIVE),
        ([{"@table": "account", "@id": str(UUID(int=3)), "codename": "FLOW25"}], LookupMiss.NOT_FOUND),
    ],
)
def test_which_record_is_meant(records: list[dict[str, Any]], answer: str | LookupMiss) -> None:
    assert lookup_answers([KEY], records) == {KEY: answer}


def test_disabled_users_are_nobody() -> None:
    key = LookupKey.of("systemuser", "internalemailaddress", " Sam@X.test ")
    assert lookup_answers([key], [user()]) == {key: f"systemuser({UUID(int=1)})"}
    assert lookup_answers([key], [user(isdisabled=True)]) == {key: LookupMiss.INACTIVE}


def test_ids_are_found_in_every_form() -> None:
    keys = [LookupKey.of("campaign", "campaignid", text) for text in (str(ID).upper(), f"{{{ID}}}", "no id")]
    (query,) = lookup_queries(keys, {"campaign": CAMPAIGN})
    assert query.where == (("campaignid", (str(ID),)),)
    answers = lookup_answers(keys, [{"@table": "campaign", "@id": str(ID), "campaignid": str(ID), "statecode": 0}])
    assert list(answers.values()) == [f"campaign({ID})", f"campaign({ID})", LookupMiss.NOT_FOUND]


def test_one_query_for_each_column_and_inactive_records_are_seen() -> None:
    keys = [
        KEY,
        LookupKey("campaign", "codename", "FLOW26"),
        LookupKey("campaign", "name", "Flow"),
        LookupKey("systemuser", "internalemailaddress", "sam@x.test"),
    ]
    queries = lookup_queries(keys, {"campaign": CAMPAIGN, "systemuser": USER})
    assert [(query.table, query.where, query.select) for query in queries] == [
        ("campaign", (("codename", ("FLOW25", "FLOW26")),), ("codename",)),
        ("campaign", (("name", ("Flow",)),), ("name",)),
        ("systemuser", (("internalemailaddress", ("sam@x.test",)),), ("internalemailaddress", "isdisabled")),
    ]
    assert not any(query.only_active for query in queries)
