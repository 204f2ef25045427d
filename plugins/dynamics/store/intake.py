"""Prospects into the ledger: newest revisions kept, work items added, the prospects of one person grouped."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect
from dynamics.core.retention import retain_until
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

# One prospect may stand on a page twice. The order is the same for all, so that two discoveries do not lock crosswise.
# Those that say nothing new are left out before the insert: a page that was seen before locks and writes nothing. The
# condition stands a second time at the conflict, for a prospect that another discovery has stored meanwhile. A file may
# be corrected without a new revision: of equal ones the one seen last counts. What the source still has is not kept too
# long: once in a while it is stored anew.
_STORE = sa.text("""
WITH page AS MATERIALIZED (
    SELECT DISTINCT ON (prospect_id) prospect_id, revision, updated_at, payload, email_key, name_key, retain_until
      FROM jsonb_to_recordset(CAST(:page AS jsonb)) AS p (
           prospect_id text, revision bigint, updated_at timestamptz, payload jsonb, email_key text, name_key text,
           retain_until timestamptz)
     ORDER BY prospect_id, revision DESC, updated_at DESC
)
INSERT INTO sync.prospect AS kept (
       source, prospect_id, revision, payload, email_key, name_key, updated_at, retain_until)
SELECT :source, page.prospect_id, page.revision, page.payload, page.email_key, page.name_key, page.updated_at,
       page.retain_until
  FROM page LEFT JOIN sync.prospect old ON old.source = :source AND old.prospect_id = page.prospect_id
 WHERE old.prospect_key IS NULL OR (page.revision, page.updated_at) > (old.revision, old.updated_at)
    OR (page.revision, page.updated_at) = (old.revision, old.updated_at)
       AND (page.payload <> old.payload OR old.stored_at < statement_timestamp() - interval '7 days')
 ORDER BY page.prospect_id
ON CONFLICT (source, prospect_id) DO UPDATE
   SET revision = excluded.revision, payload = excluded.payload, email_key = excluded.email_key,
       name_key = excluded.name_key, updated_at = excluded.updated_at, stored_at = statement_timestamp(),
       retain_until = excluded.retain_until, removed_at = NULL
 WHERE (excluded.revision, excluded.updated_at) >= (kept.revision, kept.updated_at)
""")

# By their ids alone: unfolding the page's payloads once more would cost as much as storing them.
_ADD_ITEMS = sa.text("""
INSERT INTO sync.work_item (run_id, prospect_key, group_key)
SELECT :run_id, p.prospect_key, p.prospect_key
  FROM sync.prospect p
 WHERE p.source = :source AND p.prospect_id = ANY(ARRAY(SELECT json_array_elements_text(CAST(:prospect_ids AS json))))
 ORDER BY p.prospect_key
ON CONFLICT DO NOTHING
""")

# Between the two statements above the nightly removal may have emptied a prospect that had nothing new to say. With an
# item it cannot be emptied any more.
_EMPTIED = sa.text("""
SELECT 1 FROM sync.prospect p
 WHERE p.source = :source AND p.prospect_id = ANY(ARRAY(SELECT json_array_elements_text(CAST(:prospect_ids AS json))))
   AND p.removed_at IS NOT NULL LIMIT 1
""")

TOUCH_RUN = sa.text("UPDATE sync.sync_run SET touched_at = statement_timestamp() WHERE run_id = :run_id")

DISCOVERED = sa.text("""
UPDATE sync.sync_run SET touched_at = statement_timestamp(), discovered_at = statement_timestamp()
 WHERE run_id = :run_id
""")

_PERSON_TABLES = (
    sa.text("CREATE TEMPORARY TABLE shared_key (match_key text, prospect_key bigint) ON COMMIT DROP"),
    sa.text("CREATE TEMPORARY TABLE person_group (prospect_key bigint PRIMARY KEY, group_key bigint) ON COMMIT DROP"),
)

# Only what at least two prospects of the run have in common. Counted in one pass over the sorted keys: of a run just
# discovered the planner expects no rows, and would compare every prospect with every other one.
_SHARED_KEYS = sa.text("""
INSERT INTO shared_key
WITH item AS MATERIALIZED (
    SELECT p.prospect_key, p.email_key, p.name_key FROM sync.work_item i JOIN sync.prospect p USING (prospect_key)
     WHERE i.run_id = :run_id AND i.state <> 'settled'
), item_key AS (
    SELECT email_key AS match_key, prospect_key FROM item WHERE email_key IS NOT NULL
     UNION ALL
    SELECT name_key, prospect_key FROM item WHERE name_key IS NOT NULL AND :by_name
), counted AS (
    SELECT match_key, prospect_key, count(*) OVER (PARTITION BY match_key) AS prospects FROM item_key
)
SELECT match_key, prospect_key FROM counted WHERE prospects > 1
""")

_EACH_ITS_OWN = sa.text("INSERT INTO person_group SELECT DISTINCT prospect_key, prospect_key FROM shared_key")

# A person's group is the lowest prospect key among those it is chained to. Each round merges every group into the
# lowest one it shares a key with, then follows where that one went: a chain of n takes about log n rounds.
_MERGE_GROUPS = sa.text("""
WITH of_key AS (
    SELECT k.match_key, min(g.group_key) AS lowest
      FROM shared_key k JOIN person_group g USING (prospect_key) GROUP BY k.match_key
), merged AS (
    SELECT g.group_key, min(o.lowest) AS lowest
      FROM shared_key k JOIN of_key o USING (match_key) JOIN person_group g USING (prospect_key) GROUP BY g.group_key
)
UPDATE person_group g SET group_key = merged.lowest
  FROM merged WHERE merged.group_key = g.group_key AND merged.lowest < g.group_key
""")
_FOLLOW = sa.text("""
UPDATE person_group g SET group_key = other.group_key
  FROM person_group other WHERE other.prospect_key = g.group_key AND other.group_key < g.group_key
""")

_APPLY_GROUPS = sa.text("""
UPDATE sync.work_item i SET group_key = g.group_key
  FROM person_group g
 WHERE i.run_id = :run_id AND i.prospect_key = g.prospect_key AND i.state <> 'settled' AND i.group_key <> g.group_key
""")


class Intake(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that is about discovery."""

    def store_prospects(self, run_id: UUID, source: str, prospects: Sequence[DiscoveredProspect]) -> int:
        if not prospects:
            return 0
        ids = [found.prospect.prospect_id for found in prospects]

        def work(connection: sa.Connection) -> int:
            items = {"run_id": run_id, "source": source, "prospect_ids": rows_json(ids)}
            added = store_page(connection, page_parameters(source, prospects), _ADD_ITEMS, items)
            connection.execute(TOUCH_RUN, {"run_id": run_id})
            return added

        return self._database.run("store prospects", work)

    def group_persons(self, run_id: UUID, by_name: bool) -> None:
        def work(connection: sa.Connection) -> None:
            for statement in _PERSON_TABLES:
                connection.execute(statement)
            connection.execute(_SHARED_KEYS, {"run_id": run_id, "by_name": by_name})
            connection.execute(_EACH_ITS_OWN)
            while connection.execute(_MERGE_GROUPS).rowcount:
                connection.execute(_FOLLOW)
            connection.execute(_APPLY_GROUPS, {"run_id": run_id})
            connection.execute(DISCOVERED, {"run_id": run_id})

        self._database.run("group persons", work)


def keep_newest(connection: sa.Connection, source: str, prospects: Sequence[DiscoveredProspect]) -> None:
    """Store the prospects of a page, where they say anything new."""
    connection.execute(_STORE, page_parameters(source, prospects))


def store_page(
    connection: sa.Connection, page: dict[str, object], add_items: sa.TextClause, items: dict[str, object]
) -> int:
    """Keep the newest revisions of a page and add work items by a statement. Returns items added.

    Args:
        items: the statement's parameters, among them `source` and `prospect_ids`.
    """
    connection.execute(_STORE, page)
    added = connection.execute(add_items, items).rowcount
    if connection.scalar(_EMPTIED, items):
        connection.execute(_STORE, page)
    return added


def page_parameters(source: str, prospects: Sequence[DiscoveredProspect]) -> dict[str, object]:
    """What `store_page` stores."""
    return {"source": source, "page": rows_json([_row(p) for p in prospects], marked=True)}


def add_items(connection: sa.Connection, run_id: UUID, source: str, prospect_ids: Sequence[str]) -> int:
    """Give a run work items for stored prospects. Returns how many it had not yet."""
    items = {"run_id": run_id, "source": source, "prospect_ids": rows_json(prospect_ids)}
    added = connection.execute(_ADD_ITEMS, items).rowcount
    connection.execute(TOUCH_RUN, {"run_id": run_id})
    return added


def _row(found: DiscoveredProspect) -> dict[str, object]:
    prospect = found.prospect
    return {
        "prospect_id": prospect.prospect_id,
        "revision": prospect.revision,
        "updated_at": prospect.updated_at,
        "payload": prospect.payload,
        "email_key": found.email_key,
        "name_key": found.name_key,
        "retain_until": retain_until(prospect.payload),
    }
