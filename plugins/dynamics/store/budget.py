"""The request limits of an organisation's application users, shared by all workers through the database.

Each request takes a place there and gives it back, so what all processes have on the way together stays within what
the organisation recommends, and a pause holds for everyone. One thread of a process at a time looks for a place, the
others queue behind it; a place may go from thread to thread for a moment, then it is given back so that processes
share. A process that is killed blocks its places for one lease.

How many places there are, and how long pauses last, is decided in `core.throttle`; the statements are in `places`.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import sqlalchemy as sa

from dynamics.core.throttle import OUTAGE_PATIENCE_S, CallPatience, Plan, Traffic, UserState, bounded_pause_s
from dynamics.errors import DynamicsError, StoppedError
from dynamics.store.places import Place, Places
from dynamics.sync.ports import Clock

log = logging.getLogger("dynamics.store")

LEASE_S = 10.0
HAND_OVER_S = 6.0  # a place goes from thread to thread for so long: giving it back leaves it idle for a moment
FRESH_S = 0.25  # and only while the state of the limits is no older
POLL_S = (0.03, 0.15)
YIELD_S = 0.16  # other processes look meanwhile, after a place was given back for them
LOOK_AGAIN_S = 5.0  # while a long pause stands: it may have grown
QUEUE_S = 0.25  # how often a queued thread looks whether it should give up


class DatabaseBudget:
    """`dynamics.sync.ports.Budget` for one process of many.

    Args:
        application_users: client ids of the application users that may be sent as.
        urgent: may also take the one place that is kept beyond the allowed number.
        lease_s: how long a killed process blocks its places.
        shift_s: seconds to add to the database's time, for tests.
    """

    def __init__(
        self,
        engine: sa.Engine,
        organization_id: UUID,
        application_users: Sequence[str],
        clock: Clock,
        *,
        urgent: bool = False,
        lease_s: float = LEASE_S,
        shift_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._places = Places(engine, organization_id, application_users, lease_s, shift_s)
        self._clock = clock
        self._urgent = urgent
        self._lease_s = lease_s
        self._turn = threading.Condition()
        self._held: dict[UUID, tuple[Place, float]] = {}  # by holder: the place, and since when
        self._idle: list[Place] = []  # held, and waiting for the next thread
        self._waiting = 0
        self._polling = False
        self._keeping = False
        self._yield_until = float("-inf")
        self._plan = Plan(())
        self._allowed: dict[str, int] = {}
        self._looked_at = float("-inf")
        self._resume_at: dict[str, float] = {}
        self._failed = False
        self._failed_at = float("-inf")
        self._request = threading.local()  # of the thread that holds a place: when it began

    @property
    def traffic(self) -> Traffic:
        """See `Budget.traffic`."""
        with self._turn:
            return Traffic(len(self._held), self._waiting)

    @contextmanager
    def slot(self, patience_s: float = OUTAGE_PATIENCE_S) -> Iterator[str]:
        """See `Budget.slot`. Raises TransientError besides: the database could not be asked."""
        place = self._enter(patience_s)
        self._request.began = self._clock.monotonic()
        try:
            yield place.user
        finally:
            self._leave(place)

    def pause(self, user: str, seconds: float | None, fewer: bool = False) -> None:
        """Make every worker wait so long before it sends as this user, unless a longer pause stands already."""
        with self._turn:
            until = self._clock.monotonic() + bounded_pause_s(seconds)
            self._resume_at[user] = max(self._resume_at.get(user, until), until)
        _told(lambda: self._places.pause(user, seconds, fewer))

    def advise(self, user: str, dop_hint: int) -> None:
        """Tell every worker what the organisation recommends."""
        _told(lambda: self._places.advise(user, dop_hint))

    def unavailable(self, user: str, seconds: float | None = None) -> None:
        """Make every worker leave the service alone for a while, longer each time."""
        del user  # it is the service that fails, whoever asks
        self._failed, self._failed_at = True, self._clock.monotonic()
        _told(lambda: self._places.fail(seconds))

    def served(self, user: str) -> None:
        """End an outage, if there was one. A request that was on its way when it began proves nothing."""
        del user
        if getattr(self._request, "began", self._failed_at) < self._failed_at:
            return
        if self._failed or self._plan.down:
            self._failed, self._plan = False, Plan(())
            _told(self._places.serve)

    def answers(self) -> None:
        """The service has just answered somebody who did not ask here: an outage that is still waited out is over."""
        _told(self._places.end_outage)

    # ------------------------------------------------------------ places

    def _enter(self, patience_s: float) -> Place:
        patience = CallPatience(patience_s)
        with self._turn:
            self._waiting += 1
        try:
            while True:
                place = self._next(patience)
                if place is not None:
                    return place
        finally:
            with self._turn:
                self._waiting -= 1
                left = [self._idle.pop() for _ in range(len(self._idle) if not self._waiting else 0)]
            for unused in left:
                self._give_back(unused)

    def _next(self, patience: CallPatience) -> Place | None:
        """A place that was handed over, or one from the database; None when it is time to look again."""
        if self._clock.stopping:
            raise StoppedError("wait for", "the organisation", detail="this process was asked to stop")
        with self._turn:
            place = self._idle.pop() if self._idle else None
            if place is None and self._polling:
                patience.check(self._plan, self._clock.monotonic())
                self._turn.wait(QUEUE_S)
                return None
            if place is None:
                self._polling = True
            elif self._may_go_on(place):
                return place
        if place is not None:
            self._give_back(place)
            return None
        try:
            return self._poll(patience)
        finally:
            with self._turn:
                self._polling = False
                self._turn.notify()

    def _poll(self, patience: CallPatience) -> Place | None:
        """Look once, and wait a while if nothing was free."""
        yield_s = self._yield_until - self._clock.monotonic()
        if yield_s > 0:
            self._clock.sleep(yield_s)
        asked_at = self._clock.monotonic()
        look = self._places.take(self._urgent)
        self._learn(look.plan, look.users, asked_at)
        if look.place is not None:
            self._hold(look.place)
            return look.place
        patience.check(look.plan, self._clock.monotonic())
        poll_s = random.uniform(*POLL_S)  # noqa: S311 - no secret, only that processes do not march in step
        wait_s = poll_s if look.plan.offers else min(look.plan.wait_s + poll_s / 10, LOOK_AGAIN_S)
        self._clock.sleep(max(min(wait_s, patience.left_s(self._clock.monotonic())), 0.0))
        return None

    def _learn(self, found: Plan, users: Sequence[UserState], asked_at: float) -> None:
        with self._turn:
            if found.down and not self._plan.down:
                self._failed_at = max(self._failed_at, asked_at)
            self._plan, self._looked_at = found, asked_at
            self._allowed = {state.user: state.allowed for state in users}
            for state in users:
                self._resume_at[state.user] = max(self._resume_at.get(state.user, asked_at), asked_at + state.pause_s)

    def _may_go_on(self, place: Place) -> bool:
        """Whether a place may serve another request as it is: nothing is known against it, by a fresh look."""
        now = self._clock.monotonic()
        _, since = self._held[place.holder]
        return (
            now - since < HAND_OVER_S
            and now - self._looked_at <= FRESH_S
            and not (self._failed or self._plan.down)
            and self._resume_at.get(place.user, now) <= now
            and place.number <= self._allowed.get(place.user, 0)
        )

    def _hold(self, place: Place) -> None:
        with self._turn:
            self._held[place.holder] = place, self._clock.monotonic()
            if not self._keeping:
                self._keeping = True
                threading.Thread(target=self._keep, name="budget-leases", daemon=True).start()

    def _leave(self, place: Place) -> None:
        with self._turn:
            if self._waiting and self._may_go_on(place):
                self._idle.append(place)
                self._turn.notify()
                return
            if self._waiting:
                self._yield_until = self._clock.monotonic() + YIELD_S
        self._give_back(place)

    def _give_back(self, place: Place) -> None:
        with self._turn:
            del self._held[place.holder]
        _told(lambda: self._places.give_back(place))

    def _keep(self) -> None:
        """Renew the leases of what is held, in a thread of its own, until nothing is."""
        pause = threading.Event()
        while True:
            pause.wait(self._lease_s / 3)
            with self._turn:
                holders = list(self._held)
                if not holders:
                    self._keeping = False
                    return
            _told(lambda holders=holders: self._places.renew(holders))  # type: ignore[misc]


def _told(tell: Callable[[], None]) -> None:
    """Tell the database, if it can be told. A request's own end must not depend on it: leases run out by themselves,
    and the organisation repeats its refusals."""
    try:
        tell()
    except DynamicsError as away:
        log.warning("the shared budget could not be told: %s", away)
