"""Says of a sample of prospects how many a mapping would reject or warn of, and why. Tells of columns and rules only.

What the CRM itself refuses (plug-ins, duplicates) nobody can tell beforehand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dynamics.core.capture import SourcedProspect
from dynamics.core.lookup import LookupAnswers
from dynamics.core.mapping import Mapped, apply_mapping, missing_required
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.metadata import TableMetadata
from dynamics.core.paths import has_own_key
from dynamics.core.prospect import READY, path_values, prospect_frame

_COUNTS = re.compile(r"\b\d+\b")  # lengths and numbers in a warning: prospects differ in them, reasons do not


@dataclass(frozen=True)
class Cause:
    """Why so many prospects would be rejected, or warned of."""

    column: str
    rule: str
    prospects: int


@dataclass(frozen=True)
class Forecast:
    """What one table's mapping makes of a sample. `creates`: as new records, else as updates of existing ones.

    `rejected` and `warned` count prospects; a prospect may be warned of for several reasons. `waits`: those that would
    be deferred, for a record they point to is missing. `unheard`: paths with a key of the customer's own, such as
    `custom.budget`, for which nobody in the sample has a value: the key may be misspelt.
    """

    table: str
    creates: bool
    prospects: int
    rejected: int
    warned: int
    rejections: tuple[Cause, ...]
    waits: tuple[Cause, ...]
    warnings: tuple[Cause, ...]
    unheard: tuple[str, ...] = ()


def sample_frame(sample: Sequence[SourcedProspect]) -> pd.DataFrame:
    """The frame of those prospects of a sample that would be synced now."""
    payloads = pd.Series([prospect.payload for prospect in sample], dtype=object)
    frame = prospect_frame(pd.DataFrame({"payload": payloads}))
    return frame[frame["state"] == READY]


def forecast(
    mapping: MappingTable, frame: pd.DataFrame, metadata: TableMetadata, creates: bool, lookups: LookupAnswers
) -> Forecast:
    """Map a sample without writing anything.

    Args:
        mapping: checked against this metadata.
        frame: as `sample_frame` gives it.
        creates: whether the prospects are to be new records of this table.
        lookups: an answer to each of `wanted_lookups`.
    """
    mapped = apply_mapping(mapping, frame, metadata, lookups)
    reasons = _incomplete(mapped, metadata) if creates else {}
    reasons |= {label: (reject.column, reject.rule) for label, reject in mapped.rejects.items()}
    waits = {label: reasons.pop(label) for label, reject in mapped.rejects.items() if reject.passing}
    warned = Counter(
        (where, _COUNTS.sub("n", what))
        for texts in mapped.warnings.values()
        for where, what in {_parted(text) for text in texts}
    )
    return Forecast(
        table=mapping.table,
        creates=creates,
        prospects=len(frame),
        rejected=len(reasons),
        warned=len(mapped.warnings),
        rejections=_causes(Counter(reasons.values())),
        waits=_causes(Counter(waits.values())),
        warnings=_causes(warned),
        unheard=_unheard(mapping, frame),
    )


def _unheard(mapping: MappingTable, frame: pd.DataFrame) -> tuple[str, ...]:
    values = path_values(frame, [path for path in mapping.paths if has_own_key(path)])
    return tuple(path for path, cells in values.items() if cells and not any(cell is not None for cell in cells))


def _incomplete(mapped: Mapped, metadata: TableMetadata) -> dict[Any, tuple[str, str]]:
    """Those without a column that a new record must bring; the first one."""
    found: dict[Any, tuple[str, str]] = {}
    for label, values in mapped.by_label.items():
        filled = {**mapped.defaults, **{name: value for name, value in values.items() if value is not None}}
        if missing := missing_required(metadata, filled):
            found[label] = (missing[0], "required")
    return found


def _parted(warning: str) -> tuple[str, str]:
    where, _, what = warning.partition(": ")
    return where, what


def _causes(counted: Counter[tuple[str, str]]) -> tuple[Cause, ...]:
    """The most frequent first."""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Cause(column, rule, prospects) for (column, rule), prospects in ordered)
