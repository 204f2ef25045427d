"""Places where a drill may kill or stop this process, to prove that nothing is written twice or lost.

`DYNAMICS_SYNC_KILL=K3` kills the process (SIGKILL, no clean-up) when it first reaches K3; `K3:5` the fifth time;
`K3:5:STOP` sends another signal instead, such as STOP or TERM. K4 is "the request is on the wire": the signal follows a
moment later, from another thread. Without the variable nothing happens.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading

POINTS = {
    "K1": "discovery written",
    "K2": "work claimed",
    "K3": "intent committed",
    "K4": "request on the wire",
    "K5": "answer received",
    "K6": "settle half-way",
    "K7": "settled, before the run ends",
}
WIRE_DELAY_S = 0.02
_reached = itertools.count(1)


def reach(point: str) -> None:
    """Tell that `point` was reached, and die or stop there if the environment says so."""
    wanted, nth, name = [*os.environ.get("DYNAMICS_SYNC_KILL", "").split(":"), "", ""][:3]
    if wanted != point or next(_reached) != int(nth or 1):
        return
    fatal = signal.Signals[f"SIG{name or 'KILL'}"]
    if point == "K4":
        threading.Timer(WIRE_DELAY_S, os.kill, (os.getpid(), fatal)).start()
    else:
        os.kill(os.getpid(), fatal)
