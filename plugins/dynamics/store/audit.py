"""The reading side of the audit database: runs, outcomes and their causes, for people and their tools.

Reads the public views, so what is shown here is what anybody else can ask for. Nothing in it is a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from dynamics.store.transactions import WAITS_S, Transactions

PROBLEMS = ("rejected", "deferred", "skipped")


class _Row:
    """A row that can be printed, serialised or put into a table by its column names."""

    def as_dict(self) -> dict[str, Any]:
        """Column -> value, in the order of the view."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class RunRow(_Row):
    """A row of `sync.audit_run`."""

    run_id: UUID
    action: str
    account: str
    trigger: str
    dag_id: str | None
    dag_run_id: str | None
    dry_run: bool
    state: str
    selected: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int
    deferred: int
    started_at: datetime
    finished_at: datetime | None
    requests: int
    policy: dict[str, Any]
    mapping_hash: str


@dataclass(frozen=True)
class OutcomeRow(_Row):
    """A row of `sync.audit_outcome`, and the mapping's warnings."""

    run_id: UUID
    action: str
    account: str
    trigger: str
    source: str
    prospect_id: str
    revision: int
    outcome: str
    reason: str | None
    table_name: str | None
    record_id: UUID | None
    record_url: str | None
    matched_by: str | None
    duplicates_found: int
    error_code: str | None
    error_message: str | None
    error_column: str | None
    changed_columns: list[str]
    request_id: str | None
    attempts: int
    recovered: bool
    settled_at: datetime
    warnings: list[str]


@dataclass(frozen=True)
class Cause(_Row):
    """Why so many prospects of a run ended as they did."""

    outcome: str
    reason: str | None
    error_code: str | None
    error_column: str | None
    prospects: int

    def __str__(self) -> str:
        return f"{self.prospects} {self.outcome}" + (f": {self.why}" if self.why else "")

    @property
    def why(self) -> str:
        """Reason, column and code in one line; no more than one of them is needed to say the same."""
        column = f"column {self.error_column}" if self.error_column else None
        code = self.error_code if self.error_code != f"mapping.{self.reason}" else None
        return ", ".join(part for part in (self.reason, column, code) if part)


@dataclass(frozen=True)
class OutcomeLine(_Row):
    """What became of one prospect, as a page of a run shows it. `prospect_key` says where the next page begins."""

    prospect_key: int
    source: str
    prospect_id: str
    outcome: str
    reason: str | None
    table_name: str | None
    record_id: UUID | None
    record_url: str | None
    matched_by: str | None
    error_code: str | None
    error_column: str | None


R = TypeVar("R", RunRow, OutcomeRow, OutcomeLine, Cause)


class AuditLog:
    """Reads the audit database `engine` leads to. Raises as the ledger does, after the waits of `Transactions`."""

    def __init__(self, engine: sa.Engine, waits_s: Sequence[float] = WAITS_S) -> None:
        self._database = Transactions(engine, waits_s=waits_s)

    def runs(self, limit: int = 50) -> list[RunRow]:
        """The newest runs, newest first."""
        return self._rows(RunRow, "SELECT * FROM sync.audit_run ORDER BY started_at DESC LIMIT :limit", limit=limit)

    def find_run(self, run_id: UUID) -> RunRow | None:
        """One run; None when there is no such run."""
        rows = self._rows(RunRow, "SELECT * FROM sync.audit_run WHERE run_id = :run_id", run_id=run_id)
        return rows[0] if rows else None

    def outcome_lines(self, run_id: UUID, outcome: str | None, after: int, limit: int) -> list[OutcomeLine]:
        """Outcomes of prospects with a greater key, all or those of one word. However far on, a page costs the same."""
        return self._rows(
            OutcomeLine,
            """
            WITH o AS MATERIALIZED (  -- before anything is joined: a page is a hundred rows of perhaps a million
                SELECT * FROM sync.outcome
                 WHERE run_id = :run_id AND prospect_key > :after
                   AND (outcome = :outcome OR CAST(:outcome AS text) IS NULL)
                 ORDER BY prospect_key LIMIT :limit
            )
            SELECT o.prospect_key, p.source, p.prospect_id, o.outcome, o.reason, o.table_name, o.record_id,
                   CASE WHEN NOT (r.dry_run AND o.outcome = 'created') THEN
                        rtrim(b.url, '/') || '/main.aspx?pagetype=entityrecord&etn=' || o.table_name
                        || '&id=' || o.record_id
                   END AS record_url,
                   o.matched_by, o.error_code, o.error_column
              FROM o
              JOIN sync.sync_run r ON r.run_id = o.run_id
              JOIN sync.prospect p ON p.prospect_key = o.prospect_key
              LEFT JOIN sync.account_binding b ON b.account = r.account AND b.organization_id = r.organization_id
             ORDER BY o.prospect_key
            """,
            run_id=run_id,
            outcome=outcome,
            after=after,
            limit=limit,
        )

    def latest_run(self, action: str | None = None) -> UUID | None:
        """The run that began last, of one action or of all."""
        newest = sa.text(
            "SELECT run_id FROM sync.sync_run WHERE action = :action OR CAST(:action AS text) IS NULL"
            " ORDER BY started_at DESC LIMIT 1"
        )
        found: UUID | None = self._database.run("read runs", lambda c: c.scalar(newest, {"action": action}))
        return found

    def outcomes(
        self, run_id: UUID, outcome: str | None = None, limit: int = 1000, offset: int = 0
    ) -> list[OutcomeRow]:
        """Outcomes of a run, all or those of one word, in the order in which the prospects were first stored."""
        return self._rows(
            OutcomeRow,
            """
            SELECT a.*, o.warnings
              FROM sync.audit_outcome a
              JOIN sync.prospect p ON p.source = a.source AND p.prospect_id = a.prospect_id
              JOIN sync.outcome o ON o.run_id = a.run_id AND o.prospect_key = p.prospect_key
             WHERE a.run_id = :run_id AND (a.outcome = :outcome OR CAST(:outcome AS text) IS NULL)
             ORDER BY p.prospect_key LIMIT :limit OFFSET :offset
            """,
            run_id=run_id,
            outcome=outcome,
            limit=limit,
            offset=offset,
        )

    def causes(self, run_id: UUID, outcomes: Sequence[str] = PROBLEMS) -> list[Cause]:
        """Why prospects were not written, the commonest cause first."""
        return self._rows(
            Cause,
            """
            SELECT outcome, reason, error_code, error_column, count(*) AS prospects
              FROM sync.outcome WHERE run_id = :run_id AND outcome = ANY(:outcomes)
             GROUP BY outcome, reason, error_code, error_column
             ORDER BY prospects DESC, outcome, reason, error_code, error_column
            """,
            run_id=run_id,
            outcomes=list(outcomes),
        )

    def _rows(self, make: Callable[..., R], query: str, **given: Any) -> list[R]:
        rows = self._database.run("read audit", lambda c: c.execute(sa.text(query), given).mappings().all())
        return [make(**row) for row in rows]
