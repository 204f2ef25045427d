"""Which prospects an automation takes: its `where` as a value, and the test that a prospect passes or not.

All conditions must hold; of the values of one condition any one will do. Nothing is guessed: ids, tags and words are
compared letter by letter, and what a prospect does not say meets no condition. Events and forms are met by any one
submission that was not deleted, as in the source's own listing; answers and consents count as they would be mapped: the
newest answer, the statement recorded last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from dynamics.core.crm import JsonObject
from dynamics.core.prospect import path_values, prospect_frame

Plain = str | int | float | bool


@dataclass(frozen=True)
class Where:
    """The conditions; empty ones are none. `answers` and `consent`: question or purpose -> values that will do."""

    event_ids: tuple[str, ...] = ()
    form_ids: tuple[str, ...] = ()
    owner_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    answers: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)
    consent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def asks_nothing(self) -> bool:
        return self == Where()


def chosen(payloads: Sequence[JsonObject], where: Where) -> list[bool]:
    """Whether each prospect meets all conditions.

    Args:
        payloads: prospects of the Capture Source API's schema.
    Returns:
        one answer a prospect, in their order.
    """
    if where.asks_nothing or not payloads:
        return [True] * len(payloads)
    passed = [_is_there(payload, where) for payload in payloads]
    answers = {f"answer.{key}": values for key, values in where.answers.items()}
    consents = {f"consent.{purpose}.state": states for purpose, states in where.consent.items()}
    wanted: dict[str, tuple[Plain, ...]] = {**answers, **consents}
    if wanted:
        frame = prospect_frame(pd.DataFrame({"payload": pd.Series(list(payloads), dtype=object)}))
        for path, found in path_values(frame, wanted).items():
            passed = [before and _says(value, wanted[path]) for before, value in zip(passed, found, strict=True)]
    return passed


def _is_there(payload: JsonObject, where: Where) -> bool:
    """The conditions on ids and tags."""
    submissions = [entry for entry in payload.get("submissions") or () if entry.get("state") != "deleted"]

    def referred(name: str) -> set[object]:
        return {(submission.get(name) or {}).get("id") for submission in submissions}

    if where.event_ids and not referred("event") & set(where.event_ids):
        return False
    if where.form_ids and not referred("form") & set(where.form_ids):
        return False
    if where.owner_ids and (payload.get("owner") or {}).get("id") not in where.owner_ids:
        return False
    return not where.tags or not set(where.tags).isdisjoint(payload.get("tags") or ())


def _says(value: object, wanted: tuple[Plain, ...]) -> bool:
    """Whether a value, or one of several, is one of those wanted."""
    said = value if isinstance(value, list) else [value]
    return any(_same(each, want) for each in said for want in wanted)


def _same(said: object, wanted: Plain) -> bool:
    """A number is met by the number and by its text; true and false by themselves alone."""
    if isinstance(said, bool) or isinstance(wanted, bool):
        return said is wanted
    if isinstance(said, (int, float)) and isinstance(wanted, (int, float)):
        return said == wanted
    return isinstance(said, (str, int, float)) and str(said).strip() == str(wanted).strip()
