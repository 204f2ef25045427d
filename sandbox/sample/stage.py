"""Where cases are played: the cast, the booth, the CRM, and what has come out of them so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.sample.booth import Booth, Slot
from sandbox.sample.crm import Crm
from sandbox.sample.model import Expected
from sandbox.sample.people import Cast

Json = dict[str, Any]


@dataclass
class Stage:
    """Everything a case needs, and where it leaves prospects and their known results."""

    rng: Random
    cast: Cast
    booth: Booth
    crm: Crm
    prospects: list[Json] = field(default_factory=list)
    expected: dict[str, Expected] = field(default_factory=dict)

    def add(self, prospect: Json, case: str, outcome: str, **facts: Any) -> str:
        """Keep a prospect with its known result; returns its id."""
        key = str(prospect["id"])
        self.prospects.append(prospect)
        self.expected[key] = Expected(key, case, outcome, **facts)
        return key


@dataclass(frozen=True)
class Case:
    """A planted case: `play` is given `size` slots, in the order of the listing, anywhere in it.

    Attributes:
        per_2000: how often it is played in a sample of 2,000 prospects.
    """

    name: str
    per_2000: int
    size: int
    play: Callable[[Stage, Sequence[Slot]], None]
