"""The clock port: time that passes only when somebody sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at a fixed instant."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 14, 12, tzinfo=UTC)
        self.stopping = False

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
