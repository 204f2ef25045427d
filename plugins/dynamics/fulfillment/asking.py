"""Whom errands ask for: the prospects that their deliveries brought, and those that their source is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dynamics.captello.message import ACTION_REQUESTED
from dynamics.captello.source import CaptelloSource
from dynamics.core.capture import DiscoveredProspect, SourcedProspect
from dynamics.core.fulfillment import Delivery, Listener, scene_of_prospect
from dynamics.core.matching import with_match_keys
from dynamics.errors import AccountError, ContractError, StoppedError, TransientError
from dynamics.fulfillment.lookup import LookUp
from dynamics.store.faults import SUBJECT as AUDIT_DATABASE
from dynamics.store.inbox import Errand

Found = dict[tuple[str, str], SourcedProspect]  # (connection, prospect id) -> as its source has it now


@dataclass(frozen=True)
class Unread:
    """An errand whose prospects could not be read. `by_contract`: for what the source has answered about them."""

    errand: Errand
    fault: AccountError | TransientError

    @property
    def by_contract(self) -> bool:
        return isinstance(self.fault, ContractError)


@dataclass
class Asked:
    """What errands ask for.

    Attributes:
        wanted: source -> prospect id -> whether it is to be synced even if this revision has been.
        unknown: errands with a prospect that its source does not know, or not yet: it may be behind its own webhook.
        unread: errands that must wait for their source; nobody is wanted for their sake.
    """

    wanted: dict[str, dict[str, bool]] = field(default_factory=dict)
    unknown: list[Errand] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


class Asking:
    """Reads the errands of one action. `keep` stores prospects of a source. For one thread; close it."""

    def __init__(self, action: str, look_up: LookUp, keep: Callable[[str, Sequence[DiscoveredProspect]], None]) -> None:
        self._action, self._look_up, self._keep = action, look_up, keep
        self._bad_sources: dict[str, AccountError | TransientError] = {}

    @property
    def trouble(self) -> AccountError | TransientError | None:
        """Why some source cannot be asked at the moment."""
        return next(iter(self._bad_sources.values()), None)

    def close(self) -> None:
        self._look_up.close()

    def read(self, errands: Sequence[Errand], listener: Listener | None) -> Asked:
        """Whom the errands ask for. What is looked up is stored too.

        Raises: what `LookUp.find` and the store raise, when the worker is told to stop or the audit database is away.
        """
        asked = Asked()
        found = self._looked_up(errands, asked)
        unread = {each.errand for each in asked.unread}
        for errand in errands:
            if errand not in unread:
                self._add(errand, found, listener, asked)
        return asked

    def _add(self, errand: Errand, found: Found, listener: Listener | None, asked: Asked) -> None:
        delivery = errand.delivery
        ids = asked.wanted.setdefault(delivery.prospect_source, {})
        for prospect_id in delivery.prospect_ids:
            known = found.get((delivery.source, prospect_id))
            if delivery.whole or (known is not None and self._is_asked(delivery, known, listener)):
                ids[prospect_id] = ids.get(prospect_id, False) or delivery.type == ACTION_REQUESTED
            elif known is None and errand not in asked.unknown:
                asked.unknown.append(errand)

    def _is_asked(self, delivery: Delivery, prospect: SourcedProspect, listener: Listener | None) -> bool:
        """What could not be told by the delivery is told by the prospect."""
        if delivery.action == self._action or delivery.scene is not None:
            return True
        return listener is None or listener.answers(scene_of_prospect(prospect.payload))

    def _looked_up(self, errands: Iterable[Errand], asked: Asked) -> Found:
        """Of deliveries that did not bring their prospects."""
        found: Found = {}
        named = [errand for errand in errands if not errand.delivery.whole]
        for source in dict.fromkeys(errand.delivery.source for errand in named):
            found |= self._look(source, [errand for errand in named if errand.delivery.source == source], asked)
        return found

    def _look(self, source: str, errands: Sequence[Errand], asked: Asked) -> Found:
        """What `_find` finds. A source that cannot be asked holds up its own errands only, and an answer that cannot
        be read the one errand that it is about."""
        try:
            found = self._find(source, errands)
        except ContractError as fault:
            if len(errands) == 1:
                asked.unread.append(Unread(errands[0], fault))
                return {}
            each = [self._look(source, [errand], asked) for errand in errands]
            return {key: prospect for part in each for key, prospect in part.items()}
        except (AccountError, TransientError) as fault:
            if isinstance(fault, StoppedError) or fault.subject == AUDIT_DATABASE:
                raise
            asked.unread += [Unread(errand, fault) for errand in errands]
            self._bad_sources[source] = fault
            return {}
        self._bad_sources.pop(source, None)
        return found

    def _find(self, source: str, errands: Sequence[Errand]) -> Found:
        ids = {prospect_id: None for errand in errands for prospect_id in errand.delivery.prospect_ids}
        prospects = self._look_up.find(source, list(ids))
        self._keep(CaptelloSource.name, with_match_keys(list(prospects.values())) if prospects else [])
        return {(source, prospect_id): prospect for prospect_id, prospect in prospects.items()}
