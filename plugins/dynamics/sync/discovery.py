"""Brings the selected prospects into the ledger: newest revisions stored, one work item each, persons grouped.

Safe to repeat: a second discovery of the same run adds only what is new. Nothing is decided about a prospect here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pandas as pd

from dynamics import killpoints
from dynamics.core.capture import DiscoveredProspect, Selection, SourcedProspect
from dynamics.core.identity import person_key
from dynamics.core.ledger import Run
from dynamics.core.matching import MATCH_PATHS, match_keys
from dynamics.core.policy import MatchBy, Policy
from dynamics.core.prospect import prospect_frame, source_values
from dynamics.sync.ports import Ledger, Source

log = logging.getLogger("dynamics.sync")


def discover(
    run: Run,
    policy: Policy,
    source: Source,
    selection: Selection,
    ledger: Ledger,
    on_stored: Callable[[int], None] = lambda _: None,
) -> int:
    """Store what the source selects. Returns how many work items the run has gained."""
    added = 0
    for page in source.pages(selection):
        added += ledger.store_prospects(run.run_id, source.name, _with_keys(page))
        on_stored(added)
        killpoints.reach("K1")
    ledger.group_persons(run.run_id, by_name=policy.match_by is MatchBy.EMAIL_OR_NAME)
    log.info("discovered %d prospects in %s", added, source.name)
    return added


def _with_keys(page: Sequence[SourcedProspect]) -> list[DiscoveredProspect]:
    """Hash the match keys that the queue groups by; the keys themselves stay out of the queue."""
    frame = prospect_frame(pd.DataFrame({"payload": pd.Series([p.payload for p in page], dtype=object)}))
    keys = match_keys(source_values(frame, MATCH_PATHS))
    return [
        DiscoveredProspect(
            prospect,
            person_key("email", email) if email is not None else None,
            person_key("name", name) if name is not None else None,
        )
        for prospect, email, name in zip(page, keys["email_key"], keys["name_key"], strict=True)
    ]
