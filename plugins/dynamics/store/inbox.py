"""The inbox of webhooks: accepted once, sorted to the actions that answer, run as errands until each is done.

A delivery and the prospects that came with it are stored in one transaction, which also wakes whoever listens on
`CHANNEL`. Errands are leased, so that those of a worker that died are taken over; running one twice changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect
from dynamics.core.fulfillment import Delivery, Listener, Repeats, Scene, answering
from dynamics.store.intake import keep_newest
from dynamics.store.rows import rows_json
from dynamics.store.transactions import WAITS_S, Transactions

CHANNEL = "dynamics_inbox"
SORTED_AT_ONCE = 500
NOT_ANSWERED = "not_answered"  # the code of errands whose action is gone

_COLUMNS = "source, delivery_id, type, prospect_source, prospect_ids, event_ids, form_ids, action, whole"

_ACCEPT = sa.text(f"""
INSERT INTO sync.webhook_delivery ({_COLUMNS}, state, handled_at)
SELECT :source, :delivery_id, :type, :prospect_source, CAST(:prospect_ids AS text[]), CAST(:event_ids AS text[]),
       CAST(:form_ids AS text[]), CAST(:action AS text), CAST(:whole AS boolean), CAST(:state AS text),
       CASE WHEN CAST(:state AS text) = 'ignored' THEN now() END
 WHERE NOT EXISTS (
       SELECT 1 FROM (
           SELECT delivery_id, received_at FROM sync.webhook_delivery
            WHERE source = :source AND delivery_id >= CAST(:series AS text) || '0'
              AND delivery_id < CAST(:series AS text) || 'z' AND starts_with(delivery_id, CAST(:series AS text))
            ORDER BY delivery_id DESC LIMIT 1) last
        WHERE last.received_at > now() - make_interval(secs => :within_s)
          AND right(last.delivery_id, length(CAST(:mark AS text))) = CAST(:mark AS text))
ON CONFLICT (source, delivery_id) DO NOTHING
""")  # noqa: S608 - a constant

_ONE_BY_ONE = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:series AS text), 0))")

_WAKE = sa.text(f"NOTIFY {CHANNEL}")

_DUE = sa.text(f"""
SELECT {_COLUMNS} FROM sync.webhook_delivery WHERE state = 'due'
 ORDER BY received_at LIMIT :size FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - a constant

_SORT = sa.text("""
WITH errand AS (
    SELECT * FROM json_to_recordset(CAST(:errands AS json)) AS e (source text, delivery_id text, action text)
), added AS (
    INSERT INTO sync.webhook_errand (source, delivery_id, action) SELECT source, delivery_id, action FROM errand
    ON CONFLICT DO NOTHING
)
UPDATE sync.webhook_delivery d
   SET state = CASE WHEN sorted.answered THEN 'sorted' ELSE 'ignored' END,
       handled_at = CASE WHEN sorted.answered THEN NULL ELSE now() END
  FROM (SELECT k.source, k.delivery_id, EXISTS (
               SELECT 1 FROM errand e WHERE e.source = k.source AND e.delivery_id = k.delivery_id) AS answered
          FROM json_to_recordset(CAST(:keys AS json)) AS k (source text, delivery_id text)) sorted
 WHERE d.source = sorted.source AND d.delivery_id = sorted.delivery_id
""")

_TAKE = sa.text(f"""
WITH taken AS (
    SELECT source, delivery_id, action FROM sync.webhook_errand
     WHERE action = :action AND done_at IS NULL AND available_at <= statement_timestamp()
       AND (lease_until IS NULL OR lease_until <= statement_timestamp())
     ORDER BY available_at LIMIT :size FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE sync.webhook_errand e
       SET lease_until = statement_timestamp() + make_interval(secs => :lease_s), attempts = e.attempts + 1
      FROM taken WHERE e.source = taken.source AND e.delivery_id = taken.delivery_id AND e.action = taken.action
    RETURNING e.source, e.delivery_id, e.attempts, e.code
)
SELECT {", ".join(f"d.{name}" for name in _COLUMNS.split(", "))}, leased.attempts, leased.code
  FROM leased JOIN sync.webhook_delivery d USING (source, delivery_id) ORDER BY d.received_at
""")  # noqa: S608 - a constant

_KEYS = """json_to_recordset(CAST(:keys AS json)) AS k (source text, delivery_id text)
 WHERE e.source = k.source AND e.delivery_id = k.delivery_id AND e.action = :action"""

# Who finishes errands of the same deliveries waits here, so that the last one sees that it is the last.
_LOCK = sa.text("""
SELECT 1 FROM sync.webhook_delivery d
 WHERE (d.source, d.delivery_id) IN (
       SELECT k.source, k.delivery_id
         FROM json_to_recordset(CAST(:keys AS json)) AS k (source text, delivery_id text))
 ORDER BY d.source, d.delivery_id FOR UPDATE
""")

_DONE = sa.text(f"UPDATE sync.webhook_errand e SET done_at = now(), lease_until = NULL, code = :code FROM {_KEYS}")  # noqa: S608

_CLOSE = sa.text("""
UPDATE sync.webhook_delivery d SET state = 'done', handled_at = now()
  FROM json_to_recordset(CAST(:keys AS json)) AS k (source text, delivery_id text)
 WHERE d.source = k.source AND d.delivery_id = k.delivery_id AND d.state = 'sorted'
   AND NOT EXISTS (SELECT 1 FROM sync.webhook_errand e
                    WHERE e.source = d.source AND e.delivery_id = d.delivery_id AND e.done_at IS NULL)
""")

_EXTEND = sa.text(f"""
UPDATE sync.webhook_errand e SET lease_until = statement_timestamp() + make_interval(secs => :lease_s) FROM {_KEYS}
   AND e.done_at IS NULL
""")  # noqa: S608 - a constant

_PUT_OFF = sa.text(f"""
UPDATE sync.webhook_errand e
   SET lease_until = NULL, code = :code, available_at = statement_timestamp() + make_interval(secs => :after_s),
       attempts = CASE WHEN e.code IS NOT DISTINCT FROM :code THEN e.attempts ELSE 1 END
  FROM {_KEYS} AND e.done_at IS NULL
""")  # noqa: S608 - a constant

_MISS = sa.text(f"""
UPDATE sync.webhook_errand
   SET code = '{NOT_ANSWERED}', available_at = statement_timestamp() + make_interval(secs => :gone_s)
 WHERE action = :action AND done_at IS NULL AND code IS DISTINCT FROM '{NOT_ANSWERED}'
   AND (lease_until IS NULL OR lease_until <= statement_timestamp())
""")  # noqa: S608 - a constant

_GONE = sa.text(f"""
SELECT source, delivery_id FROM sync.webhook_errand
 WHERE action = :action AND done_at IS NULL AND code = '{NOT_ANSWERED}' AND available_at <= statement_timestamp()
 LIMIT :size
""")  # noqa: S608 - a constant

_BACK = sa.text(f"""
UPDATE sync.webhook_errand SET code = NULL, available_at = statement_timestamp()
 WHERE action = ANY(ARRAY(SELECT json_array_elements_text(CAST(:actions AS json))))
   AND done_at IS NULL AND code = '{NOT_ANSWERED}'
""")  # noqa: S608 - a constant

_OPEN = sa.text(
    "SELECT action, count(*) AS errands FROM sync.webhook_errand WHERE done_at IS NULL GROUP BY action ORDER BY action"
)


@dataclass(frozen=True)
class Errand:
    """A delivery as one action has it to do, for the `attempts`-th time since it was put off for `code`."""

    delivery: Delivery
    attempts: int
    code: str | None = None

    def tries(self, code: str) -> int:
        """How often it has come to nothing for this reason, one after the other, this time included."""
        return self.attempts if code == self.code else 1


class Inbox:
    """The inbox in the audit database `engine` leads to. Safe to share between threads and processes.

    Raises: as `dynamics.store.transactions.Transactions.run`.
    """

    def __init__(self, engine: sa.Engine, waits_s: Sequence[float] = WAITS_S) -> None:
        self._database = Transactions(engine, waits_s=waits_s)

    def accept(
        self, delivery: Delivery, prospects: Sequence[DiscoveredProspect] = (), repeats: Repeats | None = None
    ) -> bool:
        """Store a delivery with its prospects, and wake the worker. False: it was there already, nothing was done."""
        scene = delivery.scene
        row = {
            **{name: getattr(delivery, name) for name in _COLUMNS.split(", ") if hasattr(delivery, name)},
            "prospect_ids": list(delivery.prospect_ids),
            "event_ids": sorted(scene.event_ids) if scene is not None else None,
            "form_ids": sorted(scene.form_ids) if scene is not None else None,
            "state": "due" if delivery.prospect_ids else "ignored",
            "series": repeats.series if repeats is not None else None,
            "mark": repeats.mark if repeats is not None else None,
            "within_s": repeats.within_s if repeats is not None else 0.0,
        }

        def work(connection: sa.Connection) -> bool:
            if repeats is not None:
                connection.execute(_ONE_BY_ONE, row)
            if not connection.execute(_ACCEPT, row).rowcount:
                return False
            if prospects:
                keep_newest(connection, delivery.prospect_source, prospects)
            if delivery.prospect_ids:
                connection.execute(_WAKE)
            return True

        return self._database.run("accept webhook", work)

    def sort(self, listeners: Collection[Listener]) -> Counter[str]:
        """Give the due deliveries to the actions that answer them. Returns errands by action, and under "" how many
        deliveries nobody answers. What another worker sorts just now is left to it."""

        def work(connection: sa.Connection) -> Counter[str]:
            due = [_delivery(row) for row in connection.execute(_DUE, {"size": SORTED_AT_ONCE})]
            if not due:
                return Counter()
            answered = {delivery: answering(delivery, listeners) for delivery in due}
            errands = [_key(each) | {"action": action} for each, actions in answered.items() for action in actions]
            given = {"errands": rows_json(errands), "keys": rows_json([_key(delivery) for delivery in due])}
            connection.execute(_SORT, given)
            counted = Counter(action for actions in answered.values() for action in actions)
            return counted + Counter({"": sum(not actions for actions in answered.values())})

        return self._database.run("sort webhooks", work)

    def take(self, action: str, size: int, lease_s: float) -> list[Errand]:
        """Lease errands of an action that are due, in the order they came."""
        given = {"action": action, "size": size, "lease_s": lease_s}

        def work(connection: sa.Connection) -> list[Errand]:
            return [Errand(_delivery(row), row.attempts, row.code) for row in connection.execute(_TAKE, given)]

        return self._database.run("take errands", work)

    def done(self, action: str, errands: Sequence[Errand], code: str | None = None) -> None:
        """These need not be run again. `code`: a word for why, where they were not done."""
        self._on(action, errands, "finish errands", lambda c, given: _finish(c, given | {"code": code}))

    def extend(self, action: str, errands: Sequence[Errand], lease_s: float) -> None:
        """Keep the errands for so long from now."""
        self._on(action, errands, "extend errands", lambda c, given: c.execute(_EXTEND, given | {"lease_s": lease_s}))

    def put_off(self, action: str, errands: Sequence[Errand], after_s: float, code: str | None) -> None:
        """Give errands back, to be taken again after so many seconds. `code`: a word for why."""
        more = {"after_s": after_s, "code": code}
        self._on(action, errands, "put off errands", lambda c, given: c.execute(_PUT_OFF, given | more))

    def miss(self, action: str, gone_s: float) -> int:
        """Nobody answers for this action at the moment: its errands wait, for so long from when they were missed first.
        Returns how many were missed now."""
        given = {"action": action, "gone_s": gone_s}
        return self._database.run("miss an action", lambda c: c.execute(_MISS, given).rowcount)

    def back(self, actions: Collection[str]) -> int:
        """These answer: what was missed of theirs is due at once. Returns how many errands that are."""
        given = {"actions": rows_json(sorted(actions))}
        return self._database.run("take an action back", lambda c: c.execute(_BACK, given).rowcount)

    def drop(self, action: str) -> int:
        """Close the errands of an action that have been missed for as long as `miss` has said. Returns how many."""

        def work(connection: sa.Connection) -> int:
            gone = connection.execute(_GONE, {"action": action, "size": SORTED_AT_ONCE}).mappings().all()
            if gone:
                keys = rows_json([dict(row) for row in gone])
                _finish(connection, {"action": action, "keys": keys, "code": NOT_ANSWERED})
            return len(gone)

        dropped = 0
        while found := self._database.run("drop errands", work):
            dropped += found
        return dropped

    def open(self) -> dict[str, int]:
        """How many errands each action has to do."""
        return self._database.run("count errands", lambda c: {row.action: row.errands for row in c.execute(_OPEN)})

    def _on(
        self,
        action: str,
        errands: Sequence[Errand],
        operation: str,
        work: Callable[[sa.Connection, dict[str, object]], object],
    ) -> None:
        if not errands:
            return
        given: dict[str, object] = {"action": action, "keys": rows_json([_key(each.delivery) for each in errands])}
        self._database.run(operation, lambda connection: work(connection, given))


def _finish(connection: sa.Connection, given: dict[str, object]) -> None:
    for statement in (_LOCK, _DONE, _CLOSE):
        connection.execute(statement, given)


def _key(delivery: Delivery) -> dict[str, str]:
    return {"source": delivery.source, "delivery_id": delivery.delivery_id}


def _delivery(row: sa.Row[tuple[object, ...]]) -> Delivery:
    given = row._mapping
    known = given["event_ids"] is not None
    return Delivery(
        source=given["source"],
        delivery_id=given["delivery_id"],
        type=given["type"],
        prospect_source=given["prospect_source"],
        prospect_ids=tuple(given["prospect_ids"]),
        scene=Scene(frozenset(given["event_ids"]), frozenset(given["form_ids"])) if known else None,
        action=given["action"],
        whole=given["whole"],
    )
