"""Reads a webhook message whose signature is right: what it is about, and the prospect when it is whole.

A message of a type that is not known, or about nobody, is accepted and asks for nothing. A prospect that came without
its submissions, or in a form that is none, is not taken: it is looked up. Source: Capture Source API v1, webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamics.captello.shape import shape_fault, sourced
from dynamics.core.capture import SourcedProspect
from dynamics.core.fulfillment import Accepted, Delivery, scene_of, scene_of_prospect
from dynamics.core.json_text import parse_json
from dynamics.errors import ContractError

OF_SUBMISSIONS = ("submission.created", "submission.updated", "submission.deleted")
OF_PROSPECTS = ("prospect.created", "prospect.updated", "prospect.merged", "prospect.deleted", "consent.changed")
ACTION_REQUESTED = "action.requested"
_MAX_ID = 200


def read_message(source: str, account_id: str | None, message_id: str, body: bytes) -> Accepted:
    """What a message asks for.

    Args:
        source: the connection it came in by.
        account_id: of the account it must be from; None: any.
        message_id: the header webhook-id, which must be the message's own.
    Raises:
        ContractError: it is no message, or another's. The text says what, and repeats no value.
    """
    try:
        message = parse_json(body)
    except ValueError:
        raise _refused("the body is no JSON") from None
    if not isinstance(message, Mapping) or not isinstance(message.get("type"), str):
        raise _refused("the body is no message")
    if message.get("id") != message_id:
        raise _refused("'id' is not the header webhook-id")
    if account_id is not None and message.get("account_id") != account_id:
        raise _refused("'account_id' is not the connection's account")
    (kind,), data = _ids([message["type"]]) or ("unknown",), message.get("data")
    content: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    head = (source, message_id, kind)
    if kind in OF_SUBMISSIONS:
        return _of_submission(head, content)
    if kind in OF_PROSPECTS:
        return _of_prospect(head, content)
    if kind == ACTION_REQUESTED:
        return _of_action(head, content)
    return Accepted(Delivery(*head))


def _of_submission(head: tuple[str, str, str], submission: Mapping[str, Any]) -> Accepted:
    """A submission names its prospect, its event and form, unless it came thin."""
    known = any(isinstance(submission.get(name), Mapping) for name in ("event", "form"))
    scene = scene_of([{**submission, "state": None}]) if known else None
    return Accepted(Delivery(*head, prospect_ids=_ids([submission.get("prospect_id")]), scene=scene))


def _of_prospect(head: tuple[str, str, str], content: Mapping[str, Any]) -> Accepted:
    """One that is gone is looked up, with the one it was merged into: messages come in any order."""
    ids = _ids([content.get("id") or content.get("prospect_id"), content.get("merged_into")])
    whole = _whole(content)
    if whole is None or whole.prospect_id not in ids:
        return Accepted(Delivery(*head, prospect_ids=ids))
    return Accepted(Delivery(*head, prospect_ids=ids, scene=scene_of_prospect(whole.payload), whole=True), (whole,))


def _of_action(head: tuple[str, str, str], request: Mapping[str, Any]) -> Accepted:
    asked = request.get("prospect_ids")
    action = request.get("action_id")
    ids = _ids(asked if isinstance(asked, list) else [])
    return Accepted(Delivery(*head, prospect_ids=ids, action=next(iter(_ids([action])), None)))


def _whole(content: Mapping[str, Any]) -> SourcedProspect | None:
    """The prospect, when nothing is missing that a listing would have brought."""
    if not isinstance(content.get("submissions"), list) or shape_fault(content) is not None:
        return None
    prospect = sourced(dict(content))
    return prospect if scene_of_prospect(prospect.payload) is not None else None


def _ids(values: list[Any]) -> tuple[str, ...]:
    """Those that may be ids, each once."""
    return tuple(dict.fromkeys(v for v in values if isinstance(v, str) and v.strip() and _is_short(v)))


def _is_short(text: str) -> bool:
    return len(text) <= _MAX_ID and text.isprintable()


def _refused(detail: str) -> ContractError:
    return ContractError("read", "webhook", detail=detail)
