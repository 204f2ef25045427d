"""Decides whether a web server takes a request: service protection, for each user on each server.

Three limits over a sliding window. A refused client is told when the window has room again, and one that does
not wait is told a longer time each time. Pure: instants are seconds on any clock that only moves forward.

Source: learn.microsoft.com, "Service protection API limits".
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from sandbox.server.settings import Latency, Limits

CONCURRENCY_RETRY_S = 2.0  # not computed from the window: a short pause is enough
GROWTH = 1.5


@dataclass(frozen=True)
class Refusal:
    """Why a request got 429, and the whole seconds to wait."""

    code: str
    message: str
    retry_after_s: int


@dataclass
class Usage:
    """What one user has used of one server: requests by arrival, execution time by completion."""

    arrivals: deque[float] = field(default_factory=deque)
    executions: deque[tuple[float, float]] = field(default_factory=deque)
    execution_s: float = 0.0
    running: int = 0
    blocked_until: float = 0.0
    last_wait_s: float = 0.0

    def expire(self, window_start: float) -> None:
        """Forget what the window has left behind."""
        while self.arrivals and self.arrivals[0] <= window_start:
            self.arrivals.popleft()
        while self.executions and self.executions[0][0] <= window_start:
            self.execution_s -= self.executions.popleft()[1]


class Throttle:
    """The counters of one organisation's web servers."""

    def __init__(self) -> None:
        self._usage: dict[tuple[str, int], Usage] = {}

    def admit(self, limits: Limits, user: str, server: int, now: float) -> Refusal | None:
        """Take a request, or say why not. Each taken one must be given back to `finish`."""
        usage = self._usage.setdefault((user, server), Usage())
        usage.expire(now - limits.window_s)
        refusal = _breach(limits, usage, now)
        if refusal is None:
            usage.last_wait_s = 0.0
            usage.running += 1
            usage.arrivals.append(now)
            return None
        return refusal

    def finish(self, user: str, server: int, now: float, execution_s: float) -> None:
        """Count the time a taken request has cost."""
        usage = self._usage[user, server]
        usage.running -= 1
        usage.executions.append((now, execution_s))
        usage.execution_s += execution_s

    def remaining(self, limits: Limits, user: str, server: int) -> tuple[int, float]:
        """Requests and seconds of execution left, for the headers that show them."""
        usage = self._usage.get((user, server), Usage())
        requests = (limits.requests or 6000) - len(usage.arrivals)
        return max(0, requests), max(0.0, (limits.execution_s or 1200.0) - usage.execution_s)


def possible_requests_per_s(limits: Limits, latency: Latency, servers: int, rows_per_request: int) -> float:
    """The most one user can get through in the long run, with requests of that many rows; may be infinite."""
    cost_s = latency.per_request_s + rows_per_request * latency.per_row_s
    bounds = [
        (limits.requests or math.inf) / limits.window_s,
        (limits.execution_s or math.inf) / limits.window_s / cost_s if cost_s else math.inf,
        (limits.concurrency or math.inf) / cost_s if cost_s else math.inf,
    ]
    return servers * min(bounds)


def _breach(limits: Limits, usage: Usage, now: float) -> Refusal | None:
    window = f"over time window of {limits.window_s:g} seconds."
    if limits.requests is not None and len(usage.arrivals) >= limits.requests:
        free_at = usage.arrivals[len(usage.arrivals) - limits.requests] + limits.window_s
        text = f"Number of requests exceeded the limit of {limits.requests} {window}"
        return Refusal("0x80072322", text, _wait(usage, now, free_at - now, limits.window_s))
    if limits.execution_s is not None and usage.execution_s >= limits.execution_s:
        text = (
            "Combined execution time of incoming requests exceeded limit of "
            f"{limits.execution_s * 1000:,.0f} milliseconds {window} Decrease number of concurrent requests or "
            "reduce the duration of requests and try again later."
        )
        free_at = _execution_free_at(limits.execution_s, usage) + limits.window_s
        return Refusal("0x80072321", text, _wait(usage, now, free_at - now, limits.window_s))
    if limits.concurrency is not None and usage.running >= limits.concurrency:
        text = f"Number of concurrent requests exceeded the limit of {limits.concurrency}."
        return Refusal("0x80072326", text, math.ceil(CONCURRENCY_RETRY_S))
    return None


def _execution_free_at(limit_s: float, usage: Usage) -> float:
    """When so much has left the window that less than the limit is left in it, less the window's length."""
    left = usage.execution_s
    for at, cost_s in usage.executions:
        left -= cost_s
        if left < limit_s:
            return at
    return usage.executions[-1][0]


def _wait(usage: Usage, now: float, free_in_s: float, longest_s: float) -> int:
    """Whole seconds to wait; longer than the time before for a client that comes back too soon."""
    wait_s = free_in_s
    if now < usage.blocked_until:
        wait_s = max(wait_s, usage.last_wait_s * GROWTH)
    wait_s = min(max(wait_s, 1.0), longest_s)
    usage.last_wait_s, usage.blocked_until = wait_s, now + wait_s
    return math.ceil(wait_s)
