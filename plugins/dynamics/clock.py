"""The system's time, for everything that is handed a `Clock`."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """Time as the operating system tells it.

    Args:
        stopping: set when this process is to stop; whoever sleeps is woken by it.
    """

    def __init__(self, stopping: threading.Event | None = None) -> None:
        self._stopping = stopping or threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether this process was asked to stop."""
        return self._stopping.is_set()

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, from no particular moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, or less when this process is asked to stop."""
        self._stopping.wait(seconds)
