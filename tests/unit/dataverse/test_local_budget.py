"""The budget of one process."""

from __future__ import annotations

import threading

from dynamics.dataverse.local_budget import LocalBudget
from tests.fakes.clock import FakeClock


def test_a_pause_is_waited_out_before_the_next_request() -> None:
    clock = FakeClock()
    budget, started = LocalBudget(clock=clock), clock.monotonic()
    budget.pause("", 30)
    budget.pause("", 10)  # a shorter one does not cut a longer one short
    with budget.slot():
        assert clock.monotonic() - started == 30
    with budget.slot():
        assert clock.monotonic() - started == 30


def test_no_more_requests_at_once_than_there_are_places() -> None:
    budget, inside, entered = LocalBudget(concurrency=2, clock=FakeClock()), threading.Semaphore(0), []
    leave = threading.Event()

    def request() -> None:
        with budget.slot():
            entered.append(1)
            inside.release()
            leave.wait(5)

    threads = [threading.Thread(target=request) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=5)
    assert inside.acquire(timeout=5)
    assert len(entered) == 2
    leave.set()
    for thread in threads:
        thread.join(5)
    assert len(entered) == 3
