"""Clocks of the product's processes that are wrong, by libfaketime where it is installed (Debian: `faketime`)."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


# libfaketime 0.9.10 refuses each sleep of Python's by the monotonic clock when that one is left alone (EINVAL), and
# when it is not, waiting for an event never ends. So it is left alone, and a sleep waits in another way.
_SLEEP = """\
import select
import time

time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


def skewed(offset_s: int) -> Mapping[str, str] | None:
    """Environment of a process whose clock is off by so many seconds; None where that cannot be had.

    Only the time of day is off: waiting goes by the monotonic clock, which runs as ever.
    """
    library = next((path for path in _LIBRARIES if Path(path).exists()), None)
    if library is None:
        return None
    paths = [str(_sleeping()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"{offset_s:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }


@cache
def _sleeping() -> Path:
    """A folder with what Python runs first of all."""
    folder = Path(tempfile.mkdtemp(prefix="skewed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "sitecustomize.py").write_text(_SLEEP)
    return folder


def measured_skew_s(offset_s: int) -> float:
    """How far the clock of a process in such an environment is off."""
    command = [sys.executable, "-c", "import time; time.sleep(0.001); print(time.time())"]
    told = subprocess.run(
        command, env=os.environ | dict(skewed(offset_s) or {}), capture_output=True, text=True, check=True
    )
    return float(told.stdout) - time.time()
