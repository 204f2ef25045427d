"""The shared budget on a real database: places, pauses and outages of one worker are those of all."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from dynamics.clock import SystemClock
from dynamics.errors import RateLimitedError, ServiceUnavailableError, StoppedError
from dynamics.store.budget import DatabaseBudget
from tests.contract.store.samples import ORGANIZATION, one, rows

BUSY = "SELECT count(*) AS busy FROM sync.budget_place WHERE lease_until > now()"


class ManualClock:
    """Stands still unless slept on; `shift_s` makes the database's time do the same."""

    def __init__(self) -> None:
        self.at = 0.0
        self.started = time.monotonic()
        self.stopping = False
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    def shift_s(self) -> float:
        return self.at - (time.monotonic() - self.started)

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.on_sleep()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def budget(store: sa.Engine, clock: ManualClock, *users: str, urgent: bool = False) -> DatabaseBudget:
    return DatabaseBudget(store, ORGANIZATION, users or ("app",), clock, urgent=urgent, shift_s=clock.shift_s)


def real(store: sa.Engine, *users: str, urgent: bool = False, lease_s: float = 10.0) -> DatabaseBudget:
    return DatabaseBudget(store, ORGANIZATION, users or ("app",), SystemClock(), urgent=urgent, lease_s=lease_s)


def filled(budget: DatabaseBudget, count: int) -> ExitStack:
    """So many requests on the way."""
    held = ExitStack()
    for _ in range(count):
        held.enter_context(budget.slot())
    return held


def none_free(budget: DatabaseBudget, clock: ManualClock) -> bool:
    """Whether a request would have to wait; the process is stopped once it does."""
    clock.on_sleep = lambda: setattr(clock, "stopping", True)
    try:
        with budget.slot():
            return False
    except StoppedError:
        return True
    finally:
        clock.stopping, clock.on_sleep = False, lambda: None


def eventually(fact: Callable[[], bool], within_s: float = 10.0) -> bool:
    ends = time.monotonic() + within_s
    while not (found := fact()) and time.monotonic() < ends:
        threading.Event().wait(0.02)
    return found


# ---------------------------------------------------------------- pauses


def test_without_a_pause_nobody_waits(store: sa.Engine, clock: ManualClock) -> None:
    with budget(store, clock).slot() as user:
        assert (user, clock.at) == ("app", 0.0)


def test_a_pause_holds_for_the_one_who_was_told_and_for_every_other(store: sa.Engine, clock: ManualClock) -> None:
    told, other, stranger = (budget(store, clock, user) for user in ("app", "app", "second app"))
    told.pause("app", 30.0)
    with stranger.slot():
        assert clock.at == 0.0
    with other.slot():
        assert 29.0 < clock.at <= 31.0
    with told.slot():
        assert clock.at <= 31.0


def test_a_pause_made_longer_while_one_waits_is_waited_out(store: sa.Engine, clock: ManualClock) -> None:
    told, other = budget(store, clock), budget(store, clock)
    told.pause("app", 10.0)

    def be_told() -> None:
        clock.on_sleep = lambda: None
        told.pause("app", 20.0)

    clock.on_sleep = be_told
    with other.slot():
        assert 20.0 < clock.at <= 26.0


def test_a_shorter_pause_does_not_shorten_a_longer_one(store: sa.Engine, clock: ManualClock) -> None:
    told = budget(store, clock)
    told.pause("app", 300.0)
    told.pause("app", 1.0)
    with budget(store, clock).slot():
        assert clock.at > 290.0


@pytest.mark.parametrize(("asked", "kept"), [(None, 5.0), (-3.0, 0.0), (0.0, 0.0), (7200.0, 300.0)])
def test_absurd_pauses_are_bounded(store: sa.Engine, clock: ManualClock, asked: float | None, kept: float) -> None:
    budget(store, clock).pause("app", asked)
    with budget(store, clock).slot():
        assert kept - 1.0 <= clock.at <= kept + 1.0


def test_a_pause_without_end_is_told_after_a_quarter_of_an_hour(store: sa.Engine, clock: ManualClock) -> None:
    told, other = budget(store, clock), budget(store, clock)
    told.pause("app", 300.0)
    clock.on_sleep = lambda: told.pause("app", 300.0)
    with pytest.raises(RateLimitedError), other.slot():
        pass
    assert 890.0 < clock.at < 910.0


def test_one_that_is_to_stop_does_not_wait(store: sa.Engine, clock: ManualClock) -> None:
    waiting = budget(store, clock)
    waiting.pause("app", 60.0)
    assert none_free(waiting, clock)
    assert clock.at < 10.0


def test_no_request_starts_inside_a_pause_whichever_thread_or_process_it_is_of(store: sa.Engine) -> None:
    """Pauses come at random while two processes send from four threads each; a second of grace."""
    both = [real(store), real(store)]
    ends = time.monotonic() + 4.0
    starts: list[float] = []
    pauses: list[tuple[float, float]] = []

    def sender(of: DatabaseBudget) -> None:
        while time.monotonic() < ends:
            with of.slot():
                starts.append(time.monotonic())
                threading.Event().wait(0.005)

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(sender, of) for of in both * 4]
        for _ in range(2):
            threading.Event().wait(0.5)
            both[0].pause("app", 1.2)
            pauses.append((time.monotonic(), time.monotonic() + 1.1))
            threading.Event().wait(1.2)
        for done in running:
            done.result()
    inside = [start for start in starts for began, ended in pauses if began + 0.25 < start < ended]
    assert len(starts) > 50
    assert inside == []


# ---------------------------------------------------------------- places


def test_all_workers_together_have_four_places_before_the_organisation_says_a_number(
    store: sa.Engine, clock: ManualClock
) -> None:
    one_worker, another = budget(store, clock), budget(store, clock)
    with filled(one_worker, 2), filled(another, 2):
        assert none_free(one_worker, clock)
        assert none_free(another, clock)
    assert not none_free(another, clock)


def test_the_organisations_recommendation_counts_for_all(store: sa.Engine, clock: ManualClock) -> None:
    one_worker, another = budget(store, clock), budget(store, clock)
    one_worker.advise("app", 7)
    with filled(another, 7):
        assert none_free(another, clock)
    one_worker.advise("app", 1)
    with filled(another, 1):
        assert none_free(another, clock)


def test_too_much_at_once_costs_places_that_come_back_minute_by_minute(store: sa.Engine, clock: ManualClock) -> None:
    told, other = budget(store, clock), budget(store, clock)
    told.advise("app", 10)
    for _ in range(4):  # those on the way together are refused together: that counts once
        told.pause("app", 2.0, fewer=True)
    clock.at += 2.5
    with filled(other, 7):
        assert none_free(other, clock)
    told.pause("app", 2.0)
    clock.at += 65.0
    with filled(other, 8):
        assert none_free(other, clock)
    clock.at += 600.0
    with filled(other, 10):
        assert none_free(other, clock)


def test_urgent_work_does_not_queue_behind_a_bulk_load(store: sa.Engine, clock: ManualClock) -> None:
    bulk, urgent = budget(store, clock), budget(store, clock, urgent=True)
    with filled(bulk, 4):
        with urgent.slot():
            assert none_free(urgent, clock)
            assert none_free(bulk, clock)
        bulk.pause("app", 30.0)
        assert none_free(urgent, clock)


def test_several_users_share_the_load_and_a_paused_one_is_left_out(store: sa.Engine, clock: ManualClock) -> None:
    sending = budget(store, clock, "one", "two")
    with ExitStack() as held:
        users = Counter(held.enter_context(sending.slot()) for _ in range(4))
        assert users == {"one": 2, "two": 2}
        assert {held.enter_context(sending.slot()) for _ in range(2)} == {"one", "two"}
    sending.pause("one", 30.0)
    with ExitStack() as held:
        assert [held.enter_context(budget(store, clock, "one", "two").slot()) for _ in range(4)] == ["two"] * 4
        assert none_free(sending, clock)
    assert clock.at < 10.0


def test_no_more_requests_are_on_the_way_than_there_are_places_and_processes_share(
    store: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynamics.store.budget.HAND_OVER_S", 0.2)
    workers = [real(store) for _ in range(3)]
    workers[0].advise("app", 3)
    counting, inside, most = threading.Lock(), Counter[str](), [0]
    served = Counter[int]()
    ends = time.monotonic() + 4.0

    def sender(number: int) -> None:
        while time.monotonic() < ends:
            with workers[number % 3].slot():
                with counting:
                    inside["now"] += 1
                    served[number % 3] += 1
                    most[0] = max(most[0], inside["now"])
                threading.Event().wait(0.01)
                with counting:
                    inside["now"] -= 1

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(sender, range(12)))
    assert most == [3]
    assert min(served.values()) >= sum(served.values()) * 0.05, served


def test_a_place_goes_from_thread_to_thread_without_the_database(store: sa.Engine) -> None:
    shared = real(store)
    shared.advise("app", 1)
    statements: list[str] = []
    sa.event.listen(store, "before_cursor_execute", lambda *args: statements.append(args[2]))

    def request(_: int) -> None:
        with shared.slot():
            threading.Event().wait(0.001)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(request, range(200)))
    taken = [statement for statement in statements if "RETURNING number" in statement]
    assert len(taken) < 100


def test_a_request_that_lasts_longer_than_its_lease_keeps_its_place(store: sa.Engine) -> None:
    holding = real(store, lease_s=0.6)
    with holding.slot():
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert one(store, BUSY)["busy"] == 1
            threading.Event().wait(0.05)
    assert one(store, BUSY)["busy"] == 0


KILLED = """
import sys, uuid
from dynamics.clock import SystemClock
from dynamics.store.budget import DatabaseBudget
from dynamics.store.database import create_store

budget = DatabaseBudget(create_store(sys.argv[1]), uuid.UUID(sys.argv[2]), ["app"], SystemClock(), lease_s=1.0)
slots = [budget.slot() for _ in range(4)]
for slot in slots:
    slot.__enter__()
print("full", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def full(audit_url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with four requests on the way."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), audit_url, str(ORGANIZATION)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        yield process
        process.kill()


def test_a_killed_process_blocks_its_places_for_a_lease_and_no_longer(
    store: sa.Engine, full: subprocess.Popen[str]
) -> None:
    threading.Event().wait(1.5)  # longer than a lease: it is alive, and renews
    assert one(store, BUSY)["busy"] == 4
    full.send_signal(signal.SIGKILL)
    full.wait(5)
    with filled(real(store), 4):
        assert one(store, BUSY)["busy"] == 4


def test_a_place_lost_to_another_is_not_given_back_for_him(store: sa.Engine, clock: ManualClock) -> None:
    slow, other = budget(store, clock), budget(store, clock)
    slow.advise("app", 1)
    with ExitStack() as late:
        late.enter_context(slow.slot())
        clock.at += 60.0  # as if it had been stopped for so long
        stays = other.slot()
        stays.__enter__()
    assert none_free(slow, clock)
    stays.__exit__(None, None, None)


def test_a_database_that_is_away_ends_no_request(
    store: sa.Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynamics.store.transactions.WAITS_S", ())
    sending = budget(store, clock)
    with sending.slot():
        with store.begin() as connection:
            connection.execute(sa.text("ALTER TABLE sync.budget_place RENAME TO away"))
            connection.execute(sa.text("ALTER TABLE sync.outage RENAME TO away_too"))
        sending.unavailable("app")
        sending.served("app")


# ---------------------------------------------------------------- outages


def test_after_failures_one_request_asks_and_its_success_opens_the_way_for_all(
    store: sa.Engine, clock: ManualClock
) -> None:
    one_worker, another = budget(store, clock), budget(store, clock)
    one_worker.unavailable("app")
    with another.slot():
        assert 0.9 < clock.at < 1.5
        assert none_free(one_worker, clock)
        assert none_free(budget(store, clock, urgent=True), clock)
        another.served("app")
    with filled(one_worker, 2), filled(another, 2):
        assert clock.at < 2.0


def test_what_a_failing_service_asks_for_is_waited_out_even_if_somebody_was_served(
    store: sa.Engine, clock: ManualClock
) -> None:
    one_worker, another = budget(store, clock), budget(store, clock)
    one_worker.unavailable("app", 20.0)
    one_worker.served("app")
    with another.slot():
        assert 19.0 < clock.at < 21.0


def test_a_call_gives_up_on_a_failing_service_in_time(store: sa.Engine, clock: ManualClock) -> None:
    waiting = budget(store, clock)
    waiting.unavailable("app", 200.0)
    with pytest.raises(ServiceUnavailableError) as down, waiting.slot():
        pass
    assert 34.0 < clock.at < 36.0
    assert 160.0 < (down.value.retry_after_s or 0) < 170.0


def test_in_an_hour_of_failures_eight_workers_send_sixty_requests_at_most(store: sa.Engine, clock: ManualClock) -> None:
    workers = [budget(store, clock, "one", "two") for _ in range(8)]
    sent, chance = 0, random.Random(3)
    with filled(workers[0], 2), filled(workers[1], 2):  # on the way when it begins
        sent += 4
        for worker in (0, 0, 1, 1):
            workers[worker].unavailable("one")
    for worker in itertools.cycle(workers):
        if clock.at > 3600.0:
            break
        try:
            with worker.slot() as user:
                sent += 1
                clock.at += chance.uniform(0.01, 0.5)
                worker.unavailable(user)
        except ServiceUnavailableError:
            clock.at += 1.0
    assert 20 < sent <= 60
    assert rows(store, "SELECT 1 FROM sync.outage WHERE failures > 20")


def test_whoever_sees_the_service_answer_ends_an_outage_that_is_still_waited_out(
    store: sa.Engine, clock: ManualClock
) -> None:
    failing, fresh = budget(store, clock), budget(store, clock)
    failing.unavailable("app", 200.0)
    with pytest.raises(ServiceUnavailableError), fresh.slot():
        pass
    fresh.answers()
    with fresh.slot() as user, budget(store, clock).slot():  # and not one request alone
        assert user == "app"


def test_a_request_that_was_on_its_way_when_an_outage_began_does_not_end_it(store: sa.Engine) -> None:
    shared = DatabaseBudget(store, ORGANIZATION, ["app"], SystemClock())
    failed, served = threading.Event(), threading.Event()

    def slow() -> None:
        with shared.slot():
            failed.wait(10)
            shared.served("app")
            served.set()

    with ThreadPoolExecutor(1) as threads:
        on_its_way = threads.submit(slow)
        with shared.slot():
            shared.unavailable("app", 60.0)
        failed.set()
        on_its_way.result(10)
    assert served.is_set()
    assert rows(store, "SELECT failures FROM sync.outage") == [{"failures": 1}]


def test_queued_threads_learn_of_an_outage_and_of_a_stop(store: sa.Engine) -> None:
    stopping = threading.Event()
    waiting = DatabaseBudget(store, ORGANIZATION, ["app"], SystemClock(stopping))
    waiting.unavailable("app", 60.0)

    def request(patience_s: float) -> type[Exception] | None:
        try:
            with waiting.slot(patience_s):
                return None
        except (ServiceUnavailableError, StoppedError) as told:
            return type(told)

    with ThreadPoolExecutor(6) as threads:
        impatient = [threads.submit(request, 0.5) for _ in range(3)]
        patient = [threads.submit(request, 35.0) for _ in range(3)]
        assert {done.result(10) for done in impatient} == {ServiceUnavailableError}
        stopping.set()
        assert {done.result(10) for done in patient} == {StoppedError}
