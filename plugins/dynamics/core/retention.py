"""What a prospect says about how long it may be kept, and what the nightly removal has done. Counts only, no person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


def retain_until(payload: Mapping[str, Any]) -> datetime | None:
    """Until when the prospect's own privacy settings let it be kept; None where they say nothing, or nothing readable.

    Returns:
        aware UTC; a time without its zone counts as UTC.
    """
    privacy = payload.get("privacy")
    text = privacy.get("retain_until") if isinstance(privacy, Mapping) else None
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Removal:
    """One page of prospects that were looked at.

    `removed`: whose personal data was removed. `working`: due, but still open in a run, or just being written: next
    night. `last`: the greatest prospect key of the page, None when there was none left.
    """

    looked_at: int
    removed: int
    working: int
    last: int | None
