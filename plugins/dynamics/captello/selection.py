"""Whether a prospect is among those a run asks for, where the service cannot be asked: files, and prospects by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dynamics.captello.shape import instant, is_instant
from dynamics.core.capture import Selection
from dynamics.core.crm import JsonObject


def chooser(selection: Selection) -> Callable[[JsonObject], bool]:
    """The test that a prospect of good shape passes when it meets every condition that the selection names.

    Each condition is met by any one submission, as in the service's own listing. A prospect that was never captured (no
    submissions) has its last change for the time of capture.
    """
    prospect_ids = frozenset(selection.prospect_ids)
    event_ids, form_ids = frozenset(selection.event_ids), frozenset(selection.form_ids)
    owner_ids, since, until = frozenset(selection.owner_ids), selection.captured_from, selection.captured_to

    def is_captured_then(submission: Mapping[str, Any]) -> bool:
        text = submission.get("captured_at")
        if not isinstance(text, str) or not is_instant(text):
            return False
        at = instant(text)
        return (since is None or at >= since) and (until is None or at < until)

    def is_chosen(prospect: JsonObject) -> bool:
        if prospect_ids and prospect["id"] not in prospect_ids:
            return False
        if event_ids and not _referred("event", prospect) & event_ids:
            return False
        if form_ids and not _referred("form", prospect) & form_ids:
            return False
        if owner_ids and (prospect.get("owner") or {}).get("id") not in owner_ids:
            return False
        if selection.updated_from is not None and instant(prospect["updated_at"]) < selection.updated_from:
            return False
        if since is None and until is None:
            return True
        return any(map(is_captured_then, _submissions(prospect) or [{"captured_at": prospect["updated_at"]}]))

    return is_chosen


def _submissions(prospect: JsonObject) -> list[JsonObject]:
    return [entry for entry in prospect.get("submissions") or () if entry.get("state") != "deleted"]


def _referred(name: str, prospect: JsonObject) -> set[object]:
    """Ids of the events or forms by which it was captured."""
    return {(submission.get(name) or {}).get("id") for submission in _submissions(prospect)}
