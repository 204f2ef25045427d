"""`make drills`: every drill with its seeds, and a table of what they gave; `make drills ONLY=F02` runs one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from tests.drills import f02_crash_sweep, f05_poison
from tests.drills.world import World, shared_servers, world

RUNS = 5
Drill = Callable[[World, int], list[str]]


def _plan() -> list[tuple[str, str, int, Drill]]:
    """Id, variant, times, drill."""
    sweep = [("F02", point, RUNS, partial(_sweep, point)) for point in f02_crash_sweep.KILL_POINTS]
    return [*sweep, ("F05", "1,000 rows, 7 bad", RUNS, lambda place, nth: f05_poison.drill(place))]


def _sweep(point: str, place: World, run: int) -> list[str]:
    """Kill at the first, second or third chunk in turn; the end of the run is reached but once."""
    return f02_crash_sweep.drill(place, point, nth=1 if point == "K7" else 1 + (run - 1) % 3)


def main() -> int:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    failed = 0
    print(f"{'drill':<6}{'variant':<20}{'runs':>5}{'passed':>8}{'seconds':>9}")
    with shared_servers() as servers:
        for name, variant, times, drill in _plan():
            if only not in ("", name):
                continue
            started, passed = time.monotonic(), 0
            for nth in range(1, times + 1):
                with world(servers) as place:
                    wrong = drill(place, nth)
                passed += not wrong
                for text in wrong[:5]:
                    print(f"       run {nth}: {text}", file=sys.stderr)
            failed += times - passed
            print(f"{name:<6}{variant:<20}{times:>5}{passed:>8}{time.monotonic() - started:>9.0f}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
