"""Clocks of the product's processes that are wrong, by libfaketime where it is installed (Debian: `faketime`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


def skewed(offset_s: int) -> Mapping[str, str] | None:
    """Environment of a process whose clock is off by so many seconds; None where that cannot be had.

    Only the time of day is off: waiting goes by the monotonic clock, which runs as ever.
    """
    library = next((path for path in _LIBRARIES if Path(path).exists()), None)
    if library is None:
        return None
    return {"LD_PRELOAD": library, "FAKETIME": f"{offset_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def measured_skew_s(offset_s: int) -> float:
    """How far the clock of a process in such an environment is off."""
    command = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(
        command, env=os.environ | dict(skewed(offset_s) or {}), capture_output=True, text=True, check=True
    )
    return float(told.stdout) - time.time()
