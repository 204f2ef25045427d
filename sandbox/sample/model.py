"""The values of the sample: what the generator hands out, and the known result of syncing it.

Decides nothing. Files (`write_json`, `write_csv`, `write_expected`) are written by `files`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.sample import files

Json = dict[str, Any]

OUTCOMES = ("created", "updated", "unchanged", "skipped", "rejected", "deferred")


@dataclass(frozen=True)
class Expected:
    """What one bulk sync with the action `booth-leads` must do with one prospect, into the untouched sample CRM.

    Attributes:
        case: name of the planted case, for people reading a difference.
        outcome: one of `OUTCOMES`.
        reason: of skipped, deferred and joined prospects; else None.
        table: "lead" or "contact"; None when nothing is written or found. Rejected prospects name the table they
            would have been created in.
        matched_by: "email", "name" or None (created, or never looked up).
        record_id: the existing record; None when one is created.
        duplicates_found: matches in the deciding table; 0 without a match.
        error_column: the Dataverse column a rejected prospect fails on.
        leader: a joined prospect's leader (prospect id), whose record it shares; else None.
    """

    prospect_id: str
    case: str
    outcome: str
    reason: str | None = None
    table: str | None = None
    matched_by: str | None = None
    record_id: str | None = None
    duplicates_found: int = 0
    error_column: str | None = None
    leader: str | None = None

    def as_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True)
class Sample:
    """A trade show and the CRM it meets.

    Attributes:
        prospects: Capture Source API prospects, in the order of their last change (`updated_at`, `id`).
        events, forms, users, fields: the capture system's metadata, in the form its API answers them.
        crm: table -> rows, as `Organization.load` takes them.
        strangers: table -> ids of CRM rows that no sync may touch.
        expected: prospect id -> known result.
    """

    prospects: list[Json]
    events: list[Json]
    forms: list[Json]
    users: list[Json]
    fields: list[Json]
    crm: dict[str, list[Json]]
    strangers: dict[str, list[str]]
    expected: dict[str, Expected] = field(repr=False)

    @property
    def expected_balance(self) -> dict[str, int]:
        """Prospects per outcome; every outcome is there, be it 0."""
        counts = Counter(e.outcome for e in self.expected.values())
        return {outcome: counts[outcome] for outcome in OUTCOMES}

    def write_json(self, path: Path) -> None:
        """JSON Lines, one prospect a line, UTF-8."""
        files.write_json(path, self.prospects)

    def write_csv(self, path: Path) -> None:
        """Flat columns, one prospect a row; the header is `files.CSV_COLUMNS`."""
        files.write_csv(path, self.prospects)

    def write_expected(self, path: Path) -> None:
        """One JSON object: `balance`, `prospects` (id -> result) and `strangers` (table -> ids)."""
        results = {key: e.as_json() for key, e in self.expected.items()}
        content = {"balance": self.expected_balance, "prospects": results, "strangers": self.strangers}
        files.write_document(path, content)
