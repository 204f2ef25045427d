"""What a face asks for: which action, by which trigger, on which prospects. Stored with the run that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dynamics.core.capture import Selection

CAPTELLO = "captello_default"
WEBHOOK = "webhook"


@dataclass(frozen=True)
class RunRequest:
    """What a person or a schedule asks for. `overrides`: the params of `dynamics_bulk_sync` that change the action."""

    action: str
    trigger: str
    overrides: Mapping[str, Any]
    source: str = "captello"  # "captello" | "file" | "webhook"
    source_connection: str = CAPTELLO
    file: str | None = None
    selection: Selection = field(default_factory=Selection)
    dry_run: bool = False
    dag_id: str | None = None
    dag_run_id: str | None = None


def frozen(request: RunRequest) -> dict[str, Any]:
    """A request as it stands in the settings of its run."""
    chosen = request.selection
    return {
        "source": request.source,
        "source_connection": request.source_connection,
        "file": request.file,
        "captured_from": chosen.captured_from.isoformat() if chosen.captured_from else None,
        "captured_to": chosen.captured_to.isoformat() if chosen.captured_to else None,
        "event_ids": list(chosen.event_ids),
        "form_ids": list(chosen.form_ids),
        "prospect_ids": list(chosen.prospect_ids),
    }


def selection_of(request: Mapping[str, Any]) -> Selection:
    """The selection of a stored request."""
    return Selection(
        captured_from=datetime.fromisoformat(request["captured_from"]) if request["captured_from"] else None,
        captured_to=datetime.fromisoformat(request["captured_to"]) if request["captured_to"] else None,
        event_ids=tuple(request["event_ids"]),
        form_ids=tuple(request["form_ids"]),
        prospect_ids=tuple(request["prospect_ids"]),
    )
