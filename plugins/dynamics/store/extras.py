"""Remembers what was made beside persons' records, by its minted id: never made twice, never brought back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.extras import MadeExtra
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

_MADE = sa.text("""
SELECT extra_id FROM sync.extra
 WHERE organization_id = :organization_id AND extra_id = ANY(CAST(:extra_ids AS uuid[]))
""")

# In the order of the key: two workers may remember the same accounts at once.
_KEEP = sa.text("""
INSERT INTO sync.extra (organization_id, extra_id, table_name, prospect_key)
SELECT CAST(:organization_id AS uuid), e.extra_id, e."table", e.prospect_key
  FROM json_to_recordset(CAST(:extras AS json)) AS e (extra_id uuid, "table" text, prospect_key bigint)
 ORDER BY e.extra_id
ON CONFLICT DO NOTHING
""")


class Extras(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that is about extras."""

    def extras_made(self, organization_id: UUID, extra_ids: Sequence[UUID]) -> set[UUID]:
        if not extra_ids:
            return set()
        listed = "{" + ",".join(map(str, extra_ids)) + "}"
        given = {"organization_id": organization_id, "extra_ids": listed}
        return set(self._database.run("read extras", lambda connection: connection.scalars(_MADE, given).all()))

    def keep_extras(self, organization_id: UUID, extras: Sequence[MadeExtra]) -> None:
        if extras:
            given = {"organization_id": organization_id, "extras": rows_json(extras)}
            self._database.run("keep extras", lambda connection: connection.execute(_KEEP, given))
