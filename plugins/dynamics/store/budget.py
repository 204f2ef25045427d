"""The request limits of one application user of one organisation, shared by all workers through the database.

A pause the CRM asked for is told to every worker: each looks at most a second old. How many requests one worker has on
the way at once is counted in its own process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import sqlalchemy as sa

from dynamics.store.transactions import Transactions
from dynamics.sync.ports import Clock

CONCURRENCY = 8
LOOK_EVERY_S = 1.0

_PAUSE = sa.text("""
INSERT INTO sync.budget AS kept (organization_id, application_user, paused_until)
VALUES (:organization_id, :application_user, statement_timestamp() + make_interval(secs => :seconds))
ON CONFLICT (organization_id, application_user) DO UPDATE
   SET paused_until = greatest(kept.paused_until, excluded.paused_until)
""")

_LEFT = sa.text("""
SELECT CAST(extract(epoch FROM paused_until - statement_timestamp()) AS double precision)
  FROM sync.budget WHERE organization_id = :organization_id AND application_user = :application_user
""")


class DatabaseBudget:
    """`dynamics.sync.ports.Budget` for one process of many.

    Args:
        application_user: client id of the application user that the limits are counted for.
        concurrency: requests this process has on the way at once, at most.
    """

    def __init__(
        self,
        engine: sa.Engine,
        organization_id: UUID,
        application_user: str,
        clock: Clock,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._database = Transactions(engine)
        self._user = {"organization_id": organization_id, "application_user": application_user}
        self._clock = clock
        self._places = threading.BoundedSemaphore(concurrency)
        self._look = threading.Lock()
        self._looked_at: float | None = None
        self._resume_at = 0.0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Take a place, wait while there is a pause, and hold the place for one request.

        Raises:
            TransientError: the database could not be asked.
        """
        with self._places:
            while (left_s := self._pause_left_s()) > 0:
                self._clock.sleep(left_s)
            yield

    def pause(self, seconds: float) -> None:
        """Make every worker wait so long, unless a longer pause stands already."""
        with self._look:
            self._resume_at = max(self._resume_at, self._clock.monotonic() + seconds)
            self._database.run(
                "pause", lambda connection: connection.execute(_PAUSE, self._user | {"seconds": seconds})
            )

    def _pause_left_s(self) -> float:
        with self._look:
            now = self._clock.monotonic()
            if self._looked_at is None or now - self._looked_at >= LOOK_EVERY_S:
                left_s = self._database.run("look for a pause", lambda connection: connection.scalar(_LEFT, self._user))
                self._looked_at = now
                if left_s is not None:
                    self._resume_at = max(self._resume_at, now + left_s)
            return self._resume_at - now
