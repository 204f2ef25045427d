"""`make bench`: every benchmark, one after the other, the race last: `python -m tests.bench [sizes of the race]`."""

from __future__ import annotations

import sys
from importlib import import_module

from tests.bench import race

for name in ("sandbox", "server", "store", "mapping", "load"):
    print(f"-- {name}")
    import_module(f"tests.bench.{name}").main()
print("-- race")
race.main([int(size) for size in sys.argv[1:]] or race.SIZES)
