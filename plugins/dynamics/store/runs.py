"""Runs in the ledger: opened once, counted, closed; and what a stopped one left open is closed by a later one.

The counts of a closed run stand in its row. Whatever settles an item of a closed run counts it anew, and closing waits
for settlements under way (`FOR UPDATE` here against `FOR KEY SHARE` there), so the row is never wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.ledger import Run, RunCounts
from dynamics.errors import ConfigurationError, Fault
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

_RUN_COLUMNS = (
    "run_id, action, account, trigger, dry_run, settings, mapping_hash, organization_id, dag_id, dag_run_id,"
    " clear_number"
)

_OPEN = sa.text(f"""
INSERT INTO sync.sync_run ({_RUN_COLUMNS})
SELECT {_RUN_COLUMNS}
  FROM json_to_recordset(CAST(:runs AS json)) AS r (
       run_id uuid, action text, account text, trigger text, dry_run boolean, settings jsonb, mapping_hash text,
       organization_id uuid, dag_id text, dag_run_id text, clear_number bigint)
ON CONFLICT DO NOTHING
""")  # noqa: S608 - a constant

_FIND = sa.text(f"""
SELECT {_RUN_COLUMNS} FROM sync.sync_run
 WHERE run_id = :run_id
    OR (dag_id = :dag_id AND dag_run_id = :dag_run_id AND clear_number = :clear_number)
 ORDER BY started_at LIMIT 1
""")  # noqa: S608 - a constant

_BIND = sa.text("""
INSERT INTO sync.account_binding (account, organization_id, url) VALUES (:account, :organization_id, :url)
ON CONFLICT (account) DO UPDATE SET url = excluded.url
 WHERE account_binding.organization_id = excluded.organization_id
   AND account_binding.url IS DISTINCT FROM excluded.url
""")

_COUNT = sa.text("""
SELECT (SELECT count(*) FROM sync.work_item WHERE run_id = :run_id) AS selected,
       count(*) FILTER (WHERE outcome = 'created') AS created,
       count(*) FILTER (WHERE outcome = 'updated') AS updated,
       count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged,
       count(*) FILTER (WHERE outcome = 'skipped') AS skipped,
       count(*) FILTER (WHERE outcome = 'rejected') AS rejected,
       count(*) FILTER (WHERE outcome = 'deferred') AS deferred,
       (SELECT count(*) FROM sync.work_item WHERE run_id = :run_id AND state <> 'settled') AS open,
       count(*) FILTER (WHERE reason = 'run_abandoned') AS abandoned,
       (SELECT discovered_at IS NOT NULL FROM sync.sync_run WHERE run_id = :run_id) AS discovered
  FROM sync.outcome WHERE run_id = :run_id
""")

# Goes along with the `FOR KEY SHARE` of settlements, and not with itself: they count one after the other.
_COUNTER = sa.text("SELECT 1 FROM sync.sync_run WHERE run_id = :run_id FOR NO KEY UPDATE")

_KEEP_COUNTS = sa.text("""
UPDATE sync.sync_run
   SET selected = :selected, created = :created, updated = :updated, unchanged = :unchanged, skipped = :skipped,
       rejected = :rejected, deferred = :deferred, open_items = :open
 WHERE run_id = :run_id
""")

_CLOSE = sa.text("""
UPDATE sync.sync_run
   SET state = :state,
       finished_at = CASE WHEN state = :state THEN finished_at ELSE statement_timestamp() END,
       requests = requests + CASE WHEN finished_at IS NULL THEN :requests ELSE 0 END
 WHERE run_id = :run_id
""")

_STALE = """
SELECT run_id FROM sync.sync_run r
 WHERE (state = 'running' OR open_items > 0)
   AND touched_at < statement_timestamp() - make_interval(secs => :older_than_s)
   AND NOT EXISTS (
       SELECT 1 FROM sync.work_item i
        WHERE i.run_id = r.run_id AND i.state IN ('claimed', 'sent') AND i.lease_until > statement_timestamp())"""

_STALE_OF_ACCOUNT = sa.text(f"""{_STALE}
   AND account = :account AND organization_id = :organization_id AND run_id <> :except_run
 ORDER BY run_id
   FOR UPDATE OF r SKIP LOCKED
""")

_STALEST = sa.text(f"""{_STALE}
   AND run_id <> ALL(:seen) ORDER BY touched_at LIMIT 1
   FOR UPDATE OF r SKIP LOCKED
""")

# An item with an open attempt may have a record: whoever reads the CRM next settles it (`settle_attempts`).
_ABANDON = sa.text("""
WITH closed AS (
    UPDATE sync.work_item i
       SET state = 'settled', fence = i.fence + 1, worker = NULL, lease_until = NULL
     WHERE i.run_id = :run_id AND i.state <> 'settled'
       AND NOT EXISTS (
           SELECT 1 FROM sync.attempt a
            WHERE a.prospect_key = i.prospect_key AND a.run_id = i.run_id AND a.result IS NULL)
    RETURNING i.run_id, i.prospect_key, i.attempts
)
INSERT INTO sync.outcome (run_id, prospect_key, revision, outcome, reason, attempts)
SELECT c.run_id, c.prospect_key, p.revision, 'deferred', 'run_abandoned', c.attempts
  FROM closed c JOIN sync.prospect p USING (prospect_key)
""")

_FAIL = sa.text("""
UPDATE sync.sync_run SET state = 'failed', finished_at = statement_timestamp()
 WHERE run_id = :run_id AND state = 'running'
""")


class Runs(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that is about runs and accounts."""

    def open_run(self, run: Run) -> Run:
        def work(connection: sa.Connection) -> Run:
            connection.execute(_OPEN, {"runs": rows_json([run])})
            return _find(connection, run.run_id, run.dag_id, run.dag_run_id, run.clear_number)

        return self._database.run("open run", work)

    def run(self, run_id: UUID) -> Run:
        return self._database.run("read run", lambda connection: _find(connection, run_id))

    def bind_account(self, account: str, organization_id: UUID, url: str) -> UUID:
        def work(connection: sa.Connection) -> UUID:
            connection.execute(_BIND, {"account": account, "organization_id": organization_id, "url": url})
            bound = sa.text("SELECT organization_id FROM sync.account_binding WHERE account = :account")
            found: UUID = connection.execute(bound, {"account": account}).scalar_one()
            return found

        return self._database.run("bind account", work)

    def bound_organization(self, account: str) -> UUID | None:
        """The organisation that an account is bound to; None before its first use."""
        bound = sa.text("SELECT organization_id FROM sync.account_binding WHERE account = :account")
        found: UUID | None = self._database.run("read binding", lambda c: c.scalar(bound, {"account": account}))
        return found

    def finish_run(self, run_id: UUID, state: str, requests: int) -> RunCounts:
        def work(connection: sa.Connection) -> RunCounts:
            connection.execute(
                sa.text("SELECT 1 FROM sync.sync_run WHERE run_id = :run_id FOR UPDATE"), {"run_id": run_id}
            )
            connection.execute(_CLOSE, {"run_id": run_id, "state": state, "requests": requests})
            return keep_counts(connection, run_id)

        return self._database.run("finish run", work)

    def add_requests(self, run_id: UUID, requests: int) -> None:
        """As the port says. Told twice if the database is cut off in the very commit: it is a statistic."""
        add = sa.text("UPDATE sync.sync_run SET requests = requests + :requests WHERE run_id = :run_id")
        self._database.run("add requests", lambda c: c.execute(add, {"run_id": run_id, "requests": requests}))

    def counts(self, run_id: UUID) -> RunCounts:
        return self._database.run("count outcomes", lambda connection: _count(connection, run_id))

    def abandon_run(self, run_id: UUID) -> int:
        """Close a run that cannot be gone on with, as `abandon_stale_runs` does. Returns items closed."""
        return self._database.run("abandon run", lambda connection: _abandon(connection, run_id))

    def abandon_stale_runs(self, account: str, organization_id: UUID, older_than_s: float, except_run: UUID) -> int:
        given = {"account": account, "organization_id": organization_id, "except_run": except_run}

        def work(connection: sa.Connection) -> int:
            stale = connection.scalars(_STALE_OF_ACCOUNT, given | {"older_than_s": older_than_s}).all()
            return sum(_abandon(connection, run_id) for run_id in stale)

        return self._database.run("abandon stale runs", work)

    def abandon_stalest_run(self, older_than_s: float, seen: Sequence[UUID]) -> tuple[UUID, int] | None:
        """The same for one run of any account, the one silent for longest, but none of `seen`.

        Returns:
            the run and how many of its items were closed; None when there is no such run.
        """
        given = {"older_than_s": older_than_s, "seen": list(seen)}

        def work(connection: sa.Connection) -> tuple[UUID, int] | None:
            run_id: UUID | None = connection.scalar(_STALEST, given)
            return (run_id, _abandon(connection, run_id)) if run_id is not None else None

        return self._database.run("abandon stale runs", work)


def keep_counts(connection: sa.Connection, run_id: UUID) -> RunCounts:
    """Write the run's counts into its row. Whoever counts last has seen what all others have settled."""
    connection.execute(_COUNTER, {"run_id": run_id})
    counts = _count(connection, run_id)
    connection.execute(_KEEP_COUNTS, {"run_id": run_id, **counts.__dict__})
    return counts


def _count(connection: sa.Connection, run_id: UUID) -> RunCounts:
    return RunCounts(**connection.execute(_COUNT, {"run_id": run_id}).one()._mapping)


def _abandon(connection: sa.Connection, run_id: UUID) -> int:
    closed = connection.execute(_ABANDON, {"run_id": run_id}).rowcount
    if not keep_counts(connection, run_id).open:
        connection.execute(_FAIL, {"run_id": run_id})
    return closed


def _find(
    connection: sa.Connection,
    run_id: UUID,
    dag_id: str | None = None,
    dag_run_id: str | None = None,
    clear_number: int = 0,
) -> Run:
    given = {"run_id": run_id, "dag_id": dag_id, "dag_run_id": dag_run_id, "clear_number": clear_number}
    row = connection.execute(_FIND, given).one_or_none()
    if row is None:
        raise unknown_run(run_id)
    return Run(**row._mapping)


def unknown_run(run_id: UUID) -> ConfigurationError:
    """The error for a run id the ledger does not have."""
    remedy = "List the runs with `dynamics-sync log`."
    return ConfigurationError([Fault(f"run {run_id}", None, "is not in the audit database.", remedy)])
