"""The places, pauses and outages of one organisation, as the database keeps them for all workers.

A place is a request on the way: taken with a short lease, renewed while the request lasts, given back after it. The
look at pauses and outages stands in the transaction that takes a place. What follows from the state is decided in
`core.throttle`; all times are the database's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.throttle import (
    MAX_PLACES,
    URGENT_PLACE,
    Outage,
    Plan,
    UserState,
    after_failure,
    bounded_pause_s,
    lowered,
    plan,
)
from dynamics.store.transactions import Transactions

_NOW = "(statement_timestamp() + make_interval(secs => :shift_s))"

_REGISTER = (
    sa.text("""
INSERT INTO sync.budget (organization_id, application_user)
SELECT :organization_id, unnest(CAST(:users AS text[])) ORDER BY 2
ON CONFLICT DO NOTHING
"""),
    sa.text("""
INSERT INTO sync.budget_place (organization_id, application_user, number)
SELECT :organization_id, application_user, number
  FROM unnest(CAST(:users AS text[])) AS application_user,
       generate_series(CAST(:first AS int), CAST(:last AS int)) AS number
 ORDER BY 2, 3
ON CONFLICT DO NOTHING
"""),
    sa.text("INSERT INTO sync.outage (organization_id) VALUES (:organization_id) ON CONFLICT DO NOTHING"),
)

_SELECT_USERS = f"""
SELECT b.application_user, b.dop_hint, b.lowered_to,
       CAST(extract(epoch FROM {_NOW} - b.lowered_at) AS double precision) AS quiet_s,
       CAST(extract(epoch FROM b.paused_until - {_NOW}) AS double precision) AS pause_s,
       (SELECT count(*) FROM sync.budget_place p
         WHERE p.organization_id = b.organization_id AND p.application_user = b.application_user
           AND p.lease_until > {_NOW}) AS busy
  FROM sync.budget b
 WHERE b.organization_id = :organization_id AND b.application_user = ANY(CAST(:users AS text[]))
"""  # noqa: S608 - a constant
_USERS = sa.text(_SELECT_USERS)
_LOCKED_USERS = sa.text(f"{_SELECT_USERS} FOR UPDATE OF b")

_SELECT_OUTAGE = f"""
SELECT failures, CAST(extract(epoch FROM wait_until - {_NOW}) AS double precision) AS wait_s
  FROM sync.outage WHERE organization_id = :organization_id
"""  # noqa: S608 - a constant
_OUTAGE = sa.text(_SELECT_OUTAGE)
_LOCKED_OUTAGE = sa.text(f"{_SELECT_OUTAGE} FOR UPDATE")

_TAKE = sa.text(f"""
UPDATE sync.budget_place
   SET holder = :holder, lease_until = {_NOW} + make_interval(secs => :lease_s)
 WHERE (organization_id, application_user, number) = (
       SELECT organization_id, application_user, number FROM sync.budget_place
        WHERE organization_id = :organization_id AND application_user = :user AND number BETWEEN :first AND :last
          AND (lease_until IS NULL OR lease_until <= {_NOW})
        ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING number
""")  # noqa: S608 - a constant

_RENEW = sa.text(f"""
UPDATE sync.budget_place SET lease_until = {_NOW} + make_interval(secs => :lease_s)
 WHERE organization_id = :organization_id AND application_user = ANY(CAST(:users AS text[]))
   AND holder = ANY(CAST(:holders AS uuid[]))
""")  # noqa: S608 - a constant

_GIVE_BACK = sa.text("""
UPDATE sync.budget_place SET holder = NULL, lease_until = NULL
 WHERE organization_id = :organization_id AND application_user = :user AND number = :number AND holder = :holder
""")

_PAUSE = sa.text(f"""
UPDATE sync.budget
   SET paused_until = greatest(paused_until, {_NOW} + make_interval(secs => :seconds)),
       lowered_to = CASE WHEN :fewer THEN CAST(:lowered_to AS bigint) ELSE lowered_to END,
       lowered_at = CASE WHEN :fewer THEN {_NOW} ELSE lowered_at END
 WHERE organization_id = :organization_id AND application_user = :user
""")  # noqa: S608 - a constant

_ADVISE = sa.text("""
UPDATE sync.budget SET dop_hint = :hint
 WHERE organization_id = :organization_id AND application_user = :user
   AND dop_hint IS DISTINCT FROM CAST(:hint AS bigint)
""")

_FAIL = sa.text(f"""
UPDATE sync.outage SET failures = :failures, wait_until = {_NOW} + make_interval(secs => :wait_s)
 WHERE organization_id = :organization_id
""")  # noqa: S608 - a constant

# A pause the service asked for stands, whoever was served meanwhile.
_SERVE = sa.text("UPDATE sync.outage SET failures = 0 WHERE organization_id = :organization_id AND failures > 0")
_END = sa.text("UPDATE sync.outage SET failures = 0, wait_until = NULL WHERE organization_id = :organization_id")


@dataclass(frozen=True)
class Place:
    """A place that was taken. `holder` is new with each taking."""

    user: str
    number: int
    holder: UUID


@dataclass(frozen=True)
class Look:
    """What stood in the database: the plan that follows, the users' states, and the place taken, if one was free."""

    plan: Plan
    users: Sequence[UserState]
    place: Place | None


class Places:
    """The places of some application users of an organisation.

    Args:
        users: their client ids, in the order of preference.
        lease_s: how long a place stands without being renewed.
        shift_s: seconds to add to the database's time, for tests.
    """

    def __init__(
        self,
        engine: sa.Engine,
        organization_id: UUID,
        users: Sequence[str],
        lease_s: float,
        shift_s: Callable[[], float],
    ) -> None:
        self._database = Transactions(engine)
        self._users = list(users)
        self._facts = {"organization_id": organization_id, "users": self._users, "lease_s": lease_s}
        self._shift_s = shift_s
        self._registered = False

    def take(self, urgent: bool) -> Look:
        """Take a free place, if there is one and nothing forbids it. Raises TransientError: the database is away."""
        return self._database.run("take a place", lambda connection: self._take(connection, urgent))

    def give_back(self, place: Place) -> None:
        """Let a place go, unless its lease has run out and it is somebody else's by now."""
        self._run("give a place back", _GIVE_BACK, user=place.user, number=place.number, holder=place.holder)

    def renew(self, holders: Sequence[UUID]) -> None:
        """Keep places for another lease."""
        self._run("keep a place", _RENEW, holders=list(holders))

    def pause(self, user: str, seconds: float | None, fewer: bool) -> None:
        """Nobody sends as this user for so long; `fewer`: and not so many at once afterwards."""
        self._database.run("pause", lambda connection: self._pause(connection, user, seconds, fewer))

    def advise(self, user: str, hint: int) -> None:
        """Keep how many parallel requests the organisation recommends."""
        self._run("keep a hint", _ADVISE, user=user, hint=hint)

    def fail(self, seconds: float | None) -> None:
        """The service failed; perhaps it asked for so many seconds."""
        self._database.run("note an outage", lambda connection: self._fail(connection, seconds))

    def serve(self) -> None:
        """The service answered."""
        self._run("end an outage", _SERVE)

    def end_outage(self) -> None:
        """The service answers somebody who did not wait for a place: nobody needs to wait for it any longer."""
        self._run("end an outage", _END)

    def _run(self, operation: str, statement: sa.TextClause, **facts: object) -> None:
        def work(connection: sa.Connection) -> None:
            self._register(connection)
            connection.execute(statement, self._with(**facts))

        self._database.run(operation, work)
        self._registered = True

    def _take(self, connection: sa.Connection, urgent: bool) -> Look:
        self._register(connection)
        users = self._states(connection, _USERS)
        found = plan(users, self._outage(connection, _OUTAGE), urgent)
        for offer in found.offers:
            holder = uuid.uuid4()
            facts = self._with(user=offer.user, first=offer.first, last=offer.last, holder=holder)
            number = connection.scalar(_TAKE, facts)
            if number is not None:
                return Look(found, users, Place(offer.user, number, holder))
        return Look(found, users, None)

    def _pause(self, connection: sa.Connection, user: str, seconds: float | None, fewer: bool) -> None:
        self._register(connection)
        (state,) = (state for state in self._states(connection, _LOCKED_USERS) if state.user == user)
        lower = fewer and state.pause_s <= 0  # of several refused at once, the first one counts
        facts = self._with(user=user, seconds=bounded_pause_s(seconds), fewer=lower, lowered_to=lowered(state))
        connection.execute(_PAUSE, facts)

    def _fail(self, connection: sa.Connection, seconds: float | None) -> None:
        self._register(connection)
        outage = after_failure(self._outage(connection, _LOCKED_OUTAGE), seconds)
        connection.execute(_FAIL, self._with(failures=outage.failures, wait_s=outage.wait_s))

    def _register(self, connection: sa.Connection) -> None:
        """Have rows to work on. Once a process is enough: they are never deleted."""
        if not self._registered:
            for statement in _REGISTER:
                connection.execute(statement, self._with(first=URGENT_PLACE, last=MAX_PLACES))

    def _states(self, connection: sa.Connection, statement: sa.TextClause) -> list[UserState]:
        rows = {row.application_user: row for row in connection.execute(statement, self._with())}
        return [
            UserState(
                row.application_user, row.dop_hint, row.lowered_to, row.quiet_s or 0.0, row.pause_s or 0.0, row.busy
            )
            for row in (rows[user] for user in self._users)
        ]

    def _outage(self, connection: sa.Connection, statement: sa.TextClause) -> Outage:
        row = connection.execute(statement, self._with()).one()
        return Outage(row.failures, row.wait_s or 0.0)

    def _with(self, **facts: object) -> dict[str, object]:
        return {**self._facts, "shift_s": self._shift_s(), **facts}
