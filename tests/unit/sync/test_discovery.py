"""Discovery keeps what it has stored, and says when it did not come to its end."""

from __future__ import annotations

from uuid import uuid4

import pytest

from dynamics.core.capture import Selection
from dynamics.core.ledger import Run
from dynamics.errors import StoppedError
from dynamics.sync.discovery import discover
from tests.unit.sync.test_engine import ORGANIZATION, POLICY, Prospects, Stage, ana


def test_asked_to_stop_it_keeps_the_pages_it_has_and_is_not_done() -> None:
    stage, run = Stage(), Run(uuid4(), "a", "dynamics_default", "bulk", False, {}, "hash", ORGANIZATION)
    stage.ledger.open_run(run)
    people = [ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(3)]

    class Paged(Prospects):
        def pages(self, selection: Selection):  # type: ignore[no-untyped-def]
            for person in people:
                yield from Prospects(person).pages(selection)

    def stop(stored: int) -> None:
        stage.clock.stopping = stored == 2

    with pytest.raises(StoppedError):
        discover(run, POLICY, Paged(), Selection(), stage.ledger, stage.clock, stop)
    counts = stage.ledger.counts(run.run_id)
    assert (counts.selected, counts.discovered) == (2, False)
    stage.clock.stopping = False
    discover(run, POLICY, Paged(), Selection(), stage.ledger, stage.clock)
    counts = stage.ledger.counts(run.run_id)
    assert (counts.selected, counts.discovered) == (3, True)
