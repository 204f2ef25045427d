"""Attempts: writes committed before they are sent, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.ledger import AttemptResult, Claim, Intent, Link, LinkState, OpenAttempt
from dynamics.store.rows import bigints, rows_json
from dynamics.store.transactions import LedgerPart
from dynamics.store.work import CLAIMED, held

# A lease that has run out may be somebody else's at any moment: nothing may be sent on it. One claim of an item makes
# one attempt, so a repetition after a lost answer meets the attempt it has made.
_INTEND = sa.text("""
WITH intent AS MATERIALIZED (
    SELECT CAST(:run_id AS uuid) AS run_id, n.*
      FROM json_to_recordset(CAST(:intents AS json)) AS n (
           prospect_key bigint, fence bigint, operation text, "table" text, record_id uuid, etag text,
           content_hash text, column_hashes jsonb, changed_columns text[], matched_by text, duplicates_found bigint,
           revision bigint, generation bigint, member_keys bigint[], member_revisions bigint[])
), overtaken AS MATERIALIZED (
    SELECT DISTINCT n.prospect_key
      FROM intent n
     CROSS JOIN LATERAL unnest(n.prospect_key || n.member_keys, n.revision || n.member_revisions) AS m (key, revision)
      JOIN sync.prospect p ON p.prospect_key = m.key
     WHERE p.revision > m.revision
), sent AS (
    UPDATE sync.work_item i
       SET state = 'sent', attempts = i.attempts + CASE i.state WHEN 'claimed' THEN 1 ELSE 0 END
      FROM intent n
     WHERE i.run_id = n.run_id AND i.prospect_key = n.prospect_key AND i.fence = n.fence
       AND i.state || '' IN ('claimed', 'sent') AND i.lease_until > statement_timestamp()
       AND NOT EXISTS (SELECT 1 FROM overtaken o WHERE o.prospect_key = n.prospect_key)
    RETURNING i.prospect_key
)
INSERT INTO sync.attempt (
       run_id, prospect_key, fence, organization_id, operation, table_name, record_id, etag, content_hash,
       column_hashes, changed_columns, matched_by, duplicates_found, revision, generation)
SELECT r.run_id, n.prospect_key, n.fence, r.organization_id, n.operation, n."table", n.record_id, n.etag,
       n.content_hash, n.column_hashes, n.changed_columns, n.matched_by, n.duplicates_found, n.revision, n.generation
  FROM sync.sync_run r, intent n JOIN sent USING (prospect_key)
 WHERE r.run_id = :run_id
ON CONFLICT (run_id, prospect_key, fence) DO UPDATE SET sent_at = excluded.sent_at
RETURNING prospect_key, attempt_id
""")

_RESULTS = """
json_to_recordset(CAST(:results AS json)) AS r (attempt_id bigint, result text, code text, request_id text)"""

_CLOSE = f"""
UPDATE sync.attempt a
   SET result = r.result, code = r.code, request_id = coalesce(r.request_id, a.request_id),
       finished_at = statement_timestamp()
  FROM {_RESULTS}"""  # noqa: S608 - a constant

_RESOLVE = sa.text(f"{_CLOSE} WHERE a.attempt_id = r.attempt_id AND a.result IS NULL")

# An attempt of an item that was lost stays open: it is the evidence that the new holder goes by. The items are locked,
# so that nobody claims them between this statement and the settlement: closed here and not settled there, a write that
# has landed would be told by nobody.
_RESOLVE_HELD = sa.text(f"""
WITH {CLAIMED}, held AS MATERIALIZED (
    SELECT i.run_id, i.prospect_key FROM claimed c
      JOIN sync.work_item i ON i.run_id = c.run_id AND i.prospect_key = c.prospect_key AND i.fence = c.fence
     ORDER BY i.prospect_key
       FOR UPDATE OF i
)
{_CLOSE}, held h
 WHERE a.attempt_id = r.attempt_id AND a.result IS NULL
   AND a.run_id = h.run_id AND a.prospect_key = h.prospect_key
""")  # noqa: S608 - a constant

_OPEN = sa.text("""
SELECT a.attempt_id, a.run_id, a.prospect_key, a.fence, a.operation, a.table_name AS "table", a.record_id, a.etag,
       a.content_hash, a.column_hashes, a.changed_columns, a.matched_by, a.duplicates_found, a.revision,
       a.generation,
       EXISTS (SELECT 1 FROM sync.attempt b WHERE b.record_id = a.record_id AND b.operation = 'create'
                  AND b.result = 'landed' AND b.prospect_key <> a.prospect_key) AS told_by_another,
       CAST(extract(epoch FROM i.lease_until - statement_timestamp()) AS double precision) AS leased_s
  FROM sync.attempt a
  LEFT JOIN sync.work_item i ON i.run_id = a.run_id AND i.prospect_key = a.prospect_key
       AND i.state || '' IN ('claimed', 'sent') AND i.lease_until > statement_timestamp()
 WHERE a.result IS NULL AND a.organization_id = :organization_id
   AND a.prospect_key = ANY(CAST(:prospect_keys AS bigint[]))
 ORDER BY a.attempt_id
""")

_LINKS = sa.text("""
SELECT prospect_key, table_name AS "table", record_id, state, generation, content_hash, column_hashes
  FROM sync.record_link
 WHERE organization_id = :organization_id AND prospect_key = ANY(CAST(:prospect_keys AS bigint[]))
 ORDER BY prospect_key, table_name
""")


class Attempts(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that is about attempts and links, up to the settlement."""

    def open_attempts(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[OpenAttempt]:
        """As the port says. `lease_until` is by the caller's clock, and None as well when the lease has run out."""
        given = {"organization_id": organization_id, "prospect_keys": bigints(prospect_keys)}
        rows = self._database.run("read open attempts", lambda c: c.execute(_OPEN, given).mappings().all())
        return [self._open_attempt(dict(row)) for row in rows]

    def links(self, organization_id: UUID, prospect_keys: Sequence[int]) -> list[Link]:
        given = {"organization_id": organization_id, "prospect_keys": bigints(prospect_keys)}
        rows = self._database.run("read links", lambda c: c.execute(_LINKS, given).mappings().all())
        return [Link(**{**row, "state": LinkState(row["state"])}) for row in rows]

    def intend(self, claim: Claim, intents: Sequence[Intent]) -> dict[int, int]:
        if not intents:
            return {}
        given = {"run_id": claim.run_id, "intents": rows_json(intents)}
        rows = self._database.run("intend", lambda connection: connection.execute(_INTEND, given).all())
        return {int(prospect_key): int(attempt_id) for prospect_key, attempt_id in rows}

    def resolve(self, results: Sequence[AttemptResult]) -> None:
        if results:
            given = {"results": rows_json(results)}
            self._database.run("resolve attempts", lambda connection: connection.execute(_RESOLVE, given))

    def _open_attempt(self, row: dict[str, Any]) -> OpenAttempt:
        lease_until = self._in(row.pop("leased_s"))
        facts = {name: row.pop(name) for name in ("attempt_id", "run_id", "told_by_another")}
        intent = Intent(**row | {"changed_columns": tuple(row["changed_columns"])})
        return OpenAttempt(intent=intent, lease_until=lease_until, **facts)


def close_attempts(connection: sa.Connection, results: Sequence[AttemptResult], claim: Claim | None = None) -> None:
    """Record results of attempts that have none; with a claim, only of its items that are still held."""
    if results and claim is None:
        connection.execute(_RESOLVE, {"results": rows_json(results)})
    elif results and claim is not None:
        connection.execute(_RESOLVE_HELD, held(claim) | {"results": rows_json(results)})
