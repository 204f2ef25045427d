"""`make bench`: every benchmark, one after the other."""

from __future__ import annotations

from importlib import import_module

NAMES = ("sandbox", "server", "store", "load")

for name in NAMES:
    print(f"-- {name}")
    import_module(f"tests.bench.{name}").main()
