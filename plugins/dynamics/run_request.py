"""What a face asks for: which action, by which trigger, on which prospects. Stored with the run that comes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from dynamics.core.capture import Selection
from dynamics.core.ledger import Outcome, Run
from dynamics.errors import ConfigurationError, Fault

CAPTELLO = "captello_default"
LEDGER, WEBHOOK = "ledger", "webhook"
AUTOMATION, BACKFILL = "automation", "backfill"  # triggers
RETRIED = (Outcome.REJECTED, Outcome.DEFERRED)
MAY_BE_RETRIED = (*RETRIED, Outcome.SKIPPED)  # the others are in the CRM as they should be


@dataclass(frozen=True)
class Retried:
    """What a retry takes up: what a run has left with these outcomes, and what is still open there."""

    run_id: UUID
    outcomes: tuple[Outcome, ...] = RETRIED


@dataclass(frozen=True)
class RunRequest:
    """What a person or a schedule asks for. `overrides`: the params of `dynamics_bulk_sync` that change the action."""

    action: str
    trigger: str
    overrides: Mapping[str, Any]
    source: str = "captello"  # "captello" | "file" | "webhook" | "ledger"
    source_connection: str = CAPTELLO
    file: str | None = None
    selection: Selection = field(default_factory=Selection)
    dry_run: bool = False
    dag_id: str | None = None
    dag_run_id: str | None = None
    clear_number: int = 0
    retried: Retried | None = None  # for source "ledger"


def retry_of(run: Run, outcomes: Collection[Outcome], **asked: Any) -> RunRequest:
    """A retry of a run: under its action as it is today, with the overrides that the run had.

    It goes to the account of that run, also when the action names another one today: what a run has left over in one
    organisation is no wish to write to another.

    Args:
        outcomes: which of the run's prospects; none means what was rejected or deferred.
        asked: other fields of the request.
    """
    overrides = {**run.settings["request"].get("overrides", {}), "account": run.account}
    retried = Retried(run.run_id, tuple(outcomes) or RETRIED)
    return RunRequest(run.action, "retry", overrides, source=LEDGER, retried=retried, **asked)


def retried_of(request: Mapping[str, Any]) -> Retried:
    """What a stored request takes up."""
    return Retried(UUID(request["retried"]["run_id"]), tuple(map(Outcome, request["retried"]["outcomes"])))


def outcomes_to_retry(words: Collection[str]) -> tuple[Outcome, ...]:
    """Raises ConfigurationError for a word that is no outcome, or one of which nothing is left to do."""
    known = [outcome.value for outcome in MAY_BE_RETRIED]
    wrong = [word for word in words if word not in known]
    if wrong:
        remedy = f"Choose from: {', '.join(known)}."
        raise ConfigurationError([Fault("params", None, f"'{word}' is nothing to retry.", remedy) for word in wrong])
    return tuple(Outcome(word) for word in words)


def run_id_from(text: object, name: str) -> UUID:
    """A param that names a run. Raises ConfigurationError when it can be no run's id."""
    try:
        return UUID(str(text).strip())
    except ValueError:
        remedy = "Copy it from the run's log, from its page, or from `dynamics-sync log`."
        raise ConfigurationError([Fault("params", None, f"{name} is no id of a run.", remedy)]) from None


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
        "owner_ids": list(chosen.owner_ids),
        "overrides": dict(request.overrides),
        "retried": _frozen(request.retried) if request.retried else None,
    }


def _frozen(retried: Retried) -> dict[str, Any]:
    return {"run_id": str(retried.run_id), "outcomes": [outcome.value for outcome in retried.outcomes]}


def selection_of(request: Mapping[str, Any]) -> Selection:
    """The selection of a stored request."""
    return Selection(
        captured_from=datetime.fromisoformat(request["captured_from"]) if request["captured_from"] else None,
        captured_to=datetime.fromisoformat(request["captured_to"]) if request["captured_to"] else None,
        event_ids=tuple(request["event_ids"]),
        form_ids=tuple(request["form_ids"]),
        prospect_ids=tuple(request["prospect_ids"]),
        owner_ids=tuple(request.get("owner_ids", ())),  # runs of older releases name none
    )
