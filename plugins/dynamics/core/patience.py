"""Decides how long a worker bears with faults that are nobody's row, and when it leaves them to the task's retry.

Throttling is waited out below, in the budget; what arrives here is an outage, or a sign-in that is refused.
"""

from __future__ import annotations

from dynamics.errors import AccessError, DynamicsError, StoppedError, TransientError

OUTAGE_S = 30.0  # without a single good chunk, before a worker gives up
FAULT_RETRY_S = 5.0
ACCESS_WAITS_S = (4.0, 10.0)  # a secret is being exchanged, a user switched on again
ACCESS_MEMORY_S = 60.0  # of several application users one may be locked out while the others serve


class Patience:
    """One worker's. Times are seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._good_at = now
        self._refused_at = float("-inf")
        self._refusals = 0

    def see_good(self, now: float) -> None:
        """A chunk went through."""
        self._good_at = now

    def wait_s(self, fault: DynamicsError, now: float) -> float | None:
        """Seconds until the next try; None when there is to be none."""
        if isinstance(fault, AccessError):
            self._refusals = self._refusals + 1 if now - self._refused_at < ACCESS_MEMORY_S else 1
            self._refused_at = now
            return ACCESS_WAITS_S[self._refusals - 1] if self._refusals <= len(ACCESS_WAITS_S) else None
        if isinstance(fault, StoppedError) or not isinstance(fault, TransientError):
            return None
        if now - self._good_at >= OUTAGE_S:
            return None
        return min(FAULT_RETRY_S if fault.retry_after_s is None else fault.retry_after_s, OUTAGE_S)


def graver(one: DynamicsError | None, other: DynamicsError | None) -> DynamicsError | None:
    """Of two faults the one that decides: what only a person can mend before what may pass by itself."""
    return max((fault for fault in (one, other) if fault is not None), key=_gravity, default=None)


def ends_at_once(fault: DynamicsError) -> bool:
    """Whether a fault is none that a worker bears with."""
    return _gravity(fault) == _FATAL


def _gravity(fault: DynamicsError) -> int:
    if isinstance(fault, TransientError):
        return 0
    return 1 if isinstance(fault, AccessError) else _FATAL


_FATAL = 2
