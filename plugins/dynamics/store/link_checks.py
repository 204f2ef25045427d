"""Links that are held against the CRM: a bounded number at a time, going round from where the last check has ended.

What a link becomes is decided in `core.lifecycle`. Nothing is deleted here, and a link that a sync has changed
meanwhile is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.ledger import LinkState
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

# A million links, a few organisations: their ids are found by as many steps through the key.
LINKED_ORGANIZATIONS = """
linked (organization_id) AS (
    (SELECT organization_id FROM sync.record_link ORDER BY organization_id LIMIT 1)
     UNION ALL
    SELECT (SELECT l.organization_id FROM sync.record_link l
             WHERE l.organization_id > linked.organization_id ORDER BY l.organization_id LIMIT 1)
      FROM linked WHERE linked.organization_id IS NOT NULL
)"""

_ACCOUNTS = sa.text(f"""
WITH RECURSIVE {LINKED_ORGANIZATIONS}
SELECT organization_id, array_agg(b.account ORDER BY b.bound_at DESC, b.account) AS accounts
  FROM linked JOIN sync.account_binding b USING (organization_id)
 GROUP BY organization_id ORDER BY organization_id
""")  # noqa: S608 - a constant

_NEXT = sa.text("""
SELECT prospect_key, table_name, record_id FROM sync.record_link
 WHERE organization_id = :organization_id AND state = 'live'
   AND (prospect_key, table_name) > (:prospect_key, :table_name)
 ORDER BY prospect_key, table_name LIMIT :size
""")

_MARK = sa.text("""
UPDATE sync.record_link l SET state = m.state
  FROM json_to_recordset(CAST(:marks AS json)) AS m (prospect_key bigint, table_name text, record_id uuid, state text)
 WHERE l.organization_id = :organization_id AND l.prospect_key = m.prospect_key AND l.table_name = m.table_name
   AND l.record_id = m.record_id AND l.state = 'live'
""")

_WHERE = sa.text("SELECT prospect_key, table_name FROM sync.link_check WHERE organization_id = :organization_id")

_MOVE = sa.text("""
INSERT INTO sync.link_check (organization_id, prospect_key, table_name)
VALUES (:organization_id, :prospect_key, :table_name)
ON CONFLICT (organization_id) DO UPDATE
   SET prospect_key = excluded.prospect_key, table_name = excluded.table_name, checked_at = excluded.checked_at
""")

Position = tuple[int, str]
START: Position = (0, "")


@dataclass(frozen=True)
class LinkedRecord:
    """A live link: a prospect's record of one table."""

    prospect_key: int
    table_name: str
    record_id: UUID

    @property
    def position(self) -> Position:
        return self.prospect_key, self.table_name


@dataclass(frozen=True)
class Mark:
    """What a link has turned out to be."""

    prospect_key: int
    table_name: str
    record_id: UUID
    state: LinkState


class LinkChecks(LedgerPart):
    """The rotation through the links of each organisation. Every method is one short transaction."""

    def linked_organizations(self) -> list[tuple[UUID, list[str]]]:
        """Organisations with links, each with the accounts that are bound to it, the newest first."""
        rows = self._database.run("look for links", lambda c: c.execute(_ACCOUNTS).all())
        return [(row.organization_id, row.accounts) for row in rows]

    def checked_up_to(self, organization_id: UUID) -> Position:
        """Where the next check begins."""
        given = {"organization_id": organization_id}
        row = self._database.run("read links", lambda c: c.execute(_WHERE, given).one_or_none())
        return (row[0], row[1]) if row is not None else START

    def next_links(self, organization_id: UUID, after: Position, size: int) -> list[LinkedRecord]:
        """The next live links after a position, in order."""
        given = {"organization_id": organization_id, "prospect_key": after[0], "table_name": after[1], "size": size}
        rows = self._database.run("read links", lambda c: c.execute(_NEXT, given).all())
        return [LinkedRecord(*row) for row in rows]

    def mark_links(self, organization_id: UUID, marks: Sequence[Mark], reached: Position) -> int:
        """Say what links are that still name the same record, and how far the check has come. Returns how many."""

        def work(connection: sa.Connection) -> int:
            marked = 0
            if marks:
                given = {"organization_id": organization_id, "marks": rows_json(marks)}
                marked = connection.execute(_MARK, given).rowcount
            place = {"prospect_key": reached[0], "table_name": reached[1]}
            connection.execute(_MOVE, {"organization_id": organization_id} | place)
            return marked

        return self._database.run("mark links", work)
