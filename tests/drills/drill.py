"""What a drill is: an id and severity, variants that each return what is wrong, and the figures they measured.

A module of this package that defines `DRILL` is found by `make drills`; there is no list to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tests.drills.world import World

SEEDS = {"S1": 20, "S2": 5}


@dataclass(frozen=True)
class Verdict:
    """`wrong`: what breaks the pass criterion, in words with no person in them; nothing when it holds."""

    wrong: list[str]
    figures: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drill:
    """One drill.

    Attributes:
        number: as in the catalogue of drills, "F02".
        severity: "S1" is run with 20 seeds, "S2" with 5.
        variants: name -> function of a fresh world and a seed. What a seed changes (order, victims, moments) is the
            drill's; the same seed disturbs alike.
        seeds: overrides the severity's number, for drills that take minutes each.
    """

    number: str
    severity: str
    variants: Mapping[str, Callable[[World, int], Verdict]]
    seeds: int | None = None

    @property
    def runs(self) -> int:
        return SEEDS[self.severity] if self.seeds is None else self.seeds


def all_drills() -> list[Drill]:
    """Every drill of this package, by number."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("_", "test_")))
    modules = [import_module(f"tests.drills.{name}") for name in names]
    return sorted((module.DRILL for module in modules if hasattr(module, "DRILL")), key=lambda drill: drill.number)
