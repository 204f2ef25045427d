"""Says whether a run is in balance and may be green, and sums it up in a few lines with no person in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dynamics.core.ledger import Outcome, RunCounts


@dataclass(frozen=True)
class Verdict:
    """`ok` is what makes a run green; `problems` say why it is not."""

    counts: RunCounts
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def state(self) -> str:
        return "succeeded" if self.ok else "failed"

    def balance(self) -> str:
        """One line: selected = created + updated + ..."""
        c = self.counts
        parts = [
            f"{c.created} created",
            f"{c.updated} updated",
            f"{c.unchanged} unchanged",
            f"{c.skipped} skipped",
            f"{c.rejected} rejected",
            f"{c.deferred} deferred",
        ]
        return f"{c.selected} selected = {' + '.join(parts)}" + (f"; {c.open} still open" if c.open else "")


def judge(counts: RunCounts, max_rejected_percent: float) -> Verdict:
    """A run is green when every selected prospect has its outcome and no more are rejected than the action allows."""
    problems = []
    if not counts.discovered:
        problems.append("discovery did not come to its end: run the task again")
    if counts.abandoned:
        problems.append(f"{counts.abandoned} prospects were given up when nobody worked on this run: start a new run")
    if counts.open:
        problems.append(f"{counts.open} prospects have no outcome yet; they stay pending: run the task again")
    elif not counts.balanced:
        problems.append("the outcomes do not add up to the prospects selected: the audit log was changed by hand")
    allowed = counts.selected * max_rejected_percent / 100
    if counts.rejected > allowed:
        limit = f"; the action allows {max_rejected_percent:g} %" if max_rejected_percent else ""
        problems.append(f"{counts.rejected} prospects were rejected{limit}: see the outcomes for columns and codes")
    return Verdict(counts, tuple(problems))


@dataclass
class Drained:
    """What one worker did: the outcomes it settled and the seconds it took."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def settled(self) -> int:
        return self.outcomes.total()

    def __str__(self) -> str:
        rate = self.settled / self.seconds if self.seconds else 0.0
        words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return f"{self.settled} settled ({words or 'none'}) in {self.seconds:.1f} s, {rate:.0f} a second"
