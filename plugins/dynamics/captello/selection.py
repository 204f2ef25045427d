"""Whether a prospect is among those a run asks for, where the service cannot be asked: files, and prospects by id.

A prospect is chosen when one submission alone meets all conditions, as in the service's own listing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dynamics.captello.shape import instant, is_instant
from dynamics.sync.ports import JsonObject, Selection


def chooser(selection: Selection) -> Callable[[JsonObject], bool]:
    """The test that a prospect of good shape passes when it meets every condition that the selection names.

    A prospect that was never captured (no submissions) has its last change for the time of capture.
    """
    prospect_ids = frozenset(selection.prospect_ids)
    event_ids, form_ids = frozenset(selection.event_ids), frozenset(selection.form_ids)
    since, until = selection.captured_from, selection.captured_to

    def is_captured_then(submission: Mapping[str, Any]) -> bool:
        if since is None and until is None:
            return True
        text = submission.get("captured_at")
        if not isinstance(text, str) or not is_instant(text):
            return False
        at = instant(text)
        return (since is None or at >= since) and (until is None or at < until)

    def meets(submission: Mapping[str, Any]) -> bool:
        if submission.get("state") == "deleted":
            return False
        if event_ids and (submission.get("event") or {}).get("id") not in event_ids:
            return False
        if form_ids and (submission.get("form") or {}).get("id") not in form_ids:
            return False
        return is_captured_then(submission)

    def is_chosen(prospect: JsonObject) -> bool:
        if prospect_ids and prospect["id"] not in prospect_ids:
            return False
        if not event_ids and not form_ids and since is None and until is None:
            return True
        return any(map(meets, prospect.get("submissions") or ({"captured_at": prospect["updated_at"]},)))

    return is_chosen
