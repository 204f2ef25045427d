"""Settling: outcome, link, person and state of a prospect in one transaction, by whoever holds the item's fence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

import sqlalchemy as sa

from dynamics import killpoints
from dynamics.core.ledger import AttemptResult, Claim, OpenAttempt, Settlement
from dynamics.store.attempts import close_attempts
from dynamics.store.rows import rows_json
from dynamics.store.runs import keep_counts
from dynamics.store.transactions import LedgerPart

# Closing a run waits for this lock: see `runs`.
_SHARE_RUN = sa.text("SELECT state FROM sync.sync_run WHERE run_id = :run_id FOR KEY SHARE")

# Links are written in the order of their key, since two runs may settle the same prospects at once; what an older
# revision said does not take the place of what a newer one has settled meanwhile. What counts as
# settled includes what an earlier try of this very transaction has settled: its answer may have been lost. The run's id
# rides in each row, so that items are found by their whole key: as a constant it would tempt the planner to read all
# items of the run while a table that fills up has no statistics yet.
_SETTLE = sa.text("""
WITH given AS MATERIALIZED (
    SELECT CAST(:run_id AS uuid) AS run_id, s.*
      FROM json_to_recordset(CAST(:settlements AS json)) AS s (
           prospect_key bigint, fence bigint, revision bigint, outcome text, reason text, "table" text, record_id uuid,
           matched_by text, duplicates_found bigint, error_code text, error_message text, error_column text,
           changed_columns text[], request_id text, recovered boolean, warnings text[], link json)
), mine AS (
    UPDATE sync.work_item i
       SET state = 'settled', worker = NULL, lease_until = NULL
      FROM given g
     WHERE i.run_id = g.run_id AND i.prospect_key = g.prospect_key AND i.fence = g.fence
       AND i.state || '' IN ('claimed', 'sent')
    RETURNING i.prospect_key, i.attempts
), told AS (
    INSERT INTO sync.outcome (
           run_id, prospect_key, revision, outcome, reason, table_name, record_id, matched_by, duplicates_found,
           error_code, error_message, error_column, changed_columns, warnings, request_id, attempts, recovered)
    SELECT g.run_id, g.prospect_key, g.revision, g.outcome, g.reason, g."table", g.record_id, g.matched_by,
           g.duplicates_found, g.error_code, g.error_message, g.error_column, g.changed_columns, g.warnings,
           g.request_id, m.attempts, g.recovered
      FROM given g JOIN mine m USING (prospect_key)
), link AS MATERIALIZED (
    SELECT l.*, g.revision FROM mine m
      JOIN given g USING (prospect_key)
      JOIN LATERAL json_to_record(g.link) AS l (
           prospect_key bigint, "table" text, record_id uuid, state text, generation bigint, content_hash text,
           column_hashes jsonb) ON g.link IS NOT NULL
), linked AS (
    INSERT INTO sync.record_link AS kept (
           organization_id, table_name, prospect_key, account, record_id, state, generation, content_hash,
           column_hashes, revision)
    SELECT r.organization_id, l."table", l.prospect_key, r.account, l.record_id, l.state, l.generation, l.content_hash,
           l.column_hashes, l.revision
      FROM sync.sync_run r, link l WHERE r.run_id = :run_id
     ORDER BY l."table", l.prospect_key
    ON CONFLICT (organization_id, table_name, prospect_key) DO UPDATE
       SET account = excluded.account, record_id = excluded.record_id, state = excluded.state,
           generation = excluded.generation, content_hash = excluded.content_hash,
           column_hashes = excluded.column_hashes, revision = excluded.revision, settled_at = excluded.settled_at,
           linked_at = CASE WHEN kept.record_id = excluded.record_id THEN kept.linked_at ELSE excluded.linked_at END
     WHERE excluded.revision >= kept.revision
), known AS (
    UPDATE sync.person_lock p SET settled = true
      FROM sync.sync_run r, (SELECT DISTINCT "table", record_id FROM link WHERE state = 'live') l
     WHERE r.run_id = :run_id AND p.organization_id = r.organization_id AND p.table_name = l."table"
       AND p.record_id = l.record_id AND NOT p.settled
)
SELECT (SELECT count(*) FROM mine) + (
       SELECT count(*) FROM given g
         JOIN sync.work_item i ON i.run_id = g.run_id AND i.prospect_key = g.prospect_key AND i.fence = g.fence
        WHERE i.state = 'settled')
""")

# The items of a stopped run change hands like any other: under a new fence, and not while a lease stands. What had been
# settled already keeps its outcome; only its attempt is closed.
_TAKE_OVER = sa.text("""
WITH given AS MATERIALIZED (
    SELECT CAST(:run_id AS uuid) AS run_id, prospect_key
      FROM unnest(CAST(:prospect_keys AS bigint[])) AS g (prospect_key)
), taken AS (
    UPDATE sync.work_item i
       SET state = 'claimed', worker = 'recovery', fence = fence + 1, lease_until = statement_timestamp()
      FROM given g
     WHERE i.run_id = g.run_id AND i.prospect_key = g.prospect_key AND i.state || '' <> 'settled'
       AND (i.lease_until IS NULL OR i.lease_until <= statement_timestamp())
    RETURNING i.prospect_key, i.fence
)
SELECT prospect_key, fence FROM taken
 UNION ALL
SELECT i.prospect_key, NULL FROM given g
  JOIN sync.work_item i ON i.run_id = g.run_id AND i.prospect_key = g.prospect_key AND i.state = 'settled'
""")


class Settling(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that ends a prospect's way through a run."""

    def settle(self, claim: Claim, settlements: Sequence[Settlement], attempts: Sequence[AttemptResult] = ()) -> int:
        def work(connection: sa.Connection) -> int:
            close_attempts(connection, attempts, claim)
            killpoints.reach("K6")
            return _settle(connection, claim.run_id, settlements)

        return self._database.run("settle", work)

    def settle_attempts(self, landed: Sequence[tuple[OpenAttempt, Settlement]]) -> int:
        by_run: dict[UUID, list[tuple[OpenAttempt, Settlement]]] = {}
        for attempt, settlement in landed:
            by_run.setdefault(attempt.run_id, []).append((attempt, settlement))
        return sum(
            self._database.run("settle attempts", partial(_settle_others, run_id, found))
            for run_id, found in sorted(by_run.items())
        )


def _settle_others(run_id: UUID, landed: Sequence[tuple[OpenAttempt, Settlement]], connection: sa.Connection) -> int:
    settlements = {settlement.prospect_key: settlement for _, settlement in landed}
    taken = connection.execute(_TAKE_OVER, {"run_id": run_id, "prospect_keys": sorted(settlements)}).all()
    fences = {row.prospect_key: row.fence for row in taken}
    closed = [AttemptResult(a.attempt_id, "landed") for a, _ in landed if a.intent.prospect_key in fences]
    close_attempts(connection, closed)
    ours = [replace(settlements[key], fence=fence) for key, fence in fences.items() if fence is not None]
    return _settle(connection, run_id, ours)


def _settle(connection: sa.Connection, run_id: UUID, settlements: Sequence[Settlement]) -> int:
    if not settlements:
        return 0
    state = connection.execute(_SHARE_RUN, {"run_id": run_id}).scalar_one()
    given = {"run_id": run_id, "settlements": rows_json(settlements)}
    settled = int(connection.execute(_SETTLE, given).scalar_one())
    if state != "running":
        keep_counts(connection, run_id)
    return settled
