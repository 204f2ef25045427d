"""The inbox: a delivery once, errands for those who answer, leases, and the bell that wakes a worker."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from dynamics.core.fulfillment import Delivery, Listener, Repeats, Scene
from dynamics.store.bell import Bell
from dynamics.store.inbox import CHANNEL, Inbox
from tests.contract.store.samples import prospect, rows
from tests.drills.watching import wait_for

BOOTH, ALL = Listener("booth", form_ids=frozenset({"f1"})), Listener("all")


def delivery(number: int = 1, form: str | None = "f1", **changes: object) -> Delivery:
    scene = Scene(frozenset(), frozenset({form})) if form is not None else None
    return Delivery("c", f"msg_{number}", "t", prospect_ids=(f"pro_{number}",), scene=scene, **changes)  # type: ignore[arg-type]


@pytest.fixture
def inbox(store: sa.Engine) -> Inbox:
    return Inbox(store)


def states(store: sa.Engine) -> list[str]:
    return [row["state"] for row in rows(store, "SELECT state FROM sync.webhook_delivery ORDER BY delivery_id")]


def test_a_delivery_is_accepted_once_also_by_many_at_once(inbox: Inbox, store: sa.Engine) -> None:
    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(lambda _: inbox.accept(delivery(), [prospect("pro_1")]), range(12)))
    assert told.count(True) == 1
    assert states(store) == ["due"]


def test_the_last_of_a_series_makes_the_same_again_a_repetition_within_its_time(inbox: Inbox, store: sa.Engine) -> None:
    def call(number: int, mark: str, series: str = "series-1-") -> bool:
        called = replace(delivery(), delivery_id=f"{series}{number:03}-{mark}")
        return inbox.accept(called, repeats=Repeats(series, f"-{mark}", 300.0))

    assert [call(1, "a"), call(2, "a"), call(2, "a", "series-2-")] == [True, False, True]
    assert [call(3, "b"), call(4, "a"), call(5, "a")] == [True, True, False]  # it has been something else meanwhile
    with store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.webhook_delivery SET received_at = now() - interval '301 s'"))
    assert call(6, "a")
    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(lambda number: call(number, "c"), range(10, 22)))
    assert told.count(True) == 1


def test_each_action_that_answers_gets_an_errand_and_what_nobody_answers_is_closed(
    inbox: Inbox, store: sa.Engine
) -> None:
    for number, form in ((1, "f1"), (2, "f2"), (3, None)):
        inbox.accept(delivery(number, form))
    assert inbox.sort([BOOTH]) == {"booth": 2, "": 1}
    assert inbox.sort([BOOTH]) == {}
    assert states(store) == ["sorted", "ignored", "sorted"]
    taken = inbox.take("booth", 10, 60.0)
    assert [errand.delivery for errand in taken] == [delivery(1), delivery(3, None)]
    assert inbox.take("booth", 10, 60.0) == []


def test_a_delivery_is_done_when_all_its_errands_are(inbox: Inbox, store: sa.Engine) -> None:
    inbox.accept(delivery())
    inbox.sort([BOOTH, ALL])
    inbox.done("booth", inbox.take("booth", 10, 60.0))
    assert (states(store), inbox.open()) == (["sorted"], {"all": 1})
    inbox.done("all", inbox.take("all", 10, 60.0))
    assert (states(store), inbox.open()) == (["done"], {})


def test_errands_of_a_worker_that_died_are_taken_over_and_those_kept_are_not(inbox: Inbox, store: sa.Engine) -> None:
    for number in (1, 2):
        inbox.accept(delivery(number))
    inbox.sort([BOOTH])
    first, second = inbox.take("booth", 10, 0.0)
    inbox.extend("booth", [first], 60.0)
    (again,) = inbox.take("booth", 10, 60.0)
    assert (again.delivery, again.attempts) == (second.delivery, 2)


def test_what_is_put_off_comes_again_in_its_time(inbox: Inbox, store: sa.Engine) -> None:
    inbox.accept(delivery())
    inbox.sort([BOOTH])
    inbox.put_off("booth", inbox.take("booth", 10, 60.0), 3600.0, "contract")
    assert inbox.take("booth", 10, 60.0) == []
    assert rows(store, "SELECT code, lease_until FROM sync.webhook_errand") == [
        {"code": "contract", "lease_until": None}
    ]
    with store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.webhook_errand SET available_at = now()"))
    assert len(inbox.take("booth", 10, 60.0)) == 1


def test_two_workers_never_take_the_same_errand(inbox: Inbox, store: sa.Engine) -> None:
    for number in range(60):
        inbox.accept(delivery(number))
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: inbox.sort([BOOTH]), range(6)))
        taken = [errand for part in threads.map(lambda _: inbox.take("booth", 15, 60.0), range(8)) for errand in part]
    assert len({errand.delivery.delivery_id for errand in taken}) == len(taken) == 60


def test_an_action_that_is_missed_keeps_its_errands_for_a_time_and_has_them_again_when_it_is_back(
    inbox: Inbox, store: sa.Engine
) -> None:
    inbox.accept(delivery())
    inbox.sort([BOOTH])
    held = inbox.take("booth", 10, 60.0)
    assert inbox.miss("booth", 3600.0) == 0  # somebody has it in hand
    inbox.put_off("booth", held, 0.0, None)
    assert (inbox.miss("booth", 3600.0), inbox.miss("booth", 3600.0)) == (1, 0)
    assert (inbox.drop("booth"), inbox.take("booth", 10, 60.0)) == (0, [])
    assert (inbox.back(["other"]), inbox.back(["booth", "other"])) == (0, 1)
    assert len(inbox.take("booth", 10, 60.0)) == 1


def test_dropped_errands_leave_those_of_others(inbox: Inbox, store: sa.Engine) -> None:
    for number, form in ((1, "f1"), (2, "f2")):
        inbox.accept(delivery(number, form))
    inbox.sort([BOOTH, ALL])
    assert inbox.miss("all", 0.0) == 2
    assert inbox.drop("all") == 2
    assert states(store) == ["sorted", "done"]
    assert inbox.open() == {"booth": 1}


def test_the_bell_rings_for_work_and_for_nothing_else(inbox: Inbox, store: sa.Engine) -> None:
    slept = threading.Event()
    bell = Bell(store, CHANNEL, lambda _: slept.set())
    assert bell.wait(0.0)  # connected: what came before was not heard
    inbox.accept(Delivery("c", "msg_0", "webhook.test"))
    assert not bell.wait(0.05)
    inbox.accept(delivery(1))
    assert bell.wait(10.0)
    with store.begin() as connection:  # cut off from outside
        connection.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    assert not bell.wait(5.0)
    assert slept.is_set()
    assert bell.wait(0.0)  # there again
    bell.close()


def test_two_actions_that_finish_at_once_leave_no_delivery_open(inbox: Inbox, store: sa.Engine) -> None:
    inbox.accept(delivery())
    inbox.sort([BOOTH, ALL])
    booth, everything = inbox.take("booth", 10, 60.0), inbox.take("all", 10, 60.0)
    holding, other = threading.Event(), []
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    def hold(_: sa.Connection) -> None:
        """The first of them to commit waits until the other one has finished, or waits for it."""
        if not holding.is_set():
            holding.set()
            assert wait_for(lambda: other and (other[0].done() or rows(store, waiting)), 10.0)

    sa.event.listen(store, "commit", hold)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(inbox.done, "booth", booth)
        assert holding.wait(10.0)
        other.append(threads.submit(inbox.done, "all", everything))
        first.result(20.0)
        other[0].result(20.0)
    assert (states(store), inbox.open()) == (["done"], {})


def test_a_bell_that_gets_no_connection_looks_from_time_to_time(store: sa.Engine) -> None:
    engine, slept = sa.create_engine(store.url, pool_size=1, max_overflow=0, pool_timeout=0.05), threading.Event()
    bell = Bell(engine, CHANNEL, lambda _: slept.set())
    with engine.connect():
        assert not bell.wait(0.0)
    assert slept.is_set()
    assert bell.wait(0.0)
    bell.close()
    engine.dispose()
