"""The port `Source` on a Captello account: a selection becomes listings or lookups, each prospect comes once.

Decides nothing about a prospect but that it has a prospect's form. Source: Capture Source API v1, listing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product

from dynamics.captello.client import CaptelloClient
from dynamics.captello.selection import chooser
from dynamics.captello.shape import shape_fault, sourced
from dynamics.core.capture import Selection, SourcedProspect
from dynamics.core.crm import JsonObject
from dynamics.errors import ContractError

log = logging.getLogger("dynamics.captello")

_SHOWN = 5


class CaptelloSource:
    """Prospects of one Captello account."""

    name = "captello"

    def __init__(self, client: CaptelloClient) -> None:
        self._client = client

    def pages(self, selection: Selection) -> Iterator[Sequence[SourcedProspect]]:
        """Yield the selected prospects in pages of up to 200, each once.

        In the order of their last change; with several events, forms or owners each has its own listing, one after the
        other.
        Raises as `CaptelloClient`, and ContractError for a prospect that has not the form of one.
        """
        seen: set[str] = set()
        for page in self._by_id(selection) if selection.prospect_ids else self._listed(selection):
            fresh = []
            for prospect in page:
                _check(prospect)
                if prospect["id"] not in seen:
                    seen.add(prospect["id"])
                    fresh.append(sourced(prospect))
            if fresh:
                yield fresh

    def _listed(self, selection: Selection) -> Iterator[Sequence[JsonObject]]:
        """The service takes one event, one form and one owner a listing."""
        times = {
            "captured_since": selection.captured_from,
            "captured_until": selection.captured_to,
            "updated_since": selection.updated_from,
        }
        window = {name: _rfc3339(at) for name, at in times.items() if at is not None}
        ids = (selection.event_ids, selection.form_ids, selection.owner_ids)
        for event_id, form_id, owner_id in product(*(listed or (None,) for listed in ids)):
            chosen = {"event_id": event_id, "form_id": form_id, "owner_id": owner_id}
            yield from self._client.prospects(window | {name: value for name, value in chosen.items() if value})

    def _by_id(self, selection: Selection) -> Iterator[Sequence[JsonObject]]:
        asked = tuple(dict.fromkeys(selection.prospect_ids))
        found: set[object] = set()
        is_chosen = chooser(selection)
        for page in self._client.lookup(asked):
            found.update(prospect.get("id") for prospect in page)
            for prospect in page:
                _check(prospect)
            yield [prospect for prospect in page if is_chosen(prospect)]
        unknown = [prospect_id for prospect_id in asked if prospect_id not in found]
        if unknown:
            shown = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
            log.warning("%d of %d prospect ids are not known to the source: %s", len(unknown), len(asked), shown)


def _check(prospect: JsonObject) -> None:
    fault = shape_fault(prospect)
    if fault is not None:
        raise ContractError("read", f"prospect {prospect.get('id')}", detail=fault)


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
