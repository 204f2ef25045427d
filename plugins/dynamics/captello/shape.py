"""Whether something that calls itself a prospect has the form of one, so that readers further on need not ask.

Looks at the containers and at what identifies a prospect, not at every value: an unknown property or word is
no fault. A text in a finding names properties, never values. Source: Capture Source API v1, prospect schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from dynamics.core.capture import SourcedProspect
from dynamics.core.crm import JsonObject

_TEXTS = (
    *("status", "created_at", "updated_at", "deleted_at", "deletion_reason", "merged_into", "lead_source"),
    *("salutation", "first_name", "middle_name", "last_name", "suffix", "email", "website", "language", "time_zone"),
    *("job_title", "department", "seniority"),
)
_OBJECTS = ("company", "owner", "rating", "privacy", "custom_fields", "external_ids", "social")
_LISTS = ("phones", "emails", "addresses", "consents", "notes", "submissions", "attachments")
_OF_SUBMISSION = ("event", "form", "station", "captured_by", "device", "badge", "location")


def shape_fault(prospect: object) -> str | None:
    """What of it is not as the schema has it; None when it will do."""
    if not isinstance(prospect, Mapping):
        return "it is no JSON object"
    return next(_faults(prospect), None)


def sourced(prospect: JsonObject) -> SourcedProspect:
    """A prospect without a fault, with what the ledger orders by."""
    return SourcedProspect(prospect["id"], prospect["revision"], instant(prospect["updated_at"]), prospect)


def instant(text: str) -> datetime:
    """Aware UTC from an RFC 3339 text. Raises ValueError: it is none, or it names no time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


def is_instant(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        instant(text)
    except (ValueError, OverflowError):
        return False
    return True


def _faults(prospect: Mapping[str, Any]) -> Iterator[str]:
    identity = prospect.get("id")
    if not isinstance(identity, str) or not identity.strip():
        yield "'id' is no text"
    revision = prospect.get("revision")
    if not isinstance(revision, int) or isinstance(revision, bool) or not 1 <= revision < 2**63:
        yield "'revision' is no whole number from 1"
    if not is_instant(prospect.get("updated_at")):
        yield "'updated_at' is no time with its zone"
    if not _deleted(prospect) and not _named(prospect):
        yield "it has neither 'email' nor 'first_name' and 'last_name'"
    yield from _of_kind(prospect, _TEXTS, str, "text")
    yield from _of_kind(prospect, _OBJECTS, dict, "object")
    yield from _of_kind(prospect, ("tags",), list, "list")
    yield from _lists(prospect, _LISTS, "")
    for submission in prospect.get("submissions") or ():
        yield from _of_kind(submission, _OF_SUBMISSION, dict, "object", "submissions.")
        yield from _lists(submission, ("answers",), "submissions.")


def _deleted(prospect: Mapping[str, Any]) -> bool:
    return bool(prospect.get("deleted_at") or prospect.get("deletion_reason"))


def _named(prospect: Mapping[str, Any]) -> bool:
    def filled(name: str) -> bool:
        value = prospect.get(name)
        return isinstance(value, str) and bool(value.strip())

    return filled("email") or (filled("first_name") and filled("last_name"))


def _of_kind(holder: Mapping[str, Any], names: Iterable[str], kind: type, word: str, prefix: str = "") -> Iterator[str]:
    for name in names:
        if holder.get(name) is not None and not isinstance(holder[name], kind):
            yield f"'{prefix}{name}' is no {word}"


def _lists(holder: Mapping[str, Any], names: Iterable[str], prefix: str) -> Iterator[str]:
    """Lists of objects."""
    for name in names:
        entries = holder.get(name)
        if entries is not None and not (
            isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        ):
            yield f"'{prefix}{name}' is no list of objects"
