"""How many at once, and how long nobody: the decisions of the request limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.throttle import (
    MAX_BACKOFF_S,
    MAX_PLACES,
    CallPatience,
    Offer,
    Outage,
    Plan,
    UserState,
    after_failure,
    bounded_pause_s,
    lowered,
    plan,
)
from dynamics.errors import RateLimitedError, ServiceUnavailableError


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        (UserState("a"), 4),
        (UserState("a", hint=12), 12),
        (UserState("a", hint=0), 1),
        (UserState("a", hint=500), MAX_PLACES),
        (UserState("a", hint=12, lowered_to=8), 8),
        (UserState("a", hint=12, lowered_to=8, quiet_s=59), 8),
        (UserState("a", hint=12, lowered_to=8, quiet_s=130), 10),
        (UserState("a", hint=12, lowered_to=8, quiet_s=3600), 12),
        (UserState("a", hint=2, lowered_to=8), 2),
    ],
)
def test_places_follow_the_recommendation_and_what_was_refused(state: UserState, allowed: int) -> None:
    assert state.allowed == allowed


@pytest.mark.parametrize(("hint", "after"), [(1, 1), (2, 1), (4, 2), (10, 7), (50, 35)])
def test_too_much_at_once_lowers_by_a_third_and_never_to_nothing(hint: int, after: int) -> None:
    assert lowered(UserState("a", hint=hint)) == after


@pytest.mark.parametrize(
    ("asked", "kept"), [(None, 5), (17, 17), (0, 0), (-9, 0), (300, 300), (86_400, 300), (float("inf"), 300)]
)
def test_a_pause_stays_within_the_window(asked: float | None, kept: float) -> None:
    assert bounded_pause_s(asked) == kept


def test_the_least_loaded_user_that_is_not_paused_comes_first() -> None:
    users = [
        UserState("busy", hint=4, busy=3),
        UserState("paused", pause_s=9),
        UserState("roomy", hint=10, busy=5),
    ]
    assert plan(users, Outage(), urgent=False).offers == (Offer("roomy", 1, 10), Offer("busy", 1, 4))


def test_urgent_work_has_a_place_of_its_own_besides_but_keeps_pauses() -> None:
    assert plan([UserState("a")], Outage(), urgent=True).offers == (Offer("a", 1, 4), Offer("a", 0, 0))
    assert plan([UserState("a", pause_s=3)], Outage(), urgent=True) == Plan((), 3)


def test_while_all_are_paused_the_shortest_pause_is_waited_for() -> None:
    assert plan([UserState("a", pause_s=9), UserState("b", pause_s=3)], Outage(), urgent=False) == Plan((), 3)


@pytest.mark.parametrize("urgent", [True, False])
def test_a_failing_service_is_left_alone_and_then_asked_by_one(urgent: bool) -> None:
    users = [UserState("a", pause_s=9), UserState("b"), UserState("c")]
    assert plan(users, Outage(3, 2.5), urgent) == Plan((), 2.5, down=True)
    assert plan(users, Outage(3, -0.1), urgent) == Plan((Offer("b", 1, 1),), down=True)


def test_each_failed_question_doubles_the_wait() -> None:
    outage, waits = Outage(), []
    for _ in range(10):
        outage = after_failure(Outage(outage.failures), None)
        waits.append(outage.wait_s)
    assert waits == [1, 2, 4, 8, 16, 32, 64, MAX_BACKOFF_S, MAX_BACKOFF_S, MAX_BACKOFF_S]


def test_requests_that_were_on_the_way_do_not_make_it_longer_but_what_the_service_asks_for_does() -> None:
    assert after_failure(Outage(2, 1.5), None) == Outage(2, 1.5)
    assert after_failure(Outage(2, 1.5), 20) == Outage(2, 20)
    assert after_failure(Outage(2, 0), 20) == Outage(3, 20)
    assert after_failure(Outage(2, 0), 9_999) == Outage(3, 300)


@given(st.integers(0, 10_000), st.floats(-1e6, 1e6), st.none() | st.floats(allow_nan=False))
def test_no_wait_is_negative_or_without_end(failures: int, wait_s: float, asked_s: float | None) -> None:
    after = after_failure(Outage(failures, min(wait_s, 300)), asked_s)
    assert 0 < after.wait_s <= 300


def test_a_call_is_patient_with_pauses_and_less_so_with_failures() -> None:
    down, paused, free = Plan((), 9, down=True), Plan((), 9), Plan((Offer("a", 1, 4),))
    call = CallPatience(45)
    call.check(down, 0)
    call.check(down, 44)
    assert call.left_s(44) == 1
    call.check(free, 44.5)  # busy only: that lasts as long as it lasts
    call.check(free, 10_000)
    call.check(down, 10_001)
    with pytest.raises(ServiceUnavailableError):
        call.check(down, 10_046)
    call = CallPatience(45)
    call.check(paused, 0)
    call.check(paused, 899)
    with pytest.raises(RateLimitedError):
        call.check(paused, 900)
