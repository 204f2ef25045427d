"""The shared budget: a pause of one worker is a pause of all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from dynamics.store.budget import DatabaseBudget
from tests.contract.store.samples import ORGANIZATION, one


@dataclass
class ManualClock:
    stopping = False

    """Stands still unless slept on. Sleeping also ends the pause in the database, as time would."""

    engine: sa.Engine
    at: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        with self.engine.begin() as connection:
            passed = sa.text("UPDATE sync.budget SET paused_until = paused_until - make_interval(secs => :s)")
            connection.execute(passed, {"s": seconds})


def budget(store: sa.Engine, clock: ManualClock, user: str = "app", concurrency: int = 8) -> DatabaseBudget:
    return DatabaseBudget(store, ORGANIZATION, user, clock, concurrency)


def test_without_a_pause_nobody_waits(store: sa.Engine) -> None:
    clock = ManualClock(store)
    with budget(store, clock).slot():
        assert clock.slept == []


def test_a_pause_holds_for_the_one_who_was_told_and_for_every_other(store: sa.Engine) -> None:
    clock = ManualClock(store)
    told, other, stranger = (budget(store, clock, user) for user in ("app", "app", "second app"))
    told.pause(30.0)
    with stranger.slot():
        assert clock.slept == []
    with other.slot():
        assert 29.0 < clock.at <= 30.0
    with told.slot():
        assert clock.at == 30.0


def test_a_pause_is_noticed_within_a_second(store: sa.Engine) -> None:
    clock = ManualClock(store)
    told, other = budget(store, clock), budget(store, clock)
    with other.slot():
        pass
    told.pause(30.0)
    clock.at += 1.0
    with other.slot():
        assert sum(clock.slept) > 28.0


def test_a_pause_made_longer_while_one_waits_is_waited_out(store: sa.Engine) -> None:
    clock = ManualClock(store)
    told, other = budget(store, clock), budget(store, clock)
    told.pause(10.0)
    sleep = clock.sleep

    def sleep_and_be_told(seconds: float) -> None:
        clock.sleep = sleep  # type: ignore[method-assign]
        sleep(seconds)
        told.pause(20.0)

    clock.sleep = sleep_and_be_told  # type: ignore[method-assign]
    with other.slot():
        assert 29.0 < clock.at <= 30.5


def test_a_shorter_pause_does_not_shorten_a_longer_one(store: sa.Engine) -> None:
    clock = ManualClock(store)
    told = budget(store, clock)
    told.pause(300.0)
    told.pause(1.0)
    left = one(store, "SELECT paused_until - now() > interval '250 s' AS long FROM sync.budget")
    assert left["long"] is True
    with budget(store, clock).slot():
        assert clock.at > 250.0


def test_no_more_requests_are_on_the_way_than_there_are_places(store: sa.Engine) -> None:
    shared = budget(store, ManualClock(store), user=str(uuid4()), concurrency=3)
    inside, most = [0], [0]
    counting = threading.Lock()
    meet = threading.Barrier(3)

    def request(_: int) -> None:
        with shared.slot():
            with counting:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            meet.wait(10)  # only full when three are inside at once
            with counting:
                inside[0] -= 1

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(request, range(9)))
    assert most == [3]
