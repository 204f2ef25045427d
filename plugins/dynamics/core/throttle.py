"""Decides how many requests one application user may have on the way at once, and how long nobody sends anything.

An organisation says how many parallel requests it recommends. A refusal for too much at once lowers that, each quiet
minute gives one place back. A service that fails is left alone for longer and longer, and then asked by one request
alone. Who counts requests, and where the state is kept, is left to the budgets.

Source: Microsoft Learn, "Service protection API limits", "Send parallel requests".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynamics.errors import RateLimitedError, ServiceUnavailableError

DEFAULT_PLACES = 4  # before the organisation has said a number
MAX_PLACES = 50  # it refuses more than 52 at once
URGENT_PLACE = 0  # places are numbered from 1; this one stands beyond the allowed number
LOWERED_TO = 0.7
QUIET_S = 60.0

MAX_PAUSE_S = 300.0  # the length of the window that the limits are counted in
DEFAULT_PAUSE_S = 5.0  # after a refusal that names no time

MAX_BACKOFF_S = 120.0
OUTAGE_PATIENCE_S = 35.0  # of one call, in all
PAUSE_PATIENCE_S = 900.0


@dataclass(frozen=True)
class Traffic:
    """Requests of one process: on the way, and waiting for their turn."""

    sending: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class UserState:
    """What is known of one application user.

    Attributes:
        hint: parallel requests the organisation recommends; None before it has said so.
        lowered_to: places left after the last refusal for too much at once, `quiet_s` seconds ago.
        pause_s: seconds until it may send again; 0 or less when it may.
        busy: places taken.
    """

    user: str
    hint: int | None = None
    lowered_to: int | None = None
    quiet_s: float = 0.0
    pause_s: float = 0.0
    busy: int = 0

    @property
    def allowed(self) -> int:
        """Requests that may be on the way at once."""
        most = min(max(DEFAULT_PLACES if self.hint is None else self.hint, 1), MAX_PLACES)
        if self.lowered_to is None:
            return most
        return min(most, self.lowered_to + int(max(self.quiet_s, 0.0) // QUIET_S))


@dataclass(frozen=True)
class Outage:
    """Whether the service fails. `failures` in a row, and the seconds until it may be asked again."""

    failures: int = 0
    wait_s: float = 0.0


@dataclass(frozen=True)
class Offer:
    """Places that may be taken now: those numbered `first` to `last` of a user."""

    user: str
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Offers, best first; without any, `wait_s` seconds pass before there can be one. `down`: for an outage."""

    offers: tuple[Offer, ...]
    wait_s: float = 0.0
    down: bool = False


def plan(users: Sequence[UserState], outage: Outage, urgent: bool) -> Plan:
    """Say whose places may be taken now. In an outage it is one place of one user, for urgent work too."""
    if outage.wait_s > 0:
        return Plan((), outage.wait_s, down=True)
    free = [state for state in users if state.pause_s <= 0]
    if not free:
        return Plan((), min(state.pause_s for state in users))
    if outage.failures:
        return Plan((Offer(free[0].user, 1, 1),), down=True)
    by_load = sorted(free, key=lambda state: state.busy / state.allowed)
    offers = [Offer(state.user, 1, state.allowed) for state in by_load]
    if urgent:
        offers += [Offer(state.user, URGENT_PLACE, URGENT_PLACE) for state in by_load]
    return Plan(tuple(offers))


def bounded_pause_s(seconds: float | None) -> float:
    """How long a pause is kept that was asked for as so many seconds, or as nothing readable."""
    return DEFAULT_PAUSE_S if seconds is None else min(max(seconds, 0.0), MAX_PAUSE_S)


def lowered(state: UserState) -> int:
    """Places left after a refusal for too much at once."""
    return max(1, int(state.allowed * LOWERED_TO))


def after_failure(outage: Outage, asked_s: float | None) -> Outage:
    """The outage after one more failure. Failures of requests that were on the way already do not make it longer.

    Args:
        asked_s: seconds the service itself asked for, if it did.
    """
    asked = 0.0 if asked_s is None else bounded_pause_s(asked_s)
    if outage.wait_s > 0:
        return Outage(outage.failures, max(outage.wait_s, asked))
    failures = outage.failures + 1
    return Outage(failures, max(min(2.0 ** min(failures - 1, 10), MAX_BACKOFF_S), asked))


class CallPatience:
    """How long one call waits for a place: not long for a service that fails, longer for pauses that it asked for.

    Times are seconds on any clock that only moves forward. `outage_s`: how long it waits for a service that fails.
    """

    def __init__(self, outage_s: float) -> None:
        self._outage_s = outage_s
        self._down_since: float | None = None
        self._paused_since: float | None = None

    def check(self, found: Plan, now: float) -> None:
        """Raises ServiceUnavailableError or RateLimitedError when this has lasted long enough."""
        paused = not found.offers and not found.down and found.wait_s > 0
        self._down_since = (now if self._down_since is None else self._down_since) if found.down else None
        self._paused_since = (now if self._paused_since is None else self._paused_since) if paused else None
        if self.left_s(now) > 0:
            return
        if found.down:
            detail = "the service keeps failing"
            raise ServiceUnavailableError("wait for", "the organisation", detail=detail, retry_after_s=found.wait_s)
        detail = "it keeps asking for pauses"
        raise RateLimitedError("wait for", "the organisation", detail=detail, retry_after_s=found.wait_s)

    def left_s(self, now: float) -> float:
        """Seconds until `check` raises if nothing changes."""
        if self._down_since is not None:
            return self._down_since + self._outage_s - now
        since = now if self._paused_since is None else self._paused_since
        return since + PAUSE_PATIENCE_S - now
