"""The budget of one process."""

from __future__ import annotations

import threading

import pytest

from dynamics.dataverse.local_budget import LocalBudget
from dynamics.errors import ServiceUnavailableError, StoppedError
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


def test_a_failing_service_is_left_alone_longer_each_time_until_it_serves() -> None:
    clock = FakeClock()
    budget, waited = LocalBudget(clock=clock), []
    for _ in range(5):
        budget.unavailable("")
        started = clock.monotonic()
        with budget.slot():
            waited.append(clock.monotonic() - started)
    assert waited == [1, 2, 4, 8, 16]
    budget.served("")
    started = clock.monotonic()
    with budget.slot(), budget.slot():
        assert clock.monotonic() == started


def test_one_request_asks_a_failing_service_and_the_others_wait_for_its_answer() -> None:
    budget = LocalBudget()
    budget.unavailable("")
    with budget.slot():
        with pytest.raises(ServiceUnavailableError), budget.slot(patience_s=0.2):
            pass
        budget.served("")
        with budget.slot():
            pass


def test_one_that_is_to_stop_sends_nothing_more() -> None:
    clock = FakeClock()
    clock.stopping = True
    with pytest.raises(StoppedError), LocalBudget(clock=clock).slot():
        pass


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
