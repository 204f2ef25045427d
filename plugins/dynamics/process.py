"""How a process works that is there to sync: how long it may be silent, and how it keeps its memory."""

from __future__ import annotations

import gc
import os

from dynamics.errors import ConfigurationError, Fault
from dynamics.sync.engine import LEASE_S

GARBAGE_AFTER = 50_000  # new objects; a chunk of prospects is some 20,000
STALE_AFTER_LEASES = 120  # a run that nobody has touched for so many leases has no worker left


def spare_the_collector() -> None:
    """Called by a process that is there to sync. What is loaded by now stays, and prospects are no cycles: to look
    through them for some again and again took an eighth of a run's CPU time."""
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)


def lease_seconds() -> float:
    """How long a worker may be silent before another takes its work over: DYNAMICS_SYNC_LEASE_S, else 60."""
    text = os.environ.get("DYNAMICS_SYNC_LEASE_S") or str(LEASE_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= 3600.0:
        fault = Fault("environment", None, "DYNAMICS_SYNC_LEASE_S is no time.", "Give seconds, from 1 to 3600.")
        raise ConfigurationError([fault])
    return seconds
