"""Retention: personal data out of the audit database, then old runs and webhook deliveries. Page by page.

Each page is a transaction of its own, and rows that somebody else has in hand are left for the next night, so that a
sync running meanwhile neither waits nor loses anything. What stays of a prospect is its id, its revision and its links:
they are what keeps a person from being created twice.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from dynamics.core.retention import Removal
from dynamics.store.link_checks import LINKED_ORGANIZATIONS
from dynamics.store.rows import bigints
from dynamics.store.transactions import LedgerPart

_DUE = """
removed_at IS NULL
   AND coalesce(retain_until, stored_at + make_interval(days => CAST(:days AS integer))) <= statement_timestamp()"""

_LOOK = sa.text(f"""
WITH page AS MATERIALIZED (
    SELECT prospect_key, removed_at, retain_until, stored_at
      FROM sync.prospect WHERE prospect_key > :after ORDER BY prospect_key LIMIT :size
)
SELECT count(*), max(prospect_key), array_agg(prospect_key) FILTER (WHERE {_DUE}) FROM page
""")  # noqa: S608 - a constant

# Once a prospect is locked like this nobody can give it work: a work item's foreign key waits for the lock. So what the
# next statement sees of open work is all there is.
_LOCK = sa.text(f"""
SELECT prospect_key FROM sync.prospect
 WHERE prospect_key = ANY(CAST(:keys AS bigint[])) AND {_DUE}
 ORDER BY prospect_key
   FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - a constant

#
# Few runs have open items: they are found by as many steps through the index of open items, then each by its whole key.
_IDLE = sa.text("""
WITH RECURSIVE open_run (run_id) AS (
    (SELECT run_id FROM sync.work_item WHERE state <> 'settled' ORDER BY run_id LIMIT 1)
     UNION ALL
    SELECT (SELECT i.run_id FROM sync.work_item i
             WHERE i.state <> 'settled' AND i.run_id > open_run.run_id ORDER BY i.run_id LIMIT 1)
      FROM open_run WHERE open_run.run_id IS NOT NULL
)
SELECT k.prospect_key FROM unnest(CAST(:keys AS bigint[])) AS k (prospect_key)
 WHERE NOT EXISTS (
       SELECT 1 FROM open_run r JOIN sync.work_item i ON i.run_id = r.run_id AND i.prospect_key = k.prospect_key
        WHERE i.state || '' <> 'settled')
   AND NOT EXISTS (
       SELECT 1 FROM sync.attempt a WHERE a.prospect_key = k.prospect_key AND a.result IS NULL)
""")

_EMPTY = sa.text("""
UPDATE sync.prospect
   SET payload = '{}', email_key = NULL, name_key = NULL, retain_until = NULL, removed_at = statement_timestamp()
 WHERE prospect_key = ANY(CAST(:keys AS bigint[]))
""")

# A hash of one column's value can be guessed from the value, so it goes; the hash of all values together stays: it
# tells the same prospect, delivered once more, from one that has something new to say.
_EMPTY_LINKS = sa.text(f"""
WITH RECURSIVE {LINKED_ORGANIZATIONS}
UPDATE sync.record_link SET column_hashes = '{{}}'
 WHERE organization_id = ANY(ARRAY(SELECT organization_id FROM linked WHERE organization_id IS NOT NULL))
   AND prospect_key = ANY(CAST(:keys AS bigint[])) AND column_hashes <> '{{}}'
""")  # noqa: S608 - a constant

_EMPTY_ATTEMPTS = sa.text("""
UPDATE sync.attempt a SET column_hashes = '{}', content_hash = ''
  FROM sync.outcome o
 WHERE o.prospect_key = ANY(CAST(:keys AS bigint[]))
   AND a.run_id = o.run_id AND a.prospect_key = o.prospect_key AND a.column_hashes <> '{}'
""")

_FORGET = sa.text("""
WITH page AS MATERIALIZED (
    SELECT match_key, organization_id, table_name, prospect_key, holder_run_id, holder_key FROM sync.person_lock
     WHERE (match_key, organization_id, table_name) > (:match_key, :organization_id, :table_name)
     ORDER BY match_key, organization_id, table_name LIMIT :size
), due AS (
    SELECT page.* FROM page JOIN sync.prospect p USING (prospect_key)
     WHERE p.removed_at IS NOT NULL
       AND NOT EXISTS (
           SELECT 1 FROM sync.work_item i
            WHERE i.run_id = page.holder_run_id AND i.prospect_key = page.holder_key AND i.state <> 'settled')
), held AS MATERIALIZED (
    SELECT l.match_key, l.organization_id, l.table_name
      FROM sync.person_lock l JOIN due USING (match_key, organization_id, table_name)
     WHERE l.prospect_key = due.prospect_key AND l.holder_run_id IS NOT DISTINCT FROM due.holder_run_id
       AND l.holder_key IS NOT DISTINCT FROM due.holder_key
       FOR UPDATE OF l SKIP LOCKED
), forgotten AS (
    DELETE FROM sync.person_lock l USING held
     WHERE l.match_key = held.match_key AND l.organization_id = held.organization_id AND l.table_name = held.table_name
    RETURNING 1
), last AS (
    SELECT match_key, organization_id, table_name FROM page
     ORDER BY match_key DESC, organization_id DESC, table_name DESC LIMIT 1
)
SELECT (SELECT count(*) FROM forgotten), match_key, organization_id, table_name FROM last
""")

_OLD_RUN = sa.text("""
SELECT run_id FROM sync.sync_run r
 WHERE state <> 'running' AND open_items = 0
   AND coalesce(finished_at, touched_at) < statement_timestamp() - make_interval(days => :days)
   AND NOT EXISTS (SELECT 1 FROM sync.work_item i WHERE i.run_id = r.run_id AND i.state <> 'settled')
   AND NOT EXISTS (SELECT 1 FROM sync.attempt a WHERE a.run_id = r.run_id AND a.result IS NULL)
 ORDER BY started_at LIMIT 1
   FOR UPDATE SKIP LOCKED
""")

_ITEMS_OF = sa.text(
    "SELECT prospect_key FROM sync.work_item WHERE run_id = :run_id ORDER BY prospect_key LIMIT :size FOR UPDATE"
)
_TRIM = [
    sa.text(f"DELETE FROM sync.{table} WHERE run_id = :run_id AND prospect_key = ANY(CAST(:keys AS bigint[]))")  # noqa: S608
    for table in ("attempt", "outcome", "work_item")
]
_DROP_RUN = sa.text("DELETE FROM sync.sync_run WHERE run_id = :run_id")

_TRIM_DELIVERIES = sa.text("""
DELETE FROM sync.webhook_delivery
 WHERE ctid = ANY(ARRAY(
       SELECT ctid FROM sync.webhook_delivery d
        WHERE received_at < statement_timestamp() - make_interval(days => :days)
          AND (handled_at IS NOT NULL OR state = 'sorted' AND NOT EXISTS (
               SELECT 1 FROM sync.webhook_errand e
                WHERE e.source = d.source AND e.delivery_id = d.delivery_id AND e.done_at IS NULL))
        LIMIT :size FOR UPDATE SKIP LOCKED))
""")

FIRST_PERSON = ("", UUID(int=0), "")
Person = tuple[str, UUID, str]


class Retention(LedgerPart):
    """What the nightly removal does in the audit database. Every method is one short transaction, safe to repeat."""

    def remove_personal_data(self, after: int, size: int, default_days: int | None) -> Removal:
        """Empty the prospects of one page that are due: those whose `retain_until` is over, and without one those that
        were stored last more than `default_days` days ago (None: never). The page: `size` prospects after this key."""

        def work(connection: sa.Connection) -> Removal:
            page = {"after": after, "size": size, "days": default_days}
            looked_at, last, due = connection.execute(_LOOK, page).one()
            if not due:
                return Removal(looked_at, 0, 0, last)
            locked = connection.scalars(_LOCK, {"keys": bigints(due), "days": default_days}).all()
            idle = connection.scalars(_IDLE, {"keys": bigints(locked)}).all()
            for statement in (_EMPTY, _EMPTY_LINKS, _EMPTY_ATTEMPTS):
                connection.execute(statement, {"keys": bigints(idle)})
            return Removal(looked_at, len(idle), len(due) - len(idle), last)

        return self._database.run("remove personal data", work)

    def forget_persons(self, after: Person, size: int) -> tuple[int, Person | None]:
        """Delete the match keys of prospects that were emptied, of one page of all keys. Keys that a worker holds stay.

        Returns:
            how many were deleted; where the next page begins, None when there is none.
        """
        match_key, organization_id, table_name = after
        given = {"match_key": match_key, "organization_id": organization_id, "table_name": table_name, "size": size}

        def work(connection: sa.Connection) -> tuple[int, Person | None]:
            row = connection.execute(_FORGET, given).one_or_none()
            return (row[0], (row[1], row[2], row[3])) if row is not None else (0, None)

        return self._database.run("forget persons", work)

    def trim_oldest_run(self, days: int, size: int) -> tuple[int, bool] | None:
        """Delete up to `size` work items of the oldest run that ended more than `days` days ago, with their outcomes
        and attempts, and in the end the run itself. A run with anything open is never touched.

        Returns:
            how many items were deleted, and whether the run is gone; None when there is no such run.
        """

        def work(connection: sa.Connection) -> tuple[int, bool] | None:
            run_id = connection.scalar(_OLD_RUN, {"days": days})
            if run_id is None:
                return None
            keys = connection.scalars(_ITEMS_OF, {"run_id": run_id, "size": size}).all()
            for statement in _TRIM:
                connection.execute(statement, {"run_id": run_id, "keys": bigints(keys)})
            if len(keys) == size:
                return len(keys), False
            connection.execute(_DROP_RUN, {"run_id": run_id})
            return len(keys), True

        return self._database.run("remove old runs", work)

    def trim_deliveries(self, days: int, size: int) -> int:
        """Forget up to `size` webhook deliveries received more than `days` days ago; not those nobody has handled."""
        given = {"days": days, "size": size}
        return self._database.run("forget deliveries", lambda c: c.execute(_TRIM_DELIVERIES, given).rowcount)
