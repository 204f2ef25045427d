"""Runs a command and says what it cost: seconds, CPU seconds and peak memory, its children's included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launch.py")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a command cost. `output` is what it printed."""

    whole_s: float
    cpu_s: float
    peak_mib: float
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end. Raises RuntimeError: it failed."""
    with tempfile.TemporaryDirectory(prefix="measured-") as folder:
        report = Path(folder) / "cost.json"
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), *command]
        done = subprocess.run(launcher, env=dict(environment), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-800:]}")
        return Cost(**json.loads(report.read_text()), output=done.stdout)


def family_cpu_s(process: int) -> float:
    """CPU seconds of a process and its children so far, of those it has waited for too."""
    return sum(_cpu_s(member) for member in _family(process))


def _family(process: int) -> Iterator[Path]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (folder.name == str(process) or _field(folder, 1) == process):
            yield folder


def _cpu_s(folder: Path) -> float:
    return sum(_field(folder, number) for number in (11, 12, 13, 14)) / _TICKS_A_SECOND


def _field(folder: Path, number: int) -> int:
    """A field behind the name in `stat`: parent 1, CPU time of its own 11 and 12, of ended children 13 and 14."""
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[number])
    except OSError:  # it has ended meanwhile
        return 0
