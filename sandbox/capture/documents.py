"""Prospects in memory: what is stored, when it counts as changed, and what of it is shown.

Every write moves a prospect behind all others in the listing: `updated_at` grows by at least a millisecond, `revision`
by one. Deleted prospects leave a tombstone. HTTP is `prospects`' affair.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from sandbox.capture.listing import Row, Table
from sandbox.capture.query import email_key
from sandbox.capture.wire import Json, instant

DELETION_REASONS = ("user", "merge", "erasure")


class Prospects:
    """All prospects of the account, and the submissions inside them as a list of its own."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.table = Table()
        self._by_email: dict[str, set[str]] = {}
        self._submissions: Table | None = None

    def load(self, prospects: Iterable[Mapping[str, Any]]) -> int:
        """Add or replace as given, revision and times included."""
        return self._put([_row(prospect) for prospect in prospects])

    def clear(self) -> None:
        """Forget everything."""
        self.table.clear()
        self._by_email.clear()
        self._submissions = None

    def get(self, prospect_id: str) -> Json | None:
        """The whole prospect, or its tombstone."""
        row = self.table.get(prospect_id)
        return None if row is None else orjson.loads(row.body)

    def with_email(self, address: str) -> list[str]:
        """Ids of the prospects with this address, whatever its case."""
        return sorted(self._by_email.get(email_key(address), ()))

    def save(self, prospect: Json) -> Json:
        """Store a changed or new prospect under the next revision; returns it as stored."""
        stored = {**prospect, "revision": self._revision(prospect["id"]) + 1, "updated_at": self._next_instant()}
        stored.setdefault("created_at", stored["updated_at"])
        self._put([_row(stored)])
        return stored

    def annotate(self, prospect: Json) -> None:
        """Store what is no change of the prospect itself: revision and place in the listing stay."""
        self._put([_row(prospect)])

    def delete(self, prospect_id: str, reason: str, merged_into: str | None = None) -> Json:
        """Replace a prospect by its tombstone, which holds nothing of the person."""
        now = self._next_instant()
        tombstone = {
            "id": prospect_id,
            "revision": self._revision(prospect_id) + 1,
            "updated_at": now,
            "deleted_at": now,
            "deletion_reason": reason,
            "merged_into": merged_into,
        }
        self._put([_row(tombstone)])
        return tombstone

    @property
    def submissions(self) -> Table:
        """Every submission of a prospect that is still there; made when asked for."""
        if self._submissions is None:
            self._submissions = Table()
            alive = (orjson.loads(row.body) for row in self.table.rows() if not row.deleted)
            self._submissions.put(
                _submission_row(submission) for prospect in alive for submission in prospect.get("submissions") or ()
            )
        return self._submissions

    def _revision(self, prospect_id: str) -> int:
        prospect = self.get(prospect_id)
        return 0 if prospect is None else int(prospect["revision"])

    def _put(self, rows: list[Row]) -> int:
        self._submissions = None
        for row in rows:
            old = self.table.get(row.id)
            for key in old.values.get("email", ()) if old is not None else ():
                self._by_email[key].discard(row.id)
            for key in row.values.get("email", ()):
                self._by_email.setdefault(key, set()).add(row.id)
        return self.table.put(rows)

    def _next_instant(self) -> str:
        """Now, or, when something was changed just now or later, the millisecond after that."""
        now, last = instant(self._clock()), self.table.last_change
        if now > last:
            return now
        return instant(datetime.fromisoformat(last) + timedelta(milliseconds=1))


def merge_patch(target: Json, patch: Json) -> Json:
    """RFC 7396: objects merge, null removes, everything else replaces."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            old = merged.get(name)
            merged[name] = merge_patch(old if isinstance(old, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def visible(prospect: Json, parts: Collection[str]) -> Json:
    """What a listing shows of a prospect: submissions, their answers, attachments and consents only when asked for."""
    hidden = {"submissions", "attachments", "consents"} - set(parts)
    shown = {name: value for name, value in prospect.items() if name not in hidden}
    if "answers" not in parts and "submissions" in shown:
        shown["submissions"] = [
            {name: value for name, value in submission.items() if name != "answers"}
            for submission in shown["submissions"]
        ]
    return shown


def _row(prospect: Mapping[str, Any]) -> Row:
    body = orjson.dumps(prospect)
    if "deleted_at" in prospect:
        return Row(prospect["id"], prospect["updated_at"], body, deleted=True)
    submissions = [s for s in prospect.get("submissions") or () if s.get("state") != "deleted"]
    email = prospect.get("email")
    values = {
        "event_id": _ids(submissions, "event"),
        "form_id": _ids(submissions, "form"),
        "captured_by_id": _ids(submissions, "captured_by"),
        "owner_id": _ids([prospect], "owner"),
        "status": frozenset({prospect["status"]}),
        "email": frozenset({email_key(email)} if email else ()),
    }
    captured = tuple(submission["captured_at"] for submission in submissions)
    return Row(prospect["id"], prospect["updated_at"], body, captured=captured, values=values)


def _submission_row(submission: Json) -> Row:
    values = {
        "event_id": _ids([submission], "event"),
        "form_id": _ids([submission], "form"),
        "captured_by_id": _ids([submission], "captured_by"),
        "prospect_id": frozenset({submission["prospect_id"]}),
        "state": frozenset({submission["state"]}),
    }
    changed = submission.get("updated_at") or submission["received_at"]
    captured = (submission["captured_at"],)
    return Row(submission["id"], changed, orjson.dumps(submission), captured=captured, values=values)


def _ids(owners: Iterable[Mapping[str, Any]], name: str) -> frozenset[str]:
    return frozenset(owner[name]["id"] for owner in owners if owner.get(name))
