"""What a signed message asks for: every type of the contract, thin and whole, and what is none of it."""

from __future__ import annotations

from typing import Any

import pytest

from dynamics.captello.message import read_message
from dynamics.core.fulfillment import Delivery, Scene
from dynamics.errors import ContractError
from tests.contract.web.posting import message, prospect, submission

SCENE = Scene(frozenset({"evt_1"}), frozenset({"frm_1"}))


def read(kind: str, data: Any) -> Delivery:
    return read_message("c", "acc_1", "msg_1", message("msg_1", kind, data)).delivery


@pytest.mark.parametrize(
    ("kind", "data", "ids", "scene", "whole"),
    [
        ("prospect.created", prospect("1"), ("pro_00000001",), SCENE, True),
        ("prospect.updated", prospect("1", submissions=[]), ("pro_00000001",), Scene(), True),
        ("consent.changed", prospect("1"), ("pro_00000001",), SCENE, True),
        ("prospect.created", prospect("1", email=None, last_name=None), ("pro_00000001",), None, False),
        ("prospect.created", prospect("1", revision=0), ("pro_00000001",), None, False),
        ("prospect.created", {**prospect("1"), "submissions": None}, ("pro_00000001",), None, False),
        ("prospect.updated", {"id": "pro_1", "revision": 2}, ("pro_1",), None, False),
        ("consent.changed", {"prospect_id": "pro_1"}, ("pro_1",), None, False),
        ("prospect.deleted", {**prospect("1"), "deleted_at": "2026-03-14T09:00:00Z"}, ("pro_00000001",), None, False),
        ("prospect.merged", {"id": "pro_1", "merged_into": "pro_2"}, ("pro_1", "pro_2"), None, False),
        ("submission.created", submission("1"), ("pro_00000001",), SCENE, False),
        ("submission.deleted", {**submission("1"), "state": "deleted"}, ("pro_00000001",), SCENE, False),
        ("submission.updated", {"id": "sub_1", "prospect_id": "pro_1"}, ("pro_1",), None, False),
        ("action.requested", {"prospect_ids": ["a", "b", "a"]}, ("a", "b"), None, False),
        ("action.requested", {"prospect_ids": "a"}, (), None, False),
        ("webhook.test", {}, (), None, False),
        ("prospect.praised", prospect("1"), (), None, False),
    ],
)
def test_a_message_names_whom_it_is_about(
    kind: str, data: Any, ids: tuple[str, ...], scene: Scene | None, whole: bool
) -> None:
    assert read(kind, data) == Delivery("c", "msg_1", kind, prospect_ids=ids, scene=scene, whole=whole)


@pytest.mark.parametrize("odd", ["", " ", "a\x00", "\ud800", "x" * 201, 7, None])
def test_what_can_be_no_id_is_nobody(odd: object) -> None:
    assert read("submission.created", {"prospect_id": odd}).prospect_ids == ()
    assert read("prospect.created", prospect("1", id=odd)).prospect_ids == ()
    assert read("action.requested", {"prospect_ids": [odd, "b"], "action_id": odd}).prospect_ids == ("b",)
    event = {**submission("1"), "event": {"id": odd if odd != "x" * 201 else None}}
    assert read("submission.created", event).scene == Scene(
        frozenset({odd} if odd in ("", " ") else ()), frozenset({"frm_1"})
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"7", "no message"),
        (b'{"id": "msg_1"}', "no message"),
        (message("msg_2"), "webhook-id"),
        (message("msg_1", account_id="acc_2"), "account"),
    ],
)
def test_a_message_that_is_none_is_refused_without_a_word_of_it(body: bytes, why: str) -> None:
    with pytest.raises(ContractError, match=why) as caught:
        read_message("c", "acc_1", "msg_1", body)
    assert "acc_2" not in str(caught.value)
