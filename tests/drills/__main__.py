"""`make drills`: every drill with its seeds, and a table of what they gave; `make drills ONLY=F02 SEEDS=3` narrows."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.drills.drill import Drill, Verdict, all_drills
from tests.drills.world import shared_servers, world

LINE = "{:<6}{:<30}{:>6}{:>8}{:>9}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drills asked for. The exit code says whether all passed."""
    parser = argparse.ArgumentParser(prog="make drills")
    parser.add_argument("only", nargs="*", help="numbers, such as F02; all without")
    parser.add_argument("--seeds", type=int, help="runs of each variant, instead of the severity's number")
    asked = parser.parse_args(arguments)
    drills = [drill for drill in all_drills() if not asked.only or drill.number in asked.only]
    print(LINE.format("drill", "variant", "seeds", "passed", "seconds", "figures"))
    failed = 0
    for drill in drills:
        for variant in drill.variants:
            failed += _run(drill, variant, asked.seeds or drill.runs)
    return 1 if failed or not drills else 0


def _run(drill: Drill, variant: str, seeds: int) -> int:
    """All seeds of one variant on servers of its own; returns how many failed."""
    started, verdicts = time.monotonic(), list[Verdict]()
    with shared_servers() as servers:
        for seed in range(1, seeds + 1):
            with world(servers) as place:
                verdict = drill.variants[variant](place, seed)
            verdicts.append(verdict)
            for text in verdict.wrong[:5]:
                print(f"       {drill.number} {variant}, seed {seed}: {text}", file=sys.stderr, flush=True)
    passed = sum(not verdict.wrong for verdict in verdicts)
    took_s = f"{time.monotonic() - started:.0f}"
    print(LINE.format(drill.number, variant, seeds, passed, took_s, _summed_up(verdicts)), flush=True)
    return seeds - passed


def _summed_up(verdicts: Sequence[Verdict]) -> str:
    """The worst (largest) of each figure; words as the last seed gave them."""
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.figures)
    parts = []
    for name in names:
        values = [verdict.figures[name] for verdict in verdicts if name in verdict.figures]
        numbers = [value for value in values if isinstance(value, (int, float))]
        parts.append(f"{name} {max(numbers):,.6g}" if len(numbers) == len(values) else f"{name} {values[-1]}")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
