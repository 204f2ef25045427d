"""Brings delivered prospects into a run that is open already, and finds runs that nobody works on any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect
from dynamics.store.intake import DISCOVERED, add_items, keep_newest
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

_REVISIONS = sa.text("""
SELECT prospect_id, revision FROM sync.prospect
 WHERE source = :source AND prospect_id = ANY(ARRAY(SELECT json_array_elements_text(CAST(:prospect_ids AS json))))
""")

_TOUCH = sa.text("""
UPDATE sync.sync_run SET touched_at = statement_timestamp()
 WHERE run_id = ANY(ARRAY(SELECT CAST(json_array_elements_text(CAST(:run_ids AS json)) AS uuid)))
""")

_LEFT = sa.text("""
UPDATE sync.sync_run SET touched_at = statement_timestamp() WHERE run_id IN (
    SELECT run_id FROM sync.sync_run r
     WHERE trigger = 'fulfillment' AND state = 'running' AND action = :action
       AND touched_at < statement_timestamp() - make_interval(secs => :idle_s)
       AND NOT EXISTS (
           SELECT 1 FROM sync.work_item i
            WHERE i.run_id = r.run_id AND i.state IN ('claimed', 'sent') AND i.lease_until > statement_timestamp())
       FOR UPDATE OF r SKIP LOCKED)
RETURNING run_id
""")


_PUT_BY = sa.text("""
SELECT p.prospect_id, coalesce(o.reason, '') AS reason
  FROM sync.outcome o JOIN sync.prospect p USING (prospect_key)
 WHERE o.run_id = :run_id AND o.outcome = 'deferred' AND coalesce(o.reason, '') <> ALL(CAST(:but_for AS text[]))
   AND p.source = :source
   AND p.prospect_id = ANY(ARRAY(SELECT json_array_elements_text(CAST(:prospect_ids AS json))))
""")


class Enlisting(LedgerPart):
    """The part of the ledger that only the fulfillment worker needs."""

    def keep_prospects(self, source: str, prospects: Sequence[DiscoveredProspect]) -> None:
        """Store prospects where they say anything new; no run has to do with them yet."""
        if prospects:
            self._database.run("keep prospects", lambda connection: keep_newest(connection, source, prospects))

    def revisions(self, source: str, prospect_ids: Collection[str]) -> dict[str, int]:
        """The stored revision of each of these prospects; those that are not stored are absent."""
        given = {"source": source, "prospect_ids": rows_json(list(prospect_ids))}
        found = self._database.run("read revisions", lambda c: c.execute(_REVISIONS, given).all())
        return {row.prospect_id: row.revision for row in found}

    def enlist(self, run_id: UUID, source: str, prospect_ids: Collection[str]) -> None:
        """Add work items for stored prospects; those that the run has already stay as they are. The run counts as
        discovered: with several unsettled items `group_persons` is called besides."""

        def work(connection: sa.Connection) -> None:
            add_items(connection, run_id, source, list(prospect_ids))
            connection.execute(DISCOVERED, {"run_id": run_id})

        self._database.run("enlist", work)

    def put_by(
        self, run_id: UUID, source: str, prospect_ids: Collection[str], but_for: Collection[str]
    ) -> dict[str, str]:
        """Prospect id -> why the run has deferred it; for those of these prospects that it has, `but_for` reasons."""
        given = {"run_id": run_id, "source": source, "prospect_ids": rows_json(list(prospect_ids))}
        given["but_for"] = sorted(but_for)
        found = self._database.run("read what is deferred", lambda c: c.execute(_PUT_BY, given).all())
        return {row.prospect_id: row.reason for row in found}

    def touch_runs(self, run_ids: Collection[UUID]) -> None:
        """Somebody is there for these runs, though there may be nothing to do."""
        ids = rows_json([str(run_id) for run_id in run_ids])
        self._database.run("touch runs", lambda connection: connection.execute(_TOUCH, {"run_ids": ids}))

    def left_runs(self, action: str, idle_s: float) -> list[UUID]:
        """Open fulfillment runs that nobody has touched for so long: they are the caller's now."""
        given = {"action": action, "idle_s": idle_s}
        return self._database.run("find left runs", lambda c: list(c.scalars(_LEFT, given)))
