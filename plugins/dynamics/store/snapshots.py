"""What the mapping of an action saw of an organisation, kept until it is looked at again. No record, no person.

What it means is decided in `core.drift`.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from dynamics.core.crm import JsonObject
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

_FIND = sa.text(
    "SELECT content FROM sync.schema_snapshot WHERE action = :action AND organization_id = :organization_id"
)

_KEEP = sa.text("""
INSERT INTO sync.schema_snapshot (action, organization_id, content)
VALUES (:action, :organization_id, CAST(:rows AS jsonb) -> 0)
ON CONFLICT (action, organization_id) DO UPDATE SET content = excluded.content, seen_at = now()
 WHERE schema_snapshot.content IS DISTINCT FROM excluded.content
""")


class Snapshots(LedgerPart):
    """The snapshots in the audit database: table -> column -> facts, as `core.drift.as_json` writes them."""

    def snapshot(self, action: str, organization_id: UUID) -> JsonObject | None:
        """What was kept last; None when nothing was."""
        given = {"action": action, "organization_id": organization_id}
        return self._database.run("read snapshot", lambda c: c.execute(_FIND, given).scalar())

    def keep_snapshot(self, action: str, organization_id: UUID, content: JsonObject) -> None:
        """Keep this one instead."""
        given = {"action": action, "organization_id": organization_id, "rows": rows_json([content])}
        self._database.run("keep snapshot", lambda c: c.execute(_KEEP, given))
