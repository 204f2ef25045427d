"""Request limits of one process: how many requests at once, and a pause that all its threads keep.

Knows nothing of other processes; the budget that every worker shares is the store's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dynamics.clock import SystemClock
from dynamics.sync.ports import Clock

CONCURRENCY = 16


class LocalBudget:
    """A `Budget` for one process."""

    def __init__(self, concurrency: int = CONCURRENCY, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._places = threading.BoundedSemaphore(concurrency)
        self._resume_at = float("-inf")

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a place for one request, from when a place is free and no pause is on."""
        with self._places:
            while (wait_s := self._resume_at - self._clock.monotonic()) > 0:  # a pause may grow while it is waited out
                self._clock.sleep(wait_s)
            yield

    def pause(self, seconds: float) -> None:
        """Nobody starts a request for so many seconds from now; the longest pause asked for counts."""
        self._resume_at = max(self._resume_at, self._clock.monotonic() + seconds)
