"""Request limits of one process: how many requests at once, and pauses and outages that all its threads keep.

Knows nothing of other processes and sends as the account's own application user; the budget that every worker shares is
the store's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dynamics.clock import SystemClock
from dynamics.core.throttle import (
    OUTAGE_PATIENCE_S,
    CallPatience,
    Outage,
    Traffic,
    UserState,
    after_failure,
    bounded_pause_s,
    plan,
)
from dynamics.errors import StoppedError
from dynamics.sync.ports import Clock

CONCURRENCY = 16
LOOK_S = 0.1  # while another thread asks whether the service is back


class LocalBudget:
    """A `Budget` for one process."""

    def __init__(self, concurrency: int = CONCURRENCY, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._places = threading.BoundedSemaphore(concurrency)
        self._asking = threading.Lock()  # held by the one request that asks a failing service
        self._lock = threading.Lock()
        self._resume_at = self._ask_at = float("-inf")
        self._failures = 0
        self._traffic = Traffic()

    @property
    def traffic(self) -> Traffic:
        """See `Budget.traffic`."""
        return self._traffic

    @contextmanager
    def slot(self, patience_s: float = OUTAGE_PATIENCE_S) -> Iterator[str]:
        """Hold a place for one request, from when a place is free and nothing forbids it."""
        patience = CallPatience(patience_s)
        self._count(waiting=1)
        with self._places:
            try:
                probe = self._wait(patience)
            finally:
                self._count(waiting=-1)
            self._count(sending=1)
            try:
                yield ""
            finally:
                self._count(sending=-1)
                if probe:
                    self._asking.release()

    def pause(self, user: str, seconds: float | None, fewer: bool = False) -> None:
        """Nobody starts a request for so many seconds from now; the longest pause asked for counts."""
        del user, fewer
        self._resume_at = max(self._resume_at, self._clock.monotonic() + bounded_pause_s(seconds))

    def advise(self, user: str, dop_hint: int) -> None:
        """One process stays below what any organisation recommends for all."""

    def unavailable(self, user: str, seconds: float | None = None) -> None:
        """Nobody asks the service for a while, longer each time."""
        del user
        with self._lock:
            now = self._clock.monotonic()
            outage = after_failure(Outage(self._failures, self._ask_at - now), seconds)
            self._failures, self._ask_at = outage.failures, now + outage.wait_s

    def served(self, user: str) -> None:
        """The service answers: everyone may ask."""
        del user
        self._failures = 0

    def _count(self, waiting: int = 0, sending: int = 0) -> None:
        with self._lock:
            self._traffic = Traffic(self._traffic.sending + sending, self._traffic.waiting + waiting)

    def _wait(self, patience: CallPatience) -> bool:
        """Wait until a request may leave; whether it is the one that asks a failing service."""
        while True:
            if self._clock.stopping:
                raise StoppedError("wait for", "the organisation", detail="this process was asked to stop")
            now = self._clock.monotonic()
            outage = Outage(self._failures, self._ask_at - now)
            found = plan([UserState("", pause_s=self._resume_at - now)], outage, urgent=False)
            if found.offers and not found.down:
                return False
            if found.offers and self._asking.acquire(timeout=LOOK_S):
                if self._failures and self._ask_at <= self._clock.monotonic():
                    return True
                self._asking.release()  # the one we have waited for has told
                continue
            patience.check(found, now)
            self._clock.sleep(min(found.wait_s, patience.left_s(now)))
