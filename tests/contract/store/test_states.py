"""The states of a work item: the database makes the transitions that are declared and drawn, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import TRANSITIONS, AttemptResult, Claim, ItemState, Run
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import ORGANIZATION, claimed, created, discovered, intent, keys_of, lapse, rows

DIAGRAM = Path(__file__).resolve().parents[3] / "docs" / "engine.md"
_WATCH = """
CREATE TABLE public.seen (before text, after text);
CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.seen VALUES (OLD.state, NEW.state); RETURN NEW; END $$;
CREATE TRIGGER see AFTER UPDATE ON sync.work_item FOR EACH ROW
  WHEN (OLD.state <> NEW.state OR OLD.fence <> NEW.fence) EXECUTE FUNCTION public.see();
"""
Seen = frozenset[tuple[ItemState, ItemState]]
Operation = Callable[["Place"], None]


class Place:
    """A ledger whose items stand in every state, and what an operation on them was seen to change."""

    def __init__(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        self.ledger, self.run, self.store = ledger, run, store
        discovered(ledger, run, ["pending"])
        waiting = claimed(ledger, run)
        ledger.release(waiting, keys_of(waiting), 3600.0, "for later")
        self.claims: dict[str, Claim] = {}
        for state in ("claimed", "sent", "resolved"):
            discovered(ledger, run, [state])
            self.claims[state] = claimed(ledger, run)
        self.attempts = {state: self._intend(self.claims[state]) for state in ("sent", "resolved")}
        ledger.resolve([AttemptResult(self.attempts["resolved"], "not_landed")])

    def _intend(self, claim: Claim) -> int:
        return next(iter(self.ledger.intend(claim, [intent(claim, key) for key in keys_of(claim)]).values()))

    def everything_is_due(self) -> None:
        lapse(self.store)
        with self.store.begin() as connection:
            connection.execute(sa.text("UPDATE sync.work_item SET available_at = now() - interval '1 s'"))

    def seen_of(self, operation: Operation) -> Seen:
        with self.store.begin() as connection:
            connection.exec_driver_sql(_WATCH)
        operation(self)
        found = rows(self.store, "SELECT DISTINCT before, after FROM public.seen")
        return frozenset((ItemState(row["before"]), ItemState(row["after"])) for row in found)


def claim(place: Place) -> None:
    place.everything_is_due()
    assert len(claimed(place.ledger, place.run).items) == 4


def intend(place: Place) -> None:
    for held in place.claims.values():
        place.ledger.intend(held, [intent(held, key) for key in keys_of(held)])


def release(place: Place) -> None:
    for held in place.claims.values():
        place.ledger.release(held, keys_of(held), 0.0, "again")


def settle(place: Place) -> None:
    for held in place.claims.values():
        place.ledger.settle(held, [created(held, key) for key in keys_of(held)])


def settle_attempts(place: Place) -> None:
    """Found by another run: given back, claimed anew and dropped, or dropped on the wire."""
    given_back, again = place.claims["resolved"], place.claims["claimed"]
    for held in (given_back, again):
        place.ledger.intend(held, [intent(held, key) for key in keys_of(held)])
    with place.store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.attempt SET result = NULL"))
    place.ledger.release(given_back, keys_of(given_back), 3600.0, "outcome_unknown")
    place.ledger.release(again, keys_of(again), 0.0, "outcome_unknown")
    claimed(place.ledger, place.run)
    lapse(place.store)
    with place.store.begin() as connection:
        connection.execute(sa.text("DELETE FROM public.seen"))
    keys = [key for held in place.claims.values() for key in keys_of(held)]
    found = place.ledger.open_attempts(ORGANIZATION, keys)
    landed = [
        (attempt, created(place.claims[state], attempt.intent.prospect_key, recovered=True))
        for attempt in found
        for state in place.claims
        if attempt.intent.prospect_key in keys_of(place.claims[state])
    ]
    assert place.ledger.settle_attempts(landed) == 3


def abandon(place: Place) -> None:
    lapse(place.store)
    with place.store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.sync_run SET touched_at = now() - interval '1 day'"))
    assert place.ledger.abandon_stale_runs(place.run.account, ORGANIZATION, 60.0, uuid4()) == 3


OPERATIONS: tuple[Operation, ...] = (claim, intend, release, settle, settle_attempts, abandon)


@pytest.fixture
def place(ledger: PostgresLedger, run: Run, store: sa.Engine) -> Place:
    return Place(ledger, run, store)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_an_operation_makes_the_transitions_that_are_declared_for_it(operation: Operation, place: Place) -> None:
    assert place.seen_of(operation) == TRANSITIONS[operation.__name__]


def test_every_operation_is_watched() -> None:
    assert {operation.__name__ for operation in OPERATIONS} == TRANSITIONS.keys()


def test_the_diagram_shows_the_transitions_that_are_declared() -> None:
    drawn = re.findall(r"^ *(\w+) --> (\w+): (\w+)$", DIAGRAM.read_text(), re.MULTILINE)
    declared = {(before, after, name) for name, pairs in TRANSITIONS.items() for before, after in pairs}
    assert sorted(drawn) == sorted((str(before), str(after), name) for before, after, name in declared)
