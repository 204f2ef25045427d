"""The signed webhook: what passes is stored once and answered 202, what does not pass leaves no trace."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from dynamics.config.webhook_template import webhook_template
from dynamics.web.webhooks import MAX_BODY
from tests.contract.store.samples import rows
from tests.contract.web.conftest import Site, account
from tests.contract.web.posting import OTHER_SECRET, SECRET, message, prospect, signed, submission

PATH = "/dynamics/webhooks/captello_default"
STORED = "SELECT delivery_id, type, state, prospect_ids, event_ids, form_ids, action, whole FROM sync.webhook_delivery"


def post(site: Site, body: bytes, headers: Any, path: str = PATH) -> int:
    return int(site.client.post(path, content=body, headers=headers).status_code)


def test_a_signed_prospect_is_stored_with_its_delivery(site: Site, store: sa.Engine) -> None:
    body = message("msg_1", data=prospect("1"))
    assert post(site, body, signed("msg_1", body)) == 202
    assert rows(store, STORED) == [
        {
            "delivery_id": "msg_1",
            "type": "prospect.created",
            "state": "due",
            "prospect_ids": ["pro_00000001"],
            "event_ids": ["evt_1"],
            "form_ids": ["frm_1"],
            "action": None,
            "whole": True,
        }
    ]
    (kept,) = rows(store, "SELECT source, prospect_id, payload, email_key IS NOT NULL AS keyed FROM sync.prospect")
    assert kept == {"source": "captello", "prospect_id": "pro_00000001", "payload": prospect("1"), "keyed": True}


def test_the_delivery_holds_nothing_personal(site: Site, store: sa.Engine) -> None:
    body = message("msg_1", data=prospect("1"))
    post(site, body, signed("msg_1", body))
    (kept,) = rows(store, "SELECT d::text AS text FROM sync.webhook_delivery d")
    assert "pro_00000001" in kept["text"]
    assert not [word for word in ("Ines", "Okafor", "mail.example") if word in kept["text"]]


def test_a_replay_is_answered_and_has_no_effect(site: Site, store: sa.Engine) -> None:
    body = message("msg_1", data=prospect("1"))
    assert post(site, body, signed("msg_1", body)) == 202
    before = rows(store, "SELECT * FROM sync.webhook_delivery"), rows(store, "SELECT * FROM sync.prospect")
    newer = message("msg_1", data=prospect("1", revision=2, first_name="Other"))
    assert post(site, newer, signed("msg_1", newer)) == 202
    assert (rows(store, "SELECT * FROM sync.webhook_delivery"), rows(store, "SELECT * FROM sync.prospect")) == before


def test_an_older_revision_that_comes_late_does_not_replace_a_newer_one(site: Site, store: sa.Engine) -> None:
    for number, revision in (("1", 3), ("2", 2)):
        body = message(f"msg_{number}", data=prospect("1", revision=revision))
        assert post(site, body, signed(f"msg_{number}", body)) == 202
    assert rows(store, "SELECT revision FROM sync.prospect") == [{"revision": 3}]


BODY = message("msg_1", data=prospect("1"))
GOOD = signed("msg_1", BODY, at=0)
NOW = int(time.time())


def forged(**changes: str | None) -> dict[str, str]:
    headers = {**signed("msg_1", BODY), **changes}
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize(
    "headers",
    [
        forged(**{"webhook-signature": None}),
        forged(**{"webhook-id": None}),
        forged(**{"webhook-timestamp": None}),
        forged(**{"webhook-signature": ""}),
        forged(**{"webhook-signature": "v1,"}),
        forged(**{"webhook-signature": signed("msg_1", BODY)["webhook-signature"].removeprefix("v1,")}),
        forged(**{"webhook-id": "msg_2"}),
        forged(**{"webhook-id": "m" * 201}),
        forged(**{"webhook-timestamp": "soon"}),
        signed("msg_1", BODY, OTHER_SECRET),
        signed("msg_1", BODY, at=NOW - 400),
        signed("msg_1", BODY, at=NOW + 400),
        signed("msg_1", BODY + b" "),
        [*signed("msg_1", BODY).items(), ("webhook-signature", "v1,AAAA")],
        [*signed("msg_1", BODY).items(), ("webhook-id", "msg_1")],
        [*signed("msg_1", BODY).items(), ("webhook-timestamp", "1")],
    ],
)
def test_what_is_not_freshly_signed_is_refused_and_stores_nothing(site: Site, store: sa.Engine, headers: Any) -> None:
    answer = site.client.post(PATH, content=BODY, headers=headers)
    assert (answer.status_code, answer.content) == (401, b"")
    assert rows(store, STORED) == []
    assert rows(store, "SELECT 1 FROM sync.prospect") == []


@pytest.mark.parametrize("minutes", [-4, 4])
def test_clocks_may_differ_by_four_minutes(site: Site, minutes: int) -> None:
    assert post(site, BODY, signed("msg_1", BODY, at=time.time() + 60 * minutes)) == 202


@pytest.mark.parametrize("source", ["unknown", "unset", "..", "a b"])
def test_sources_that_are_not_set_up_are_all_alike(site: Site, store: sa.Engine, source: str) -> None:
    answer = site.client.post(f"/dynamics/webhooks/{source.replace(' ', '%20')}", content=BODY, headers=forged())
    assert answer.status_code in (401, 404)  # `..` is resolved by the client and is no route
    assert rows(store, STORED) == []


def test_two_secrets_are_good_while_one_is_replaced(site: Site) -> None:
    site.accounts["captello_default"] = account(webhook_secret=SecretStr(f"{OTHER_SECRET} {SECRET}"))
    for number, secret in (("1", SECRET), ("2", OTHER_SECRET)):
        body = message(f"msg_{number}", "webhook.test")
        assert post(site, body, signed(f"msg_{number}", body, secret)) == 202


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", 400),
        (b"{", 400),
        (message("msg_2"), 400),
        (message("msg_1", account_id="acc_2"), 400),
        (message("msg_1", account_id=None), 400),
        (message("msg_1", "some.day"), 202),
        (message("msg_1", "webhook.test"), 202),
        (message("msg_1", data=[1]), 202),
        (message("msg_1", data={"id": 7}), 202),
        (message("msg_1", data={"id": "pro\x00"}), 202),
    ],
)
def test_a_signed_message_that_asks_for_nothing_stores_no_work(
    site: Site, store: sa.Engine, body: bytes, expected: int
) -> None:
    assert post(site, body, signed("msg_1", body)) == expected
    assert [row["state"] for row in rows(store, STORED)] == ([] if expected == 400 else ["ignored"])


def test_a_body_beyond_the_cap_is_not_read(site: Site, store: sa.Engine) -> None:
    body = message("msg_1", data={"id": "pro_1", "x": "x" * MAX_BODY})
    assert post(site, body, signed("msg_1", body)) == 413

    def pieces() -> Any:
        yield b"x" * MAX_BODY
        yield b"xx"
        raise AssertionError("read on")

    with pytest.raises(AssertionError):  # the test's transport reads all before it sends; a server does not
        post(site, pieces(), forged())
    assert rows(store, STORED) == []


def test_submissions_and_actions_are_stored_to_be_looked_up(site: Site, store: sa.Engine) -> None:
    said = [
        ("submission.created", submission("7", "evt_9", "frm_9")),
        ("submission.created", {"id": "sub_1", "prospect_id": "pro_1"}),
        ("prospect.updated", {"id": "pro_2", "revision": 3}),
        ("prospect.merged", {"id": "pro_3", "merged_into": "pro_4", "deleted_at": "2026-03-14T09:00:00Z"}),
        ("action.requested", {"trigger": "bulk_action", "action_id": "booth", "prospect_ids": ["pro_5", "pro_6"]}),
    ]
    for number, (kind, data) in enumerate(said):
        body = message(f"msg_{number}", kind, data)
        assert post(site, body, signed(f"msg_{number}", body)) == 202
    kept = rows(store, f"{STORED} ORDER BY delivery_id")
    assert [(row["prospect_ids"], row["event_ids"], row["action"]) for row in kept] == [
        (["pro_00000007"], ["evt_9"], None),
        (["pro_1"], None, None),
        (["pro_2"], None, None),
        (["pro_3", "pro_4"], None, None),
        (["pro_5", "pro_6"], None, "booth"),
    ]
    assert rows(store, "SELECT 1 FROM sync.prospect") == []


def test_a_known_source_is_looked_up_once_in_a_while_and_strangers_not_without_end(site: Site) -> None:
    for number in range(50):
        body = message(f"msg_{number}", "webhook.test")
        assert post(site, body, signed(f"msg_{number}", body)) == 202
    assert site.asked == ["captello_default"]
    answers = {post(site, BODY, forged(), f"/dynamics/webhooks/stranger_{number}") for number in range(50)}
    assert answers == {404, 503}
    assert len(site.asked) <= 1 + 10
    assert post(site, BODY, forged()) == 202


def test_a_database_that_is_away_asks_the_sender_to_repeat(site: Site, store: sa.Engine, postgres: Any) -> None:
    with store.begin() as connection:
        connection.execute(sa.text("ALTER TABLE sync.alembic_version RENAME TO away"))
    answer = site.client.post(PATH, content=BODY, headers=forged())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_logs_hold_ids_and_counts_only(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        post(site, BODY, forged())
        post(site, BODY, signed("msg_1", BODY, OTHER_SECRET))
        post(site, message("msg_1", account_id="acc_9"), forged())
    assert "webhook msg_1 of captello_default: prospect.created about 1 prospects" in caplog.text
    assert "1 not signed, or not freshly" in caplog.text
    assert not [word for word in ("Ines", "Okafor", "mail.example", SECRET, "acc_9") if word in caplog.text]


# ---------------------------------------------------------------- the unsigned form

TOKEN = "tokentokentokentokentokentokentok"
FORM = {"content-type": "application/x-www-form-urlencoded"}
CALL = b"ProspectId=7&Email=ines%40mail.example"


@pytest.fixture
def open_to_templates(site: Site) -> Site:
    def complain(what: str, remedy: str) -> None:
        raise AssertionError(what)

    fields = {"/ProspectId": "id", "/Email": "email"}
    given = {"token": TOKEN, "addresses": ["203.0.113.0/24"], "fields": fields, "proxies": 1}
    site.accounts["captello_default"] = account(webhook_template=webhook_template(given, complain))
    return site


def call(site: Site, token: str = TOKEN, caller: str = "203.0.113.9", body: bytes = CALL, source: str = "") -> int:
    path = f"/dynamics/webhooks/{source or 'captello_default'}/{token}"
    return post(site, body, FORM | {"x-forwarded-for": caller}, path)


def test_an_unsigned_call_makes_a_prospect_of_its_own_source_once(open_to_templates: Site, store: sa.Engine) -> None:
    assert [call(open_to_templates), call(open_to_templates)] == [202, 202]
    (kept,) = rows(store, "SELECT source, prospect_id FROM sync.prospect")
    assert kept == {"source": "webhook", "prospect_id": "captello_default:7"}
    assert [row["state"] for row in rows(store, STORED)] == ["due"]


def test_an_unsigned_call_is_taken_from_nobody_else(open_to_templates: Site, store: sa.Engine) -> None:
    site = open_to_templates
    assert call(site, token=TOKEN[:-1]) == call(site, token="x" * 33) == 404
    assert call(site, caller="198.51.100.1") == 404
    assert call(site, source="unset") == call(site, source="unknown") == 404
    assert call(site, body=b"x=1") == 400
    assert rows(store, STORED) == rows(store, "SELECT 1 FROM sync.prospect") == []


def test_the_token_is_in_no_log(open_to_templates: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="dynamics"):
        call(open_to_templates)
        call(open_to_templates, caller="198.51.100.1")
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("dynamics"))
    assert "from an address that is not listed" in ours
    assert TOKEN not in ours
