"""Person holds: one record id for one person, whoever comes first, and a heir when the holder dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import Claim, PersonClaim, PersonHold, Run
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import (
    ORGANIZATION,
    claimed,
    created,
    discovered,
    keys_of,
    lapse,
    new_run,
    one,
    record_of,
)


def wish(key: int, *match_keys: str, **changes: UUID) -> PersonClaim:
    return PersonClaim(key, "lead", changes.get("record_id", record_of(key)), match_keys)


def hold(ledger: PostgresLedger, claim: Claim, *wishes: PersonClaim) -> list[PersonHold]:
    return ledger.hold_persons(ORGANIZATION, claim, wishes)


@pytest.fixture
def claims(ledger: PostgresLedger, run: Run) -> list[Claim]:
    """Three workers with one prospect each."""
    discovered(ledger, run, "abc")
    return [claimed(ledger, run, worker=f"w{number}", size=1) for number in range(3)]


def key(claim: Claim) -> int:
    return keys_of(claim)[0]


def test_whoever_comes_first_holds_and_the_others_are_told_by_whom(ledger: PostgresLedger, claims: list[Claim]) -> None:
    first, second, _ = claims
    assert hold(ledger, first, wish(key(first), "k")) == [
        PersonHold(key(first), record_of(key(first)), mine=True, settled=False, busy_until=None)
    ]
    (told,) = hold(ledger, second, wish(key(second), "k"))
    assert (told.mine, told.settled, told.record_id) == (False, False, record_of(key(first)))
    assert told.busy_until is not None
    assert told.busy_until > datetime.now(UTC)


def test_asked_again_the_holder_still_holds(ledger: PostgresLedger, claims: list[Claim]) -> None:
    asked = wish(key(claims[0]), "k", "k2")
    assert hold(ledger, claims[0], asked) == hold(ledger, claims[0], asked)


def test_of_two_wishes_of_one_call_the_first_holds(ledger: PostgresLedger, run: Run) -> None:
    discovered(ledger, run, "abc")
    claim = claimed(ledger, run)
    a, b, c = keys_of(claim)
    holds = hold(ledger, claim, wish(b, "k1"), wish(a, "k1", "k2"), wish(c, "k2"))
    assert [(h.prospect_key, h.mine, h.record_id) for h in holds] == [
        (b, True, record_of(b)),
        (a, False, record_of(b)),
        (c, False, record_of(b)),
    ]


def test_free_keys_go_to_whoever_holds_the_person_already(ledger: PostgresLedger, claims: list[Claim]) -> None:
    first, second, third = claims
    hold(ledger, first, wish(key(first), "name"))
    (told,) = hold(ledger, second, wish(key(second), "email", "name"))
    assert (told.mine, told.record_id) == (False, record_of(key(first)))
    (told,) = hold(ledger, third, wish(key(third), "email"))
    assert (told.mine, told.record_id) == (False, record_of(key(first)))


def test_the_strongest_key_decides_between_two_persons(ledger: PostgresLedger, claims: list[Claim]) -> None:
    first, second, third = claims
    hold(ledger, first, wish(key(first), "email"))
    hold(ledger, second, wish(key(second), "name"))
    (told,) = hold(ledger, third, wish(key(third), "email", "name"))
    assert told.record_id == record_of(key(first))


def test_tables_and_organisations_are_apart(ledger: PostgresLedger, claims: list[Claim]) -> None:
    first, second, third = claims
    hold(ledger, first, wish(key(first), "k"))
    contact = PersonClaim(key(second), "contact", record_of(key(second)), ("k",))
    assert hold(ledger, second, contact)[0].mine
    assert ledger.hold_persons(uuid4(), third, [wish(key(third), "k")])[0].mine


def test_without_a_key_nobody_is_somebody_else(ledger: PostgresLedger, claims: list[Claim]) -> None:
    (told,) = hold(ledger, claims[0], wish(key(claims[0])))
    assert (told.mine, told.record_id) == (True, record_of(key(claims[0])))
    assert hold(ledger, claims[0]) == []


def test_a_dead_holder_is_followed_by_one_heir_under_the_same_record_id(
    ledger: PostgresLedger, store: sa.Engine, claims: list[Claim]
) -> None:
    dead, heir, late = claims
    hold(ledger, dead, wish(key(dead), "k"))
    lapse(store)
    assert ledger.extend(heir, 60.0)
    assert ledger.extend(late, 60.0)
    (told,) = hold(ledger, heir, wish(key(heir), "k"))
    assert (told.mine, told.settled, told.busy_until, told.record_id) == (False, False, None, record_of(key(dead)))
    (told,) = hold(ledger, late, wish(key(late), "k"))
    assert told.record_id == record_of(key(dead))
    assert told.busy_until is not None, "the heir is creating it now"


def test_a_prospect_that_comes_again_gets_its_own_hold_back(
    ledger: PostgresLedger, run: Run, store: sa.Engine, claims: list[Claim]
) -> None:
    asked = wish(key(claims[0]), "k")
    hold(ledger, claims[0], asked)
    lapse(store)
    again = claimed(ledger, run, worker="v", size=1)
    assert hold(ledger, again, asked)[0].mine


def test_the_same_prospect_in_another_run_waits_for_the_first(
    ledger: PostgresLedger, store: sa.Engine, claims: list[Claim]
) -> None:
    other = ledger.open_run(new_run())
    discovered(ledger, other, "a")
    elsewhere = claimed(ledger, other)
    asked = wish(key(claims[0]), "k")
    hold(ledger, claims[0], asked)
    (told,) = hold(ledger, elsewhere, asked)
    assert (told.mine, told.busy_until is not None) == (False, True)
    lapse(store)
    (told,) = hold(ledger, elsewhere, asked)
    assert (told.mine, told.busy_until) == (True, None)


def test_when_the_holder_was_settled_without_a_record_the_next_one_need_not_wait(
    ledger: PostgresLedger, claims: list[Claim]
) -> None:
    first, second, _ = claims
    hold(ledger, first, wish(key(first), "k"))
    ledger.settle(first, [created(first, key(first), link=None, record_id=None)])
    (told,) = hold(ledger, second, wish(key(second), "k"))
    assert (told.settled, told.busy_until, told.record_id) == (False, None, record_of(key(first)))


def test_a_person_whose_record_is_gone_gets_a_new_one_once(
    ledger: PostgresLedger, store: sa.Engine, claims: list[Claim]
) -> None:
    first, second, third = claims
    hold(ledger, first, wish(key(first), "k"))
    ledger.settle(first, [created(first, key(first))])
    dead = record_of(key(first))
    ledger.replace_person(ORGANIZATION, wish(key(second), "k"), dead)
    ledger.replace_person(ORGANIZATION, wish(key(third), "k"), dead)
    assert one(store, "SELECT record_id, settled FROM sync.person_lock") == {
        "record_id": record_of(key(second)),
        "settled": False,
    }
    assert hold(ledger, second, wish(key(second), "k"))[0].mine


def test_many_at_once_agree_on_one_record_per_person(ledger: PostgresLedger, run: Run) -> None:
    """Eight workers want the same forty persons in different orders, by e-mail and by name."""
    discovered(ledger, run, (f"p{number}" for number in range(320)))
    claims = [claimed(ledger, run, worker=f"w{number}", size=40) for number in range(8)]

    def want(claim: Claim) -> dict[int, PersonHold]:
        keys = keys_of(claim)
        turn = keys[0] % 40
        wishes = [wish(k, f"e{(n * 7 + turn) % 40:02}", f"n{(n * 7 + turn) % 40:02}") for n, k in enumerate(keys)]
        held = ledger.hold_persons(ORGANIZATION, claim, wishes)
        return {(n * 7 + turn) % 40: told for n, told in enumerate(held)}

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(want, claims))
    for person in range(40):
        assert len({answer[person].record_id for answer in answers}) == 1
        assert sum(answer[person].mine for answer in answers) == 1
