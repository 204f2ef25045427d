"""Who creates a person: one record id per organisation, table and match key, given to whoever comes first.

The unique key decides, not a query, so it holds against any number of workers and however late the CRM's own index is.
A hold stands while its holder's work item is leased; when that worker dies, the next one takes the hold over, under the
same record id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.ledger import Claim, PersonClaim, PersonHold
from dynamics.store.rows import rows_json
from dynamics.store.transactions import LedgerPart

# A wish of the same call that came before is about to create the person; its lease is of no interest.
SAME_CALL_S = 1.0

_WANTED = """
json_to_recordset(CAST(:wanted AS json)) AS w (
    position bigint, table_name text, match_key text, record_id uuid, prospect_key bigint)"""

# In the order of the keys, so that two calls which want some of the same wait for each other and never crosswise.
_TAKE = sa.text(f"""
INSERT INTO sync.person_lock
       (organization_id, table_name, match_key, record_id, prospect_key, holder_run_id, holder_key)
SELECT DISTINCT ON (table_name, match_key)
       CAST(:organization_id AS uuid), table_name, match_key, record_id, prospect_key,
       CAST(:run_id AS uuid), prospect_key
  FROM {_WANTED}
 ORDER BY table_name, match_key, position
ON CONFLICT DO NOTHING
RETURNING table_name, match_key
""")  # noqa: S608 - a constant

# Locked by one statement and looked at by the next: a statement that has waited for a lock sees the row as it is now,
# but joined to a lease as it was before, and would find a hold free that somebody has just taken over.
_LOCK = sa.text(f"""
SELECT 1 FROM sync.person_lock l
 WHERE l.organization_id = :organization_id
   AND (l.table_name, l.match_key) IN (SELECT table_name, match_key FROM {_WANTED})
 ORDER BY l.table_name, l.match_key
   FOR UPDATE
""")  # noqa: S608 - a constant

_LOOK = sa.text(f"""
SELECT l.table_name, l.match_key, l.record_id, l.prospect_key, l.settled, l.holder_run_id, l.holder_key,
       CAST(extract(epoch FROM i.lease_until - statement_timestamp()) AS double precision) AS busy_s
  FROM sync.person_lock l
  LEFT JOIN sync.work_item i ON i.run_id = l.holder_run_id AND i.prospect_key = l.holder_key
       AND i.state || '' IN ('claimed', 'sent') AND i.lease_until > statement_timestamp()
 WHERE l.organization_id = :organization_id
   AND (l.table_name, l.match_key) IN (SELECT table_name, match_key FROM {_WANTED})
""")  # noqa: S608 - a constant

_CHANGE = sa.text("""
UPDATE sync.person_lock l
   SET record_id = c.record_id, prospect_key = c.prospect_key, settled = c.settled,
       holder_run_id = c.holder_run_id, holder_key = c.holder_key
  FROM json_to_recordset(CAST(:changed AS json)) AS c (
       table_name text, match_key text, record_id uuid, prospect_key bigint, settled boolean, holder_run_id uuid,
       holder_key bigint)
 WHERE l.organization_id = :organization_id AND l.table_name = c.table_name AND l.match_key = c.match_key
""")

_REPLACE = sa.text("""
UPDATE sync.person_lock
   SET record_id = :record_id, prospect_key = :prospect_key, settled = false, holder_run_id = NULL, holder_key = NULL,
       taken_at = statement_timestamp()
 WHERE organization_id = :organization_id AND table_name = :table_name AND match_key = ANY(CAST(:keys AS text[]))
   AND record_id = :dead_record_id
""")


@dataclass(frozen=True)
class _Want:
    """One key of one wish. `position` is the wish's place in the call."""

    position: int
    table_name: str
    match_key: str
    record_id: UUID
    prospect_key: int


@dataclass
class _Lock:
    """A row of `person_lock` during one call. `busy_s`: how long its holder's lease still stands; None: it does not."""

    table_name: str
    match_key: str
    record_id: UUID
    prospect_key: int
    settled: bool
    holder_run_id: UUID | None
    holder_key: int | None
    busy_s: float | None
    taken_by: int | None = None  # position of the wish that has just taken it
    changed: bool = False

    @property
    def holder(self) -> tuple[UUID | None, int | None]:
        """The work item that is creating the record: run and prospect."""
        return self.holder_run_id, self.holder_key

    def pass_to(self, run_id: UUID, prospect_key: int) -> None:
        """A hold whose holder stopped goes to the next one."""
        self.holder_run_id, self.holder_key, self.busy_s, self.changed = run_id, prospect_key, SAME_CALL_S, True

    def follow(self, other: _Lock) -> None:
        """Name the same person as `other`."""
        self.record_id, self.prospect_key, self.settled = other.record_id, other.prospect_key, other.settled
        self.holder_run_id, self.holder_key, self.busy_s = other.holder_run_id, other.holder_key, other.busy_s
        self.taken_by, self.changed = None, True


class Persons(LedgerPart):
    """The part of `dynamics.sync.ports.Ledger` that keeps two workers from creating one person."""

    def hold_persons(self, organization_id: UUID, claim: Claim, wishes: Sequence[PersonClaim]) -> list[PersonHold]:
        """As the port says. All free keys of a wish go to whoever holds its strongest key that is taken."""
        wanted = [
            _Want(position, wish.table, key, wish.record_id, wish.prospect_key)
            for position, wish in enumerate(wishes)
            for key in wish.keys
        ]
        given = {"organization_id": organization_id, "run_id": claim.run_id, "wanted": rows_json(wanted)}

        def work(connection: sa.Connection) -> list[PersonHold]:
            taken: set[tuple[str, str]] = set()
            while True:  # once more when the nightly removal has deleted a key that stood there a moment ago
                taken |= {(row.table_name, row.match_key) for row in connection.execute(_TAKE, given)}
                if len(connection.execute(_LOCK, given).all()) == len({(w.table_name, w.match_key) for w in wanted}):
                    break
            rows = connection.execute(_LOOK, given).all()
            locks = {(row.table_name, row.match_key): _Lock(**row._mapping) for row in rows}
            for want in reversed(wanted):  # the first wish for a key is the one that took it
                if (want.table_name, want.match_key) in taken:
                    locks[want.table_name, want.match_key].taken_by = want.position
            holds = [self._hold(position, wish, claim.run_id, locks) for position, wish in enumerate(wishes)]
            changed = [asdict(lock) for lock in locks.values() if lock.changed]
            if changed:
                connection.execute(_CHANGE, given | {"changed": rows_json(changed)})
            return holds

        return self._database.run("hold persons", work)

    def replace_person(self, organization_id: UUID, wish: PersonClaim, dead_record_id: UUID) -> None:
        given = {
            "organization_id": organization_id,
            "table_name": wish.table,
            "keys": list(wish.keys),
            "record_id": wish.record_id,
            "prospect_key": wish.prospect_key,
            "dead_record_id": dead_record_id,
        }
        self._database.run("replace person", lambda connection: connection.execute(_REPLACE, given))

    def _hold(self, position: int, wish: PersonClaim, run_id: UUID, locks: dict[tuple[str, str], _Lock]) -> PersonHold:
        """Decide one wish and note in `locks` what has to change."""
        if not wish.keys:  # nobody can tell that this is somebody else
            return PersonHold(wish.prospect_key, wish.record_id, mine=True, settled=False, busy_until=None)
        wanted = [locks[wish.table, key] for key in wish.keys]
        person = next((lock for lock in wanted if lock.taken_by != position), wanted[0])
        if person.taken_by != position:
            for lock in wanted:
                if lock.taken_by == position:
                    lock.follow(person)
        mine, holder = person.prospect_key == wish.prospect_key, (run_id, wish.prospect_key)
        if person.settled:
            return PersonHold(wish.prospect_key, person.record_id, mine, settled=True, busy_until=None)
        if person.busy_s is not None and person.holder != holder:
            until = self._in(person.busy_s)
            return PersonHold(wish.prospect_key, person.record_id, mine=False, settled=False, busy_until=until)
        for lock in wanted:
            if lock.record_id == person.record_id and lock.holder != holder:
                lock.pass_to(*holder)
        return PersonHold(wish.prospect_key, person.record_id, mine, settled=False, busy_until=None)
