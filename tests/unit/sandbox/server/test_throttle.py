"""Service protection: three limits, for each user on each server, over a sliding window."""

from __future__ import annotations

from sandbox.server.settings import Limits
from sandbox.server.throttle import Refusal, Throttle


def test_requests_over_the_limit_wait_until_the_oldest_has_left_the_window() -> None:
    throttle, limits = Throttle(), Limits(requests=3, window_s=300)
    for at in (0.0, 10.0, 20.0):
        assert throttle.admit(limits, "a", 0, at) is None
    refusal = throttle.admit(limits, "a", 0, 100.0)
    assert refusal == Refusal(
        "0x80072322", "Number of requests exceeded the limit of 3 over time window of 300 seconds.", 200
    )
    assert throttle.admit(limits, "b", 0, 100.0) is None, "another user has its own count"
    assert throttle.admit(limits, "a", 1, 100.0) is None, "another server has its own count"
    assert throttle.admit(limits, "a", 0, 300.0) is None


def test_a_client_that_does_not_wait_is_told_longer() -> None:
    throttle, limits = Throttle(), Limits(requests=1, window_s=300)
    throttle.admit(limits, "a", 0, 0.0)
    waits = [throttle.admit(limits, "a", 0, 290.0 + step) for step in range(4)]
    seconds = [wait.retry_after_s for wait in waits if wait is not None]
    assert seconds == sorted(set(seconds))
    assert len(seconds) == 4


def test_a_client_that_waits_is_not_punished() -> None:
    throttle, limits = Throttle(), Limits(requests=1, window_s=10)
    throttle.admit(limits, "a", 0, 0.0)
    refusal = throttle.admit(limits, "a", 0, 4.0)
    assert refusal is not None
    assert refusal.retry_after_s == 6
    assert throttle.admit(limits, "a", 0, 10.0) is None


def test_execution_time_counts_when_the_work_is_done() -> None:
    throttle, limits = Throttle(), Limits(requests=None, execution_s=1200, window_s=300)
    for at in (0.0, 100.0):
        assert throttle.admit(limits, "a", 0, at) is None
        throttle.finish("a", 0, at, 600.0)
    refusal = throttle.admit(limits, "a", 0, 150.0)
    assert refusal is not None
    assert refusal.code == "0x80072321"
    assert "1,200,000 milliseconds" in refusal.message
    assert refusal.retry_after_s == 150, "when the first 600 s leave the window"
    assert throttle.admit(limits, "a", 0, 300.0) is None


def test_concurrency_counts_what_is_running() -> None:
    throttle, limits = Throttle(), Limits(concurrency=2)
    throttle.admit(limits, "a", 0, 0.0)
    throttle.admit(limits, "a", 0, 0.0)
    refusal = throttle.admit(limits, "a", 0, 0.0)
    assert refusal is not None
    assert (refusal.code, refusal.message) == ("0x80072326", "Number of concurrent requests exceeded the limit of 2.")
    throttle.finish("a", 0, 1.0, 0.1)
    assert throttle.admit(limits, "a", 0, 1.0) is None


def test_remaining_is_what_the_headers_show() -> None:
    throttle, limits = Throttle(), Limits()
    throttle.admit(limits, "a", 0, 0.0)
    throttle.finish("a", 0, 0.0, 0.5)
    assert throttle.remaining(limits, "a", 0) == (5999, 1199.5)
