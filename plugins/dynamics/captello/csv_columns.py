"""The columns that a CSV file of prospects may have, and how a cell of each is read.

A column is named as a mapping names the same value (`company.name`). Texts stay as written; a cell that must
be a time, a number or one of a few words, and is not, is a fault. Source: prospect schema of the Capture
Source API v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dynamics.captello.shape import instant

CUSTOM = "custom."
_CUSTOM_COLUMN = re.compile(r"custom\.[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Kind:
    """How a cell is read. `read` raises ValueError when the text is not what is `wanted`."""

    wanted: str
    read: Callable[[str], object]


def kind_of(column: str) -> Kind | None:
    """The kind of a column; None when there is no such column."""
    return COLUMNS.get(column) or (TEXT if _CUSTOM_COLUMN.fullmatch(column) else None)


def _instant(text: str) -> str:
    return instant(text).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not least <= int(text[:19]) < 10**18:
            raise ValueError
        return int(text)

    return read


def _word(*words: str) -> Kind:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Kind(f"one of: {', '.join(words)}", read)


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _country(text: str) -> str:
    if not (len(text) == 2 and text.isascii() and text.isupper()):
        raise ValueError
    return text


def _tags(text: str) -> list[str]:
    return list(dict.fromkeys(tag.strip() for tag in text.split(";") if tag.strip()))


TEXT = Kind("a text", str)
INSTANT = Kind("a time with its zone, such as 2026-03-14T09:15:30Z", _instant)
TRUTH = Kind("true or false", _truth)

COLUMNS: dict[str, Kind] = {
    "prospect_id": TEXT,
    "revision": Kind("a whole number from 1", _whole(1)),
    "status": _word("active", "on_hold", "recycled"),
    "created_at": INSTANT,
    "updated_at": INSTANT,
    **dict.fromkeys(("salutation", "first_name", "middle_name", "last_name", "suffix", "email"), TEXT),
    **dict.fromkeys(("job_title", "department", "website", "language", "lead_source"), TEXT),
    **dict.fromkeys(("company.name", "company.website", "company.domain", "company.industry", "company.phone"), TEXT),
    "company.employee_count": Kind("a whole number", _whole(0)),
    **dict.fromkeys(("phones.work", "phones.mobile", "phones.home", "phones.fax", "phones.other"), TEXT),
    **dict.fromkeys(("address.line1", "address.line2", "address.city", "address.region"), TEXT),
    **dict.fromkeys(("address.postal_code", "address.country"), TEXT),
    "address.country_code": Kind("a code of two capital letters, such as GB", _country),
    **dict.fromkeys(("owner.id", "owner.email", "owner.name"), TEXT),
    **dict.fromkeys(("rating.scale", "rating.value", "rating.label"), TEXT),
    **dict.fromkeys(("privacy.do_not_email", "privacy.do_not_bulk_email", "privacy.do_not_phone"), TRUTH),
    **dict.fromkeys(("privacy.do_not_mail", "privacy.processing_restricted"), TRUTH),
    "submission.id": TEXT,
    "submission.captured_at": INSTANT,
    "submission.method": TEXT,
    "submission.state": _word("complete", "on_hold", "awaiting_transcription", "awaiting_reconciliation", "deleted"),
    **dict.fromkeys(("event.id", "event.name", "event.code", "form.id", "form.name"), TEXT),
    "tags": Kind("texts parted by semicolons", _tags),
    "notes.all": TEXT,
}
