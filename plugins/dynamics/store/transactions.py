"""Runs a piece of work in one transaction, and again when the database was in the way.

Every piece of work of this package gives the same end when it is run twice, also when the first time was committed and
only the answer got lost. That is what makes it safe to repeat after a cut on COMMIT.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dynamics.errors import TransientError
from dynamics.store.database import require_revision
from dynamics.store.faults import RETRY_AFTER_S, SUBJECT, Trouble, classify, sqlstate, translate

log = logging.getLogger("dynamics.store")
T = TypeVar("T")

# A restart of the server takes seconds, so the waits add up to some fifteen of them.
WAITS_S = (0.02, 0.1, 0.3, 0.8, 1.5, 3.0, 4.0, 6.0)
_REPEATABLE = frozenset({Trouble.CONFLICT, Trouble.UNREACHABLE})

# Set per transaction, not per session: behind a transaction pooler a session is nobody's own. A worker that is stopped
# in the middle of a transaction loses it, instead of holding everybody up.
# The revision is read along: its table stays locked against an upgrade until this transaction ends, so nothing is
# written to a database that was upgraded meanwhile.
_LIMITS = sa.text("""
SELECT set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '60s', true),
       (SELECT version_num FROM sync.alembic_version)
""")


class Transactions:
    """One database, and how to work in it. `sleep` waits so many seconds before a repetition, of which there are as
    many as `waits_s` has."""

    def __init__(
        self, engine: sa.Engine, sleep: Callable[[float], None] = time.sleep, waits_s: Sequence[float] = WAITS_S
    ) -> None:
        self._engine = engine
        self._sleep = sleep
        self._waits_s = waits_s

    def run(self, operation: str, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction of its own and commit it.

        Args:
            operation: a verb, for messages.
            work: must give the same end when it is run again; must not commit.
        Raises:
            TransientError: the database stayed in the way, or away, for all repetitions.
            ConfigurationError, AccountError: it is missing, not upgraded or upgraded too far, or does not let us in.
            ContractError: it refused a statement.
        """
        waits = iter(self._waits_s)
        while True:
            try:
                with self._engine.begin() as connection:
                    *_, revision = connection.execute(_LIMITS).one()
                    require_revision(self._engine.url, revision)
                    return work(connection)
            except PoolTimeoutError:  # has waited long enough by itself
                detail = "all connections of this process are in use"
                raise TransientError(operation, SUBJECT, detail=detail, retry_after_s=RETRY_AFTER_S) from None
            except DBAPIError as error:
                wait_s = next(waits, None)
                if wait_s is None or classify(error) not in _REPEATABLE:
                    raise translate(error, operation, self._engine.url) from None
                log.info("%s: audit database in the way (%s), again", operation, sqlstate(error) or "no connection")
            self._sleep(wait_s)


class LedgerPart:
    """Base of the parts of the ledger: the database, and the caller's clock.

    Leases live by the database's clock. What is told of one is converted to the caller's, so that a worker whose clock
    is wrong still sees whether it stands.
    """

    def __init__(self, engine: sa.Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = Transactions(engine)
        self._now = now

    def _in(self, seconds: float | None) -> datetime | None:
        return None if seconds is None else self._now() + timedelta(seconds=float(seconds))
