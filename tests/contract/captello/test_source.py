"""The source port on a client of recorded exchanges: which listings a selection becomes, and each prospect once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import responses
from pydantic import SecretStr
from responses import matchers

from dynamics.captello.account import Auth, CaptelloAccount
from dynamics.captello.client import CaptelloClient
from dynamics.captello.source import CaptelloSource
from dynamics.core.capture import Selection
from dynamics.errors import ContractError
from dynamics.sync.ports import Source
from tests.fakes.clock import FakeClock

ORIGIN = "https://capture.example.com"
PROSPECTS = f"{ORIGIN}/v1/prospects"


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def source() -> Source:
    account = CaptelloAccount(ORIGIN, Auth.API_KEY, SecretStr("key"))
    return CaptelloSource(CaptelloClient(account, clock=FakeClock()))


def item(number: int, **values: Any) -> dict[str, Any]:
    return {
        "id": f"pro_{number:08}",
        "revision": number,
        "updated_at": "2026-03-14T10:00:00.000Z",
        "email": "a@example.com",
    } | values


def listing(api: responses.RequestsMock, items: list[dict[str, Any]], **params: str) -> None:
    api.get(
        PROSPECTS,
        json={"data": items, "page": {"next_cursor": None}},
        match=[matchers.query_param_matcher(params | {"include": "submissions,answers,consents", "limit": "200"})],
    )


def numbers(source: Source, selection: Selection) -> list[list[int]]:
    return [[found.revision for found in page] for page in source.pages(selection)]


def test_a_prospect_comes_with_what_the_ledger_orders_by(api: responses.RequestsMock, source: Source) -> None:
    listing(api, [item(3)])
    [[found]] = source.pages(Selection())
    assert (found.prospect_id, found.revision) == ("pro_00000003", 3)
    assert found.updated_at == datetime(2026, 3, 14, 10, tzinfo=UTC)
    assert found.payload == item(3)


def test_times_are_asked_for_in_utc(api: responses.RequestsMock, source: Source) -> None:
    listing(api, [], captured_since="2026-03-14T08:00:00.000Z", captured_until="2026-03-15T08:00:00.000Z")
    begin = datetime(2026, 3, 14, 9, tzinfo=timezone(timedelta(hours=1)))
    assert numbers(source, Selection(captured_from=begin, captured_to=begin + timedelta(days=1))) == []


def test_changes_are_asked_for_since_a_time_and_by_owner(api: responses.RequestsMock, source: Source) -> None:
    listing(api, [item(1)], updated_since="2026-03-14T08:00:00.000Z", owner_id="usr_1")
    listing(api, [item(2)], updated_since="2026-03-14T08:00:00.000Z", owner_id="usr_2")
    since = datetime(2026, 3, 14, 9, tzinfo=timezone(timedelta(hours=1)))
    assert numbers(source, Selection(updated_from=since, owner_ids=("usr_1", "usr_2"))) == [[1], [2]]


def test_each_event_and_form_has_a_listing_and_a_prospect_comes_once(
    api: responses.RequestsMock, source: Source
) -> None:
    listing(api, [item(1), item(2)], event_id="e1", form_id="f1")
    listing(api, [item(2), item(3)], event_id="e1", form_id="f2")
    listing(api, [item(1)], event_id="e2", form_id="f1")
    listing(api, [item(4)], event_id="e2", form_id="f2")
    selection = Selection(event_ids=("e1", "e2"), form_ids=("f1", "f2"))
    assert numbers(source, selection) == [[1, 2], [3], [4]]


def test_ids_are_looked_up_and_what_else_was_asked_still_counts(
    api: responses.RequestsMock, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "dynamics")
    at = {"captured_at": "2026-03-01T10:00:00Z", "event": {"id": "e1"}}
    tombstone = {"id": "pro_00000003", "revision": 3, "updated_at": "2026-03-14T10:00:00Z", "deleted_at": "2026-03-14"}
    api.post(
        f"{PROSPECTS}:lookup",
        json={"data": [item(1, submissions=[at]), item(2), tombstone]},
        match=[
            matchers.json_params_matcher(
                {
                    "ids": [f"pro_{n:08}" for n in (1, 2, 3, 9)],
                    "include": ["submissions", "answers", "consents"],
                }
            )
        ],
    )
    ids = tuple(f"pro_{n:08}" for n in (1, 2, 3, 9, 1))
    assert numbers(source, Selection(prospect_ids=ids)) == [[1, 2, 3]]
    assert caplog.messages == ["1 of 4 prospect ids are not known to the source: pro_00000009"]
    assert numbers(source, Selection(prospect_ids=ids, event_ids=("e1",))) == [[1]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"id": None}, "read prospect None: 'id' is no text"),
        ({"company": "canary"}, "read prospect pro_00000001: 'company' is no object"),
        ({"revision": "1"}, "read prospect pro_00000001: 'revision' is no whole number from 1"),
    ],
)
def test_what_is_no_prospect_stops_the_run_and_is_not_repeated(
    api: responses.RequestsMock, source: Source, change: dict[str, Any], text: str
) -> None:
    listing(api, [item(1, **change)])
    with pytest.raises(ContractError, match=text):
        list(source.pages(Selection()))


def test_what_the_schema_does_not_know_passes(api: responses.RequestsMock, source: Source) -> None:
    listing(api, [item(1, status="brand_new", shoe_size=42)])
    assert numbers(source, Selection()) == [[1]]
