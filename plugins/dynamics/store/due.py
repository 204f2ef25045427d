"""What an automation has found and how far it has read: cursors, and which prospects are due.

A prospect is due for an action in an organisation when no run of it, dry runs aside, has settled the revision we have,
or when the last one deferred it. One that waits for the source (`WAITING`) is due with its next revision only; one
deferred for another reason after a quarter of an hour, then after twice as long each time, at most a day; one whose run
was given up is due at once. A prospect that an earlier automation run found is taken up whether or not the source
lists it again. All times are the database's, but the cursor's, which are the source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect, SourcedProspect
from dynamics.core.ledger import Run
from dynamics.core.outcomes import WAITING
from dynamics.store.intake import TOUCH_RUN, page_parameters, store_page
from dynamics.store.rows import bigints, rows_json
from dynamics.store.transactions import LedgerPart

AUTOMATION = "automation"

_MINE = "r.action = :action AND r.organization_id = :organization_id AND NOT r.dry_run"

# Of a prospect `p`: the last outcome, and since when it has been deferred as it is.
_LAST = f"""
  LEFT JOIN LATERAL (
       SELECT o.revision, o.outcome, coalesce(o.reason, '') AS reason, o.settled_at
         FROM sync.outcome o JOIN sync.sync_run r USING (run_id)
        WHERE o.prospect_key = p.prospect_key AND {_MINE}
        ORDER BY o.settled_at DESC LIMIT 1
  ) last ON true
  LEFT JOIN LATERAL (
       SELECT min(o.settled_at) AS deferred_at
         FROM sync.outcome o JOIN sync.sync_run r USING (run_id)
        WHERE last.outcome = 'deferred' AND o.prospect_key = p.prospect_key AND o.outcome = 'deferred'
          AND o.revision = last.revision AND {_MINE}
  ) since ON true
"""  # noqa: S608 - a constant
_IS_DUE = """(
       last.revision IS NULL OR last.revision < p.revision
    OR last.outcome = 'deferred' AND (
           last.reason = 'run_abandoned'
        OR last.reason <> ALL(CAST(:waiting AS text[]))
           AND statement_timestamp() >= last.settled_at
               + least(interval '1 day', greatest(interval '15 minutes', last.settled_at - since.deferred_at)))
)"""

_ADD_DUE = sa.text(f"""
INSERT INTO sync.work_item (run_id, prospect_key, group_key)
SELECT :run_id, p.prospect_key, p.prospect_key
  FROM sync.prospect p {_LAST}
 WHERE p.source = :source AND p.prospect_id = ANY(ARRAY(SELECT json_array_elements_text(CAST(:prospect_ids AS json))))
   AND {_IS_DUE}
 ORDER BY p.prospect_key
ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants

_ADD_BY_KEY = sa.text("""
INSERT INTO sync.work_item (run_id, prospect_key, group_key)
SELECT :run_id, key, key FROM unnest(CAST(:prospect_keys AS bigint[])) AS k (key) ORDER BY key
ON CONFLICT DO NOTHING
""")

# A source whose clock, or one of whose rows, runs ahead must not take the cursor past what is still to come.
_MOVE = sa.text("""
INSERT INTO sync.cursor AS c (name, at, id) VALUES (:name, least(:at, statement_timestamp()), :id)
ON CONFLICT (name) DO UPDATE SET at = excluded.at, id = excluded.id
 WHERE c.at IS NULL OR (excluded.at, excluded.id) > (c.at, c.id)
""")

_READ = sa.text("""
INSERT INTO sync.cursor AS c (name, read_at, backlog) VALUES (:name, :read_at, :backlog)
ON CONFLICT (name) DO UPDATE SET read_at = greatest(c.read_at, excluded.read_at), backlog = excluded.backlog
""")

_CURSOR = sa.text("""
SELECT statement_timestamp() AS now, c.at, c.read_at, coalesce(c.backlog, 0) AS backlog
  FROM (SELECT 1) one LEFT JOIN sync.cursor c ON c.name = :name
""")

# Found by earlier automation runs: unsettled in one that nobody works on any more, or deferred; or deferred when a
# webhook brought them. Of whom nothing is kept any more, nothing can be synced. Runs are looked at before their items:
# each one once, however many items it has.
_LEFT_OVER = sa.text(f"""
WITH silent AS MATERIALIZED (
    SELECT r.run_id FROM sync.sync_run r
     WHERE {_MINE} AND r.trigger = '{AUTOMATION}' AND r.run_id <> :run_id
       AND (r.state = 'running' OR r.open_items > 0)
       AND (r.finished_at IS NOT NULL OR r.touched_at < statement_timestamp() - make_interval(secs => :silent_s))
), dead AS MATERIALIZED (
    SELECT s.run_id FROM silent s
     WHERE NOT EXISTS (
           SELECT 1 FROM sync.work_item busy
            WHERE busy.run_id = s.run_id AND busy.state IN ('claimed', 'sent')
              AND busy.lease_until > statement_timestamp())
), found AS MATERIALIZED (
    SELECT i.prospect_key FROM dead d JOIN sync.work_item i USING (run_id) WHERE i.state <> 'settled'
     UNION
    SELECT o.prospect_key
      FROM sync.sync_run r JOIN sync.outcome o USING (run_id)
     WHERE {_MINE} AND r.trigger IN ('{AUTOMATION}', 'fulfillment') AND r.run_id <> :run_id
       AND o.outcome = 'deferred'
)
SELECT p.prospect_key FROM found JOIN sync.prospect p USING (prospect_key) {_LAST}
 WHERE {_IS_DUE} AND p.payload <> '{{}}' ORDER BY p.prospect_key
""")  # noqa: S608 - constants

_BY_KEY = sa.text("""
SELECT prospect_key, prospect_id, revision, updated_at, payload FROM sync.prospect
 WHERE prospect_key = ANY(CAST(:prospect_keys AS bigint[])) ORDER BY prospect_key
""")


# Of whom nothing is kept any more, nothing is to be kept again.
_KEPT = sa.text("""
SELECT prospect_id, revision FROM sync.prospect
 WHERE source = :source AND prospect_id = ANY(ARRAY(SELECT json_array_elements_text(CAST(:prospect_ids AS json))))
   AND removed_at IS NULL
""")


@dataclass(frozen=True)
class CursorState:
    """Where a cursor stands. `now` is the database's; the others are None before the first reading."""

    now: datetime
    at: datetime | None
    read_at: datetime | None
    backlog: int


class Due(LedgerPart):
    """What automations ask of the ledger. The engine does not know of it."""

    def cursor(self, name: str) -> CursorState:
        """Where the cursor stands now."""
        row = self._database.run("read cursor", lambda c: c.execute(_CURSOR, {"name": name}).one())
        return CursorState(**row._mapping)

    def store_due(
        self,
        run: Run,
        source: str,
        page: Sequence[DiscoveredProspect],
        cursor: str | None = None,
        place: tuple[datetime, str] | None = None,
        beside: Sequence[DiscoveredProspect] = (),
    ) -> int:
        """Keep each prospect's newest revision, add those that are due to the run, and move the cursor, if one is
        named, to `place`, the (time, id) of the last row read: all in one transaction. Returns items added.

        Args:
            beside: more revisions to keep, which make no work.
        """
        stored = page_parameters(source, [*page, *beside])
        ids = rows_json([found.prospect.prospect_id for found in page])
        items = _asked(run.action, run.organization_id) | {"run_id": run.run_id, "source": source, "prospect_ids": ids}

        def work(connection: sa.Connection) -> int:
            added = store_page(connection, stored, _ADD_DUE, items) if page or beside else 0
            connection.execute(TOUCH_RUN, {"run_id": run.run_id})
            if cursor is not None and place is not None:
                connection.execute(_MOVE, {"name": cursor, "at": place[0], "id": place[1]})
            return added

        return self._database.run("store due prospects", work)

    def newer_than_kept(self, source: str, page: Sequence[SourcedProspect]) -> list[SourcedProspect]:
        """Those of whom an older revision is kept."""
        if not page:
            return []
        given = {"source": source, "prospect_ids": rows_json([found.prospect_id for found in page])}
        rows = self._database.run("read revisions", lambda c: c.execute(_KEPT, given).all())
        kept: dict[str, int] = {row.prospect_id: row.revision for row in rows}
        return [found for found in page if found.revision > kept.get(found.prospect_id, found.revision)]

    def left_over(self, action: str, organization_id: UUID, silent_s: float, except_run: UUID) -> list[int]:
        """The keys of the prospects that are due, of those that earlier automation runs have found, or that a webhook
        brought and its run deferred.

        Args:
            silent_s: a run that nobody has touched for so long has no worker left.
        """
        given = _asked(action, organization_id) | {"silent_s": silent_s, "run_id": except_run}
        return list(self._database.run("find what is left over", lambda c: c.scalars(_LEFT_OVER, given).all()))

    def prospects_by_key(self, keys: Sequence[int]) -> list[tuple[int, SourcedProspect]]:
        """The stored prospects, by key."""
        rows = self._database.run(
            "read prospects", lambda c: c.execute(_BY_KEY, {"prospect_keys": bigints(keys)}).all()
        )
        return [(row.prospect_key, SourcedProspect(*row[1:])) for row in rows]

    def add_items(self, run_id: UUID, keys: Sequence[int]) -> int:
        """Add stored prospects to the run. Returns items added."""
        given = {"run_id": run_id, "prospect_keys": bigints(keys)}
        return self._database.run("add items", lambda c: c.execute(_ADD_BY_KEY, given).rowcount)

    def note_reading(self, cursor: str, read_at: datetime, backlog: int) -> None:
        """A reading that began at `read_at` (by `cursor`'s `now`) has come to its end."""
        given = {"name": cursor, "read_at": read_at, "backlog": backlog}
        self._database.run("note reading", lambda c: c.execute(_READ, given))


def _asked(action: str, organization_id: UUID) -> dict[str, object]:
    return {"action": action, "organization_id": organization_id, "waiting": sorted(WAITING)}
