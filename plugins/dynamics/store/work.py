"""The queue: work items leased to workers in chunks, with a fence, and given back.

A lease runs by the database's clock. Claims of one run come one after the other (they lock the run's row for some
milliseconds), so that no two workers share out the prospects of one person between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from uuid import UUID

import pandas as pd
import sqlalchemy as sa

from dynamics.core.ledger import Claim
from dynamics.store.rows import bigints
from dynamics.store.runs import unknown_run
from dynamics.store.transactions import LedgerPart

SHARES = 4
SMALLEST = 125
_DTYPES = {
    "prospect_key": "int64",
    "source": "str",
    "prospect_id": "str",
    "revision": "int64",
    "payload": "object",
    "fence": "int64",
    "attempts": "int64",
}

# Says that somebody works on the run, and makes other claims of it wait.
_ENTER = sa.text("""
UPDATE sync.sync_run SET touched_at = statement_timestamp() WHERE run_id = :run_id RETURNING state
""")

_REOPEN = sa.text("UPDATE sync.sync_run SET state = 'running', finished_at = NULL WHERE run_id = :run_id")

_WAITING = sa.text("""
SELECT count(*) FROM (
    SELECT 1 FROM sync.work_item WHERE run_id = :run_id AND state = 'pending' LIMIT :most) AS waiting
""")

_DUE = sa.text("""
SELECT prospect_key, group_key FROM sync.work_item
 WHERE run_id = :run_id AND state <> 'settled'
   AND available_at <= statement_timestamp() AND (lease_until IS NULL OR lease_until <= statement_timestamp())
 ORDER BY group_key, prospect_key
 LIMIT :size
   FOR UPDATE SKIP LOCKED
""")

_LEASE = sa.text("""
WITH leased AS (
    UPDATE sync.work_item
       SET state = 'claimed', worker = :worker, fence = fence + 1, release_reason = NULL,
           lease_until = statement_timestamp() + make_interval(secs => :lease_s)
     WHERE run_id = :run_id AND prospect_key = ANY(CAST(:prospect_keys AS bigint[]))
    RETURNING prospect_key, group_key, fence, attempts
)
SELECT p.prospect_key, p.source, p.prospect_id, p.revision, p.payload, l.fence,
       CASE WHEN l.attempts = 0 THEN 0 ELSE (
           SELECT count(*) FROM sync.attempt a
            WHERE a.run_id = :run_id AND a.prospect_key = l.prospect_key AND a.result IS DISTINCT FROM 'not_sent')
       END AS attempts
  FROM leased l JOIN sync.prospect p USING (prospect_key)
 ORDER BY l.group_key, p.prospect_key
""")

# Items of a claim are found by their whole key. Their state is written as an expression in these statements, so that
# the index of open items is no candidate: while a run goes on, its statistics may promise few where there are many.
# A claim's items as rows. Materialized, so that the run's id is no constant to the planner: see `settling`.
CLAIMED = """
claimed AS MATERIALIZED (
    SELECT CAST(:run_id AS uuid) AS run_id, prospect_key, fence
      FROM unnest(CAST(:prospect_keys AS bigint[]), CAST(:fences AS bigint[])) AS c (prospect_key, fence)
)"""

_IF_HELD = """
  FROM claimed c
 WHERE i.run_id = c.run_id AND i.prospect_key = c.prospect_key AND i.fence = c.fence
   AND i.state || '' IN ('claimed', 'sent')"""

# Never waits: an item that is being settled or extended by another thread of the worker needs nothing more, and two
# statements that each wait for rows of the other would be a deadlock.
_EXTEND = sa.text(f"""
WITH {CLAIMED}, free AS MATERIALIZED (
    SELECT i.run_id, i.prospect_key FROM claimed c
      JOIN sync.work_item i ON i.run_id = c.run_id AND i.prospect_key = c.prospect_key AND i.fence = c.fence
     WHERE i.state || '' IN ('claimed', 'sent')
       FOR UPDATE OF i SKIP LOCKED
)
UPDATE sync.work_item i SET lease_until = statement_timestamp() + make_interval(secs => :lease_s)
  FROM free f WHERE i.run_id = f.run_id AND i.prospect_key = f.prospect_key
""")  # noqa: S608 - a constant

_LOST = sa.text(f"""
WITH {CLAIMED}
SELECT EXISTS (
    SELECT 1 FROM claimed c
      JOIN sync.work_item i ON i.run_id = c.run_id AND i.prospect_key = c.prospect_key AND i.fence <> c.fence)
""")  # noqa: S608 - a constant

_RELEASE = sa.text(f"""
WITH {CLAIMED}
UPDATE sync.work_item i
   SET state = 'pending', worker = NULL, lease_until = NULL, release_reason = :reason,
       available_at = statement_timestamp() + make_interval(secs => :after_s) {_IF_HELD}
""")  # noqa: S608 - a constant

_NEXT_DUE = sa.text("""
SELECT extract(epoch FROM min(greatest(available_at, lease_until)) - statement_timestamp())
  FROM sync.work_item WHERE run_id = :run_id AND state <> 'settled'
""")


class Work(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that hands out work."""

    def claim(self, run_id: UUID, worker: str, size: int, lease_s: float) -> Claim:
        """As the port says; a group larger than a claim is handed out in parts, the others always whole."""

        def work(connection: sa.Connection) -> Sequence[sa.Row[tuple[object, ...]]]:
            state = connection.execute(_ENTER, {"run_id": run_id}).scalar_one_or_none()
            if state is None:
                raise unknown_run(run_id)
            waiting = connection.execute(_WAITING, {"run_id": run_id, "most": size * SHARES}).scalar_one()
            due = connection.execute(_DUE, {"run_id": run_id, "size": size + 1}).all()
            keys = whole_groups([(key, group) for key, group in due], size, fair_share(waiting, size))
            if not keys:
                return ()
            if state != "running":  # closed with work pending, and taken up again
                connection.execute(_REOPEN, {"run_id": run_id})
            lease = {"run_id": run_id, "worker": worker, "lease_s": lease_s, "prospect_keys": bigints(keys)}
            return connection.execute(_LEASE, lease).all()

        rows = self._database.run("claim", work)
        return Claim(run_id, worker, _items([tuple(row) for row in rows]) if rows else _no_items())

    def extend(self, claim: Claim, lease_s: float) -> bool:
        def work(connection: sa.Connection) -> bool:
            connection.execute(_EXTEND, held(claim) | {"lease_s": lease_s})
            return not connection.execute(_LOST, held(claim)).scalar_one()

        return self._database.run("extend lease", work)

    def release(self, claim: Claim, prospect_keys: Sequence[int], after_s: float, reason: str) -> None:
        given = held(claim, prospect_keys) | {"after_s": after_s, "reason": reason}
        self._database.run("release", lambda connection: connection.execute(_RELEASE, given))

    def next_due_s(self, run_id: UUID) -> float | None:
        due = self._database.run("look for work", lambda c: c.scalar(_NEXT_DUE, {"run_id": run_id}))
        return None if due is None else max(0.0, float(due))


def _items(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows, columns=list(_DTYPES)).astype(_DTYPES)


@cache
def _no_items() -> pd.DataFrame:
    """Every drain ends with a claim of nothing, mostly with two; nobody changes it."""
    return _items([])


def fair_share(waiting: int, size: int) -> int:
    """How many items a claim takes: up to `size`, fewer when little is left, so that a run's end is shared as well."""
    return min(size, max(SMALLEST, -(-waiting // SHARES)))


def whole_groups(due: Sequence[tuple[int, int]], size: int, share: int) -> list[int]:
    """Choose what to claim.

    Args:
        due: (prospect key, group key), ordered by group; up to `size` + 1 of them.
        size: items a claim may hold.
        share: items a claim should hold.
    Returns:
        Prospect keys of whole groups, up to the share; a first group that is larger goes whole all the same if it fits
        into the size, else in parts.
    """
    taken: list[int] = []
    for _, members in groupby(due, key=lambda item: item[1]):
        group = [key for key, _ in members]
        cut_off = len(due) > size and group[-1] == due[-1][0]
        if taken and (cut_off or len(taken) + len(group) > share):
            break
        taken += group
    return taken[:size]


def held(claim: Claim, only: Sequence[int] | None = None) -> dict[str, object]:
    """Run, prospect keys and fences of a claim, as parameters."""
    items = claim.items if only is None else claim.items[claim.items["prospect_key"].isin(list(only))]
    return {
        "run_id": claim.run_id,
        "prospect_keys": bigints(items["prospect_key"]),
        "fences": bigints(items["fence"]),
    }
