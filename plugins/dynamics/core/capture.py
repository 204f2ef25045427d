"""What a source gives: which prospects a run asks for, and each as it was delivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dynamics.core.crm import JsonObject


@dataclass(frozen=True)
class Selection:
    """Which prospects a run asks its source for. Empty means all; times are aware UTC, `captured_to` is exclusive."""

    captured_from: datetime | None = None
    captured_to: datetime | None = None
    event_ids: tuple[str, ...] = ()
    form_ids: tuple[str, ...] = ()
    prospect_ids: tuple[str, ...] = ()
    owner_ids: tuple[str, ...] = ()
    updated_from: datetime | None = None


@dataclass(frozen=True)
class SourcedProspect:
    """One prospect as its source delivered it; `payload` follows the Capture Source API's prospect schema."""

    prospect_id: str
    revision: int
    updated_at: datetime
    payload: JsonObject


@dataclass(frozen=True)
class DiscoveredProspect:
    """A prospect with its hashed match keys, by which the queue keeps the prospects of one person together."""

    prospect: SourcedProspect
    email_key: str | None
    name_key: str | None
