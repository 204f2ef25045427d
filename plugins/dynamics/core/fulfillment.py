"""Decides what a delivered webhook asks for: which sync actions answer it, and when a running sync run is full.

A delivery names prospects, and mostly the event and form they were captured by. Where it does not, that is known only
when the prospect has been read, so the question is asked again then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dynamics.core.capture import SourcedProspect
from dynamics.core.crm import JsonObject

ROLL_AFTER_S = 600.0
ROLL_AFTER_PROSPECTS = 5_000


@dataclass(frozen=True)
class Scene:
    """Where a prospect was captured: ids of events and forms."""

    event_ids: frozenset[str] = frozenset()
    form_ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Delivery:
    """What a webhook says, without anything personal.

    Attributes:
        source: the connection it came in by. prospect_source: the `source` of its prospects in the ledger.
        prospect_ids: whom it is about; nobody: there is nothing to do.
        scene: None when only the prospects themselves can tell.
        action: the sync action it asks for by name, if it does.
        whole: the prospects came with it and are stored; else they are looked up.
    """

    source: str
    delivery_id: str
    type: str
    prospect_source: str = "captello"
    prospect_ids: tuple[str, ...] = ()
    scene: Scene | None = None
    action: str | None = None
    whole: bool = False


@dataclass(frozen=True)
class Repeats:
    """What makes a delivery a repetition: the last one of its series has the same mark, and came so many seconds ago
    at most. Ids of a series begin with `series` and rise, number first; they end with `mark`."""

    series: str
    mark: str
    within_s: float


@dataclass(frozen=True)
class Accepted:
    """A delivery and the prospects that came with it."""

    delivery: Delivery
    prospects: tuple[SourcedProspect, ...] = ()
    repeats: Repeats | None = None


@dataclass(frozen=True)
class Listener:
    """A sync action as far as deliveries are concerned: the events and forms it answers, all where none is named.

    `broken`: its file cannot be read, so nobody knows; what it may have to answer is kept for it.
    """

    action: str
    event_ids: frozenset[str] = frozenset()
    form_ids: frozenset[str] = frozenset()
    broken: bool = False

    def answers(self, scene: Scene | None) -> bool:
        """Whether it answers captures of this scene; what is not known may be."""
        if self.broken or scene is None:
            return True
        return (not self.event_ids or bool(self.event_ids & scene.event_ids)) and (
            not self.form_ids or bool(self.form_ids & scene.form_ids)
        )


def answering(delivery: Delivery, listeners: Iterable[Listener]) -> list[str]:
    """The actions that are to look at a delivery. One asked for by name is the only one, whatever events it answers."""
    if not delivery.prospect_ids:
        return []
    known = {listener.action: listener for listener in listeners}
    if delivery.action in known:
        return [delivery.action] if delivery.action is not None else []
    return [listener.action for listener in known.values() if listener.answers(delivery.scene)]


def scene_of(submissions: Iterable[Mapping[str, Any]]) -> Scene:
    """Where submissions were captured; those that were deleted do not count."""
    alive = [entry for entry in submissions if entry.get("state") != "deleted"]
    return Scene(_ids(alive, "event"), _ids(alive, "form"))


def scene_of_prospect(payload: JsonObject) -> Scene | None:
    """Where a prospect was captured; None for one that is gone, which whoever has synced it is to hear of."""
    if payload.get("deleted_at") or payload.get("deletion_reason"):
        return None
    return scene_of(payload.get("submissions") or ())


def is_full(has: int, age_s: float) -> bool:
    """Whether an open run is to be closed: it is long enough, or old enough, to be looked at."""
    return has > 0 and (has >= ROLL_AFTER_PROSPECTS or age_s >= ROLL_AFTER_S)


def repeated(members: Collection[str], arriving: Iterable[str]) -> bool:
    """Whether a run has one of these already: a prospect has one outcome a run."""
    return any(prospect_id in members for prospect_id in arriving)


def pause_s(attempts: int, first_s: float = 60.0, longest_s: float = 3600.0) -> float:
    """How long an errand is left alone after it was taken for the `attempts`-th time."""
    return float(min(first_s * 2 ** min(max(attempts - 1, 0), 20), longest_s))


def _ids(submissions: Iterable[Mapping[str, Any]], name: str) -> frozenset[str]:
    found = ((entry.get(name) or {}).get("id") for entry in submissions)
    return frozenset(value for value in found if isinstance(value, str) and value.isprintable())
