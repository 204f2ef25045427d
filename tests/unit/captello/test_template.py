"""The unsigned webhook: who may call, and what prospect a customer's body makes."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from dynamics.captello.template import WebhookTemplate, read_template
from dynamics.core.fulfillment import Scene
from dynamics.errors import ContractError

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
FIELDS = {
    "/ProspectId": "id",
    "/Email": "email",
    "/lead/names/0": "first_name",
    "/lead/names/1": "last_name",
    "/a~1b~0c": "custom.odd",
    "/Company": "company.name",
    "/City": "address.city",
    "/Phone": "phones.mobile",
    "/Event": "event.name",
    "/Form": "form.id",
    "/Owner": "owner.email",
    "/Note": "note",
}
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def template(**changes: Any) -> WebhookTemplate:
    networks = (ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32"))
    return WebhookTemplate(**{"token": SecretStr("t"), "addresses": networks, "fields": FIELDS, **changes})


def read(content: Any, content_type: str = "application/json", now: datetime = NOW) -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_template("c", template(), body, content_type, now)


def test_a_json_body_becomes_a_prospect_by_the_map() -> None:
    accepted = read(
        {
            "ProspectId": 4711,
            "Email": " ines@mail.example ",
            "lead": {"names": ["Ines", "Okafor"]},
            "a/b~c": True,
            "Company": "Northmoor",
            "City": "Leeds",
            "Phone": "07700 900123",
            "Event": "Flow Expo",
            "Form": "frm_1",
            "Owner": "sam@vendor.example",
            "Note": "Call in May",
            "Ignored": {"x": 1},
        }
    )
    (found,) = accepted.prospects
    payload = found.payload
    assert (found.prospect_id, payload["email"], payload["first_name"]) == ("c:4711", "ines@mail.example", "Ines")
    assert payload["company"] == {"name": "Northmoor"}
    assert payload["addresses"] == [{"kind": "work", "city": "Leeds"}]
    assert payload["phones"] == [{"raw": "07700 900123", "kind": "mobile"}]
    assert payload["custom_fields"] == {"odd": "true"}
    assert payload["notes"][0]["text"] == "Call in May"
    delivery = accepted.delivery
    assert (delivery.prospect_source, delivery.prospect_ids, delivery.whole) == ("webhook", ("c:4711",), True)
    assert delivery.scene == Scene(frozenset({"Flow Expo"}), frozenset({"frm_1"}))


def test_a_form_becomes_the_same() -> None:
    accepted = read(b"ProspectId=7&Email=ines%40mail.example&Company=N+%26+M&City=", FORM)
    (found,) = accepted.prospects
    assert found.payload["email"] == "ines@mail.example"
    assert (found.payload["company"], found.payload["addresses"]) == ({"name": "N & M"}, [])


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"\xff=1", FORM),
        (b"&".join(b"a%d=1" % number for number in range(600)), FORM),
        (b"ProspectId=7", "application/json"),
        (b"[]", "application/json"),
        ({"Email": "ines@mail.example"}, "application/json"),
        ({"ProspectId": "7"}, "application/json"),
        ({"ProspectId": "7\x00", "Email": "ines@mail.example"}, "application/json"),
        ({"ProspectId": {"x": 1}, "Email": "ines@mail.example"}, "application/json"),
    ],
)
def test_what_makes_no_prospect_is_refused_without_a_word_of_it(content: Any, content_type: str) -> None:
    with pytest.raises(ContractError) as caught:
        read(content, content_type)
    assert "ines" not in str(caught.value)


def test_calls_about_a_prospect_are_a_series_that_rises_and_tells_bodies_apart() -> None:
    content = {"ProspectId": "7", "Email": "ines@mail.example"}
    first, again = read(content), read(content, now=NOW + timedelta(seconds=60))
    changed = read({**content, "Email": "x@mail.example"}, now=NOW + timedelta(seconds=90))
    other = read({**content, "ProspectId": "8"})
    assert first.repeats == again.repeats
    assert (first.repeats.series == changed.repeats.series, first.repeats.mark == changed.repeats.mark) == (True, False)
    assert other.repeats.series != first.repeats.series
    ids = [each.delivery.delivery_id for each in (first, again, changed)]
    assert ids == sorted(ids)
    assert all(name.startswith(first.repeats.series) for name in ids)
    assert again.prospects[0].revision > first.prospects[0].revision


@pytest.mark.parametrize(
    ("caller", "forwarded", "proxies", "expected"),
    [
        ("203.0.113.7", "", 0, True),
        ("2001:db8::1", "", 0, True),
        ("::ffff:203.0.113.7", "", 0, True),
        ("198.51.100.1", "", 0, False),
        ("198.51.100.1", "203.0.113.7", 0, False),
        ("10.0.0.1", "203.0.113.7", 1, True),
        ("10.0.0.1", "203.0.113.7, 198.51.100.1", 1, False),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", 1, True),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", 2, True),
        ("10.0.0.1", "", 1, False),
        ("10.0.0.1", "nonsense", 1, False),
        (None, "", 0, False),
    ],
)
def test_only_listed_addresses_may_call_and_nobody_is_believed_but_our_own_proxies(
    caller: str | None, forwarded: str, proxies: int, expected: bool
) -> None:
    assert template(proxies=proxies).admits(caller, forwarded) is expected
