"""Changes prospects and says so: every change goes through here, and its webhooks go out from here.

Also the changes people and other systems make behind a client's back (`edit`), for tests and drills.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sandbox.capture.documents import Prospects, merge_patch
from sandbox.capture.webhooks import Outbox
from sandbox.capture.wire import Json, instant, new_id

MAX_PER_REQUEST = 500  # prospects in one `action.requested`
_NEEDED = {
    "change": ("id", "values"),
    "complete": ("id",),
    "hold": ("id",),
    "recycle": ("id",),
    "delete": ("id",),
    "erase": ("id",),
    "merge": ("id", "master"),
    "request_action": ("trigger", "action_id", "prospect_ids"),
}
_TRIGGERS = ("fulfillment_action", "automation", "bulk_action")


class Writing:
    """The one way to change a prospect."""

    def __init__(self, clock: Callable[[], datetime], prospects: Prospects, outbox: Outbox) -> None:
        self._clock = clock
        self._prospects = prospects
        self._outbox = outbox

    def now(self) -> str:
        return instant(self._clock())

    def create(self, prospect: Json) -> Json:
        """Store a new prospect; tells of it and of its submissions."""
        stored = self._prospects.save(_stamped({}, prospect, self.now()))
        self._outbox.emit("prospect.created", stored)
        self._tell_submissions({}, stored)
        return stored

    def change(self, old: Json, new: Json) -> Json:
        """Store a changed prospect; tells of it, of its changed submissions, and of changed consents."""
        stored = self._prospects.save(_stamped(old, new, self.now()))
        self._outbox.emit("prospect.updated", stored)
        self._tell_submissions(old, stored)
        if old.get("consents") != stored.get("consents"):
            self._outbox.emit("consent.changed", stored)
        return stored

    def delete(self, prospect_id: str, reason: str, merged_into: str | None = None) -> Json:
        """Leave a tombstone; tells of it."""
        tombstone = self._prospects.delete(prospect_id, reason, merged_into)
        self._outbox.emit("prospect.merged" if reason == "merge" else "prospect.deleted", tombstone)
        return tombstone

    def request_action(
        self, trigger: str, action_id: str, prospect_ids: Sequence[str], submission_id: str | None = None
    ) -> Json:
        """Ask subscribers to run an action on prospects, in batches of at most 500."""
        if trigger not in _TRIGGERS:
            raise ValueError(f"trigger: one of {', '.join(_TRIGGERS)}")
        run_id = new_id("run")
        batches = [prospect_ids[i : i + MAX_PER_REQUEST] for i in range(0, len(prospect_ids), MAX_PER_REQUEST)]
        for index, batch in enumerate(batches):
            request = {
                "trigger": trigger,
                "action_id": action_id,
                "run_id": run_id,
                "prospect_ids": list(batch),
                "batch_index": index,
                "batch_count": len(batches),
            }
            if submission_id is not None:
                request["submission_id"] = submission_id
            self._outbox.emit("action.requested", request)
        return {"run_id": run_id, "batch_count": len(batches)}

    def edit(self, change: Mapping[str, Any]) -> Json:
        """See `CaptureService.edit`."""
        action = str(change.get("action"))
        if action not in _NEEDED:
            raise ValueError(f"action: one of {', '.join(_NEEDED)}")
        missing = [name for name in _NEEDED[action] if name not in change]
        if missing:
            raise ValueError(f"{action} needs {', '.join(missing)}")
        if action == "request_action":
            return self.request_action(
                change["trigger"], change["action_id"], change["prospect_ids"], change.get("submission_id")
            )
        prospect = self._prospects.get(str(change["id"]))
        if prospect is None or "deleted_at" in prospect:
            raise ValueError("id: no such prospect")
        if action in ("delete", "erase"):
            return self.delete(prospect["id"], "user" if action == "delete" else "erasure")
        if action == "merge":
            return self.delete(prospect["id"], "merge", str(change["master"]))
        return self.change(prospect, merge_patch(prospect, _edited(action, prospect, change)))

    def _tell_submissions(self, old: Json, stored: Json) -> None:
        before = _submissions(old)
        for key, submission in _submissions(stored).items():
            known = before.get(key)
            if known is None:
                self._outbox.emit("submission.created", submission)
            elif known != submission:
                deleted = submission["state"] == "deleted" != known["state"]
                self._outbox.emit("submission.deleted" if deleted else "submission.updated", submission)


def _edited(action: str, prospect: Json, change: Mapping[str, Any]) -> Json:
    """The properties an edit changes."""
    if action == "change":
        return dict(change["values"])
    if action == "recycle":
        return {"status": "recycled"}
    if action == "hold":
        held = {"state": "on_hold", "hold_reason": "on hold"}
        return {"status": "on_hold", "submissions": [{**s, **held} for s in prospect.get("submissions", [])]}
    done = {"state": "complete", "hold_reason": None}
    return {"status": "active", "submissions": [{**s, **done} for s in prospect.get("submissions", [])]}


def _stamped(old: Json, new: Json, now: str) -> Json:
    """Changed submissions get the next revision and the time of their change."""
    before = _submissions(old)
    submissions = [
        submission
        if before.get(submission["id"]) == submission
        else {
            **submission,
            "prospect_id": new["id"],
            "revision": before.get(submission["id"], {}).get("revision", 0) + 1,
            "updated_at": now,
        }
        for submission in new.get("submissions") or ()
    ]
    return {**new, "submissions": submissions} if submissions else new


def _submissions(prospect: Json) -> dict[str, Json]:
    return {submission["id"]: submission for submission in prospect.get("submissions") or ()}
