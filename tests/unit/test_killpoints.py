"""Kill points: which signal a process sends to itself, and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import time
from dynamics import killpoints
for _ in range(3):
    killpoints.reach("K2")
    print("past K2", flush=True)
killpoints.reach("K4")
time.sleep({rest_s})
print("past K4", flush=True)
"""


def end_of(asked: str, rest_s: float = 0.0) -> tuple[int, int, int]:
    """How the program came to its end or to a stop: what happened, by which signal, and how often it came past K2."""
    environment = os.environ | {"DYNAMICS_SYNC_KILL": asked}
    command = [sys.executable, "-c", PROGRAM.format(rest_s=rest_s)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        process.kill()  # one that was only stopped
        out, _ = process.communicate()
    assert found is not None
    return found.si_code, found.si_status, out.count("past K2")


@pytest.mark.parametrize(
    ("asked", "end"),
    [
        ("", (os.CLD_EXITED, 0, 3)),
        ("K7", (os.CLD_EXITED, 0, 3)),
        ("K2", (os.CLD_KILLED, signal.SIGKILL, 0)),
        ("K2:3", (os.CLD_KILLED, signal.SIGKILL, 2)),
        ("K2:2:TERM", (os.CLD_KILLED, signal.SIGTERM, 1)),
        ("K2:2:STOP", (os.CLD_STOPPED, signal.SIGSTOP, 1)),
    ],
)
def test_the_signal_comes_at_the_point(asked: str, end: tuple[int, int, int]) -> None:
    assert end_of(asked) == end


def test_on_the_wire_the_signal_follows_a_moment_later() -> None:
    assert end_of("K4", rest_s=30.0) == (os.CLD_KILLED, signal.SIGKILL, 3)
