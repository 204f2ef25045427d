"""Runs a command for `measured` and writes what it cost: `launch.py REPORT COMMAND...`.

A process begins with the peak memory of the one that started it, so that this small one stands in between. It imports
little for that reason.
"""

from __future__ import annotations

import json
import os
import sys
import time


def launch(report: str, command: list[str]) -> int:
    """Run the command, write what it and its children cost, and give its exit code."""
    started = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)  # with what the process has waited for itself
    cost = {
        "whole_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    with open(report, "w", encoding="utf-8") as file:
        json.dump(cost, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1], sys.argv[2:]))
