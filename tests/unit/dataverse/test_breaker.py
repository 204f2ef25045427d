"""When refusals are a rule of the organisation rather than rows."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.crm import WriteResult, WriteState
from dynamics.dataverse.breaker import LIMIT, Breaker, Breakers
from dynamics.errors import AccountError

DONE = WriteState.DONE


def fate(state: WriteState, code: str | None = None) -> WriteResult:
    return WriteResult(uuid4(), state, code=code, message="a rule of the organisation refused the record: no")


def breaker() -> Breaker:
    return Breaker("connection dynamics_default", "lead", "create")


LANDED = fate(DONE)
PLUGIN = fate(WriteState.REFUSED, "0x80040265")
UNKNOWN_CODE = fate(WriteState.UNCLASSIFIED, "0x80049999")
TOO_LONG = fate(WriteState.REFUSED, "0x80044331")
NEUTRAL = (TOO_LONG, fate(WriteState.EXISTS), fate(WriteState.STALE), fate(WriteState.GONE), fate(WriteState.UNKNOWN))


@given(st.lists(st.sampled_from([LANDED, PLUGIN, UNKNOWN_CODE, *NEUTRAL]), max_size=200))
def test_it_is_open_when_a_rule_has_refused_so_many_rows_and_none_has_landed_since(fates: list[WriteResult]) -> None:
    counted = breaker()
    for one in fates:
        counted.count(one)
    since = fates[max((n + 1 for n, one in enumerate(fates) if one is LANDED), default=0) :]
    assert (counted.fault is not None) is (sum(one in (PLUGIN, UNKNOWN_CODE) for one in since) >= LIMIT)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_it_never_opens_while_rows_land_in_between(share: float) -> None:
    counted, chance = breaker(), random.Random(7)
    for _ in range(100_000):
        counted.count(PLUGIN if chance.random() < share else LANDED)
        assert counted.fault is None


@pytest.mark.parametrize("code", ["0x80040265", "0x80040224", "0x80081111", "0x80048306", "0x8004022b"])
def test_rules_privileges_and_owners_count(code: str) -> None:
    counted = breaker()
    for _ in range(LIMIT):
        counted.count(fate(WriteState.REFUSED, code))
    assert counted.fault is not None


def test_it_says_what_where_how_many_and_what_to_do() -> None:
    counted = breaker()
    for _ in range(LIMIT):
        counted.count(PLUGIN)
    assert str(counted.fault) == (
        "create lead of connection dynamics_default: 20 rows in a row were refused and none landed: a rule of the "
        "organisation refused the record: no: change the rule or what it asks for, or map what it wants to see, then "
        "run again (code 0x80040265)"
    )


def test_nothing_is_sent_while_it_is_open_and_a_row_that_lands_closes_it() -> None:
    counted = breaker()
    for _ in range(LIMIT):
        counted.count(PLUGIN)
    with pytest.raises(AccountError), counted.watched():
        pass
    counted.count(LANDED)
    with counted.watched():
        pass


@pytest.mark.parametrize("before", [[], [fate(WriteState.UNKNOWN)], [LANDED, PLUGIN], [TOO_LONG, PLUGIN]])
def test_a_refused_message_is_taken_apart_one_by_one_until_a_row_has_landed(before: list[WriteResult]) -> None:
    counted, side_by_side = breaker(), threading.Barrier(3)
    for one in before:
        counted.count(one)
    first, go_on, ready = threading.Event(), threading.Event(), threading.Barrier(4)
    alone: list[int] = []

    def send_first() -> None:
        with counted.watched(isolating=True):
            first.set()
            go_on.wait(10)
            alone.append(len(alone))
            counted.count(LANDED)

    def send() -> None:
        first.wait(10)
        ready.wait(10)
        with counted.watched(isolating=True):
            assert alone == [0]
            side_by_side.wait(10)

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(send_first), *(threads.submit(send) for _ in range(3))]
        ready.wait(10)
        go_on.set()
        for done in running:
            done.result(20)


def test_each_table_and_operation_is_counted_by_itself() -> None:
    breakers = Breakers("connection dynamics_default")
    for _ in range(LIMIT):
        breakers.of("lead", "create").count(PLUGIN)
    assert breakers.of("lead", "create").fault
    assert not breakers.of("lead", "update").fault
    assert not breakers.of("contact", "create").fault
