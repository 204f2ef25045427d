"""How fast the ledger is: prospects stored, persons grouped, and chunks claimed, intended and settled, one worker.

`python -m tests.bench.store [prospects]`. Prints prospects a second per step.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from dynamics.core.capture import DiscoveredProspect, SourcedProspect
from dynamics.core.ledger import AttemptResult, Claim, Intent, Link, LinkState, Outcome, PersonClaim, Run, Settlement
from dynamics.store.database import create_store, upgrade
from dynamics.store.ledger import PostgresLedger
from sandbox.postgres import start_postgres

CHUNK = 500
ORGANIZATION = UUID("5f0c2f0e-8d0b-4f5c-9d2e-3f1f3a6f0001")
COLUMNS = [f"column{number:02}" for number in range(24)]
SECONDS: dict[str, float] = {}


def main(prospects: int = 100_000) -> None:
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = start_postgres(Path(folder) / "data")
        engine = create_store(server.url_for("bench"))
        upgrade(engine)
        ledger = PostgresLedger(engine)
        run = ledger.open_run(
            Run(uuid4(), "bench", "bench", "bulk", False, {}, "", ORGANIZATION, dag_id=None, dag_run_id=None)
        )
        for first in range(0, prospects, CHUNK):
            page = [_prospect(number) for number in range(first, first + CHUNK)]
            with _timed("store"):
                ledger.store_prospects(run.run_id, "captello", page)
        with _timed("group"):
            ledger.group_persons(run.run_id, by_name=True)
        while True:
            with _timed("claim"):
                claim = ledger.claim(run.run_id, "bench", CHUNK, 60.0)
            if claim.items.empty:
                break
            _write(ledger, claim)
        with _timed("finish"):
            counts = ledger.finish_run(run.run_id, "succeeded", 0)
        engine.dispose()
        server.stop()
    if not counts.balanced or counts.created != prospects:
        raise SystemExit(f"not in balance: {counts}")
    for step, seconds in SECONDS.items():
        print(f"{step:<8}{prospects / seconds:>10,.0f} a second {seconds:>8.1f} s")
    worked = sum(SECONDS[step] for step in ("claim", "facts", "hold", "intend", "settle"))
    print(f"{'worked':<8}{prospects / worked:>10,.0f} a second {worked:>8.1f} s   claim to settle")


def _write(ledger: PostgresLedger, claim: Claim) -> None:
    keys = claim.items["prospect_key"].tolist()
    fences = dict(zip(keys, claim.items["fence"].tolist(), strict=True))
    ids = {key: uuid5(ORGANIZATION, str(key)) for key in keys}
    hashes = dict.fromkeys(COLUMNS, "0123456789abcdef")
    with _timed("facts"):
        ledger.open_attempts(ORGANIZATION, keys)
        ledger.links(ORGANIZATION, keys)
    wishes = [PersonClaim(key, "lead", ids[key], (f"e{key:031}", f"n{key:031}")) for key in keys]
    with _timed("hold"):
        ledger.hold_persons(ORGANIZATION, claim, wishes)
    intents = [
        Intent(key, fences[key], "create", "lead", ids[key], None, "0" * 32, hashes, tuple(COLUMNS), None, 0, 1)
        for key in keys
    ]
    with _timed("intend"):
        attempts = ledger.intend(claim, intents)
    settlements = [
        Settlement(
            key,
            fences[key],
            1,
            Outcome.CREATED,
            table="lead",
            record_id=ids[key],
            changed_columns=tuple(COLUMNS),
            link=Link(key, "lead", ids[key], LinkState.LIVE, 0, "0" * 32, hashes),
        )
        for key in keys
    ]
    with _timed("settle"):
        ledger.settle(claim, settlements, [AttemptResult(attempt, "landed") for attempt in attempts.values()])
        ledger.add_requests(claim.run_id, 1)


def _prospect(number: int) -> DiscoveredProspect:
    """About 1.5 kB of JSON; one in fifty shares its e-mail key with another."""
    payload = {
        "id": f"prs_{number}",
        "state": "ready",
        "first_name": "Ada",
        "last_name": f"Lovelace {number}",
        "emails": [{"address": f"ada{number}@example.org", "primary": True}],
        "notes": "Asked for a demonstration of the second hall's machine. " * 12,
        "answers": [{"question": f"q{i}", "value": "a long enough answer"} for i in range(8)],
    }
    sourced = SourcedProspect(f"prs_{number}", 1, datetime(2026, 3, 14, tzinfo=UTC), payload)
    return DiscoveredProspect(sourced, f"e{number - (number % 50 == 1):031}", f"n{number:031}")


@contextmanager
def _timed(step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    SECONDS[step] = SECONDS.get(step, 0.0) + time.perf_counter() - started


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
