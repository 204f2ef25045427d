"""Brings the selected prospects into the ledger: newest revisions stored, one work item each, persons grouped.

Safe to repeat: a second discovery of the same run adds only what is new. Nothing is decided about a prospect here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from dynamics import killpoints
from dynamics.core.capture import Selection
from dynamics.core.ledger import Run
from dynamics.core.matching import with_match_keys
from dynamics.core.policy import MatchBy, Policy
from dynamics.errors import StoppedError
from dynamics.sync.ports import Clock, Ledger, Source

log = logging.getLogger("dynamics.sync")


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
    added = 0
    with ThreadPoolExecutor(1, thread_name_prefix="storing") as storing:  # one page is stored while the next is read
        stored: Future[int] | None = None
        for page in chain(source.pages(selection), [()]):
            keyed = with_match_keys(page) if page else []
            if stored is not None:
                added += stored.result()
                on_stored(added)
                killpoints.reach("K1")
            if clock.stopping:
                raise StoppedError("discover prospects in", source.name, detail="this process was asked to stop")
            stored = storing.submit(ledger.store_prospects, run.run_id, source.name, keyed)
    ledger.group_persons(run.run_id, by_name=policy.match_by is MatchBy.EMAIL_OR_NAME)
    log.info("discovered %d prospects in %s", added, source.name)
    return added
