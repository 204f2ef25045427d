"""Brings the selected prospects into the ledger: newest revisions stored, one work item each, persons grouped.

Safe to repeat: a second discovery of the same run adds only what is new. Nothing is decided about a prospect here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from dynamics import killpoints
from dynamics.core.capture import Selection
from dynamics.core.ledger import Run
from dynamics.core.matching import with_match_keys
from dynamics.core.policy import MatchBy, Policy
from dynamics.errors import StoppedError
from dynamics.sync.ports import Clock, Ledger, Source

log = logging.getLogger("dynamics.sync")
P = TypeVar("P")


def discover(
    run: Run,
    policy: Policy,
    source: Source,
    selection: Selection,
    ledger: Ledger,
    clock: Clock,
    on_stored: Callable[[int], None] = lambda _: None,
) -> int:
    """Store what the source selects. Returns how many work items the run has gained.

    Raises:
        StoppedError: this process is to stop. What was stored stays, and the run counts as not discovered.
    """
    pages = (with_match_keys(page) for page in source.pages(selection))
    added = store_pages(
        source.name, pages, lambda page: ledger.store_prospects(run.run_id, source.name, page), clock, on_stored
    )
    conclude(run, policy, ledger)
    log.info("discovered %d prospects in %s", added, source.name)
    return added


def store_pages(
    name: str,
    pages: Iterable[P],
    store: Callable[[P], int],
    clock: Clock,
    on_stored: Callable[[int], None] = lambda _: None,
) -> int:
    """Store page by page: one is stored while the next is read. Returns the sum of what `store` says."""
    added = 0
    with ThreadPoolExecutor(1, thread_name_prefix="storing") as storing:
        stored: Future[int] | None = None
        for page in chain(pages, [None]):
            if stored is not None:
                added += stored.result()
                on_stored(added)
                killpoints.reach("K1")
            if clock.stopping:
                raise StoppedError("discover prospects in", name, detail="this process was asked to stop")
            if page is not None:
                stored = storing.submit(store, page)
    return added


def conclude(run: Run, policy: Policy, ledger: Ledger) -> None:
    """The run's prospects are all there: group those of one person."""
    ledger.group_persons(run.run_id, by_name=policy.match_by is MatchBy.EMAIL_OR_NAME)
