"""Who has been told what of an action under a trigger. The row's lock decides between runs that end at the same time.

Whoever is to tell holds the row for some minutes. If that process dies, or a notifier fails, the next run that ends the
same way tells those who have not heard: a notice may come late, or twice, but it does not get lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.notices import Health, Standing, waiting_after
from dynamics.store.transactions import LedgerPart

TELLING_S = 300.0

_KNOW = sa.text("""
INSERT INTO sync.notice_state (action, trigger, health) VALUES (:action, :trigger, 'good') ON CONFLICT DO NOTHING
""")

_LOCK = sa.text("""
SELECT health, waiting, teller, telling_until > statement_timestamp() AS is_told
  FROM sync.notice_state WHERE action = :action AND trigger = :trigger FOR UPDATE
""")

_NOTE = sa.text("""
UPDATE sync.notice_state
   SET health = :health, waiting = CAST(:waiting AS text[]), teller = :teller,
       telling_until = statement_timestamp() + make_interval(secs => :telling_s),
       changed_at = CASE WHEN health = :health THEN changed_at ELSE statement_timestamp() END
 WHERE action = :action AND trigger = :trigger
""")

_TOLD = sa.text("""
UPDATE sync.notice_state
   SET waiting = ARRAY(SELECT name FROM unnest(waiting) AS w (name) WHERE name <> ALL(CAST(:told AS text[]))),
       teller = NULL, telling_until = NULL
 WHERE action = :action AND trigger = :trigger AND teller = :teller
""")


class NoticeBoard(LedgerPart):
    """The states of all actions, in the audit database."""

    def to_tell(
        self, action: str, trigger: str, health: Health, notifiers: Sequence[str], teller: UUID
    ) -> tuple[str, ...]:
        """Note how a run ended. Returns the notifiers that `teller` is to tell now; empty when nothing has changed, or
        when another run's teller is at it."""
        key = {"action": action, "trigger": trigger}

        def work(connection: sa.Connection) -> tuple[str, ...]:
            connection.execute(_KNOW, key)
            row = connection.execute(_LOCK, key).one()
            if row.teller == teller:  # noted already, and the answer got lost
                return tuple(row.waiting)
            before = Standing(Health(row.health), tuple(row.waiting))
            waiting = waiting_after(before, health, notifiers)
            if before.health is health and (row.is_told or not waiting):
                return ()
            note = {"health": health.value, "waiting": list(waiting), "teller": teller, "telling_s": TELLING_S}
            connection.execute(_NOTE, key | note)
            return waiting

        return self._database.run("note how a run ended", work)

    def told(self, action: str, trigger: str, notifiers: Collection[str], teller: UUID) -> None:
        """These have heard of it; the others are told by a later run, unless things have changed again by then."""
        given = {"action": action, "trigger": trigger, "told": list(notifiers), "teller": teller}
        self._database.run("note who was told", lambda connection: connection.execute(_TOLD, given))
