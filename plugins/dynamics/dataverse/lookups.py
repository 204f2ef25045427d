"""Looks records up by what stands in a column, keeps them in mind for a while, and writes references for the wire.

Which record is meant is decided in `core.lookup`. Only what was found is remembered: what is missing may be made at any
time, and is asked for again.

Source: Microsoft Learn, "Associate and disassociate table rows using the Web API".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from dynamics.core.crm import CandidateQuery, JsonObject, RecordWrite, WriteReport, WriteState
from dynamics.core.lookup import LookupKey, LookupMiss, lookup_answers, lookup_queries, parse_lookup, references
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.parties import parties_on_the_wire
from dynamics.sync.ports import Clock

KEPT_S = 600.0
MOST_KEPT = 50_000

Metadata = Callable[[str], TableMetadata]
Find = Callable[[Sequence[CandidateQuery]], list[JsonObject]]


class Lookups:
    """The records found in the last minutes. May be shared by threads."""

    def __init__(self, metadata: Metadata, find: Find, clock: Clock) -> None:
        self._metadata = metadata
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[LookupKey, tuple[str, float]] = {}  # the reference, and when it was found; oldest first

    def look_up(self, keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        """See `Crm.look_up`. One request for all that is not known, more only for very many texts."""
        since = self._clock.monotonic() - KEPT_S
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        answers: dict[LookupKey, str | LookupMiss] = {key: kept for key, (kept, at) in known.items() if at > since}
        unknown = [key for key in keys if key not in answers]
        if unknown:
            queries = lookup_queries(unknown, {key.table: self._metadata(key.table) for key in unknown})
            found = lookup_answers(unknown, self._find(queries) if queries else ())
            self._keep(found)
            answers |= found
        return answers

    def _keep(self, found: dict[LookupKey, str | LookupMiss]) -> None:
        now = self._clock.monotonic()
        with self._lock:
            for key, answer in found.items():
                if isinstance(answer, str):
                    self._kept.pop(key, None)
                    self._kept[key] = (answer, now)
            for key in list(self._kept)[: max(len(self._kept) - MOST_KEPT, 0)]:
                del self._kept[key]

    def heed(self, writes: Iterable[RecordWrite], report: WriteReport) -> WriteReport:
        """Forget the records that writes pointed to in vain: they are looked up anew when the rows are tried again."""
        lost = [write for write in writes if report.results[write.record_id].state is WriteState.TARGET_GONE]
        vain = frozenset[str]().union(*(references(write.values.values()) for write in lost))
        if vain:
            with self._lock:
                self._kept = {key: kept for key, kept in self._kept.items() if kept[0] not in vain}
        return report


def on_the_wire(table: TableMetadata, values: JsonObject, metadata: Metadata) -> JsonObject:
    """Values under the names that the service takes: a reference goes to the navigation property of its target.

    A lookup is cleared by any of its navigation properties, whatever it points to: they share one column.
    """
    values = parties_on_the_wire(table, values, metadata)
    if table.lookups.isdisjoint(values):
        return values
    wire: JsonObject = {}
    for column, value in values.items():
        if column not in table.lookups:
            wire[column] = value
            continue
        bound_by = table.columns[column].navigation
        if value is None:
            wire[f"{next(iter(bound_by.values()))}@odata.bind"] = None
        else:
            target, record_id = parse_lookup(value)
            wire[f"{bound_by[target]}@odata.bind"] = f"/{metadata(target).entity_set}({record_id})"
    return wire
