"""What a run has left over, into a new run: no source is asked, the ledger holds everybody's newest revision."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.ledger import Outcome
from dynamics.store.transactions import LedgerPart

# In pages of so many items, not of so many that are left over: those may be few in a million.
_ADD = sa.text("""
WITH page AS MATERIALIZED (
    SELECT run_id, prospect_key, state, lease_until FROM sync.work_item
     WHERE run_id = :of_run AND prospect_key > :after ORDER BY prospect_key LIMIT :size
), added AS (
    INSERT INTO sync.work_item (run_id, prospect_key, group_key)
    SELECT :run_id, page.prospect_key, page.prospect_key
      FROM page LEFT JOIN sync.outcome o ON o.run_id = page.run_id AND o.prospect_key = page.prospect_key
     WHERE o.outcome = ANY(:outcomes)
        OR page.state <> 'settled' AND (page.lease_until IS NULL OR page.lease_until <= statement_timestamp())
     ORDER BY page.prospect_key
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added), (SELECT max(prospect_key) FROM page)
""")

_TOUCH = sa.text("UPDATE sync.sync_run SET touched_at = statement_timestamp() WHERE run_id = :run_id")


class Retrying(LedgerPart):
    """The discovery of a retry."""

    def add_left_over(
        self, run_id: UUID, of_run: UUID, outcomes: Sequence[Outcome], after: int, size: int
    ) -> tuple[int, int | None]:
        """Add work items for prospects that run `of_run` has left with these outcomes, or open and without a worker.

        Args:
            after: only prospects with a greater key.
            size: how many of the run's prospects are looked at.
        Returns:
            how many were added; the greatest prospect key that was looked at, None when there was none.
        """
        words = [outcome.value for outcome in outcomes]
        given = {"run_id": run_id, "of_run": of_run, "outcomes": words, "after": after, "size": size}

        def work(connection: sa.Connection) -> tuple[int, int | None]:
            added, last = connection.execute(_ADD, given).one()
            connection.execute(_TOUCH, {"run_id": run_id})
            return added, last

        return self._database.run("take up what is left over", work)
