"""The discovery of a retry: what a run has left over becomes the work of a new one. Decides nothing about a prospect.

Nobody looks whether a later run has settled a prospect since: it is taken along and ends `unchanged`, since its link
says so without a request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dynamics.core.ledger import Run
from dynamics.core.policy import MatchBy, Policy
from dynamics.errors import StoppedError
from dynamics.run_request import Retried
from dynamics.store.ledger import PostgresLedger
from dynamics.sync.ports import Clock

log = logging.getLogger("dynamics.sync")

PAGE = 20_000


def take_up(
    run: Run,
    policy: Policy,
    retried: Retried,
    ledger: PostgresLedger,
    clock: Clock,
    on_stored: Callable[[int], None] = lambda _: None,
) -> int:
    """Bring what was left over into the run. Returns how many work items it has gained; safe to repeat.

    Raises:
        StoppedError: this process is to stop. What was added stays, and the run counts as not discovered.
    """
    total, after = 0, 0
    while True:
        added, last = ledger.add_left_over(run.run_id, retried.run_id, retried.outcomes, after, PAGE)
        if last is None:
            break
        total, after = total + added, last
        on_stored(total)
        if clock.stopping:
            raise StoppedError("retry run", str(retried.run_id), detail="this process was asked to stop")
    ledger.group_persons(run.run_id, by_name=policy.match_by is MatchBy.EMAIL_OR_NAME)
    words = " or ".join(retried.outcomes)
    if total:
        log.info("taken up %d prospects that are %s or still open in run %s", total, words, retried.run_id)
    else:
        log.info("nothing new to take up in run %s: no prospect there is %s or still open", retried.run_id, words)
    return total
