"""Decides when somebody is told of a run, and in which words: when an action begins to fail, and when it works again.

What counts is how the last run of an action by a trigger ended: of three that fail alike the first one is told of. A
notice holds ids, counts, columns and codes; never a person, and no more of a fault than its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LINES = 12  # of faults, problems or causes


class Health(StrEnum):
    """How the last run of an action by a trigger has ended."""

    GOOD = "good"
    FAILED = "failed"


@dataclass(frozen=True)
class Standing:
    """What is known of an action under a trigger, and which notifiers have still to hear of it."""

    health: Health
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Notice:
    """A message for people. `url` leads to where more is told."""

    subject: str
    text: str
    url: str


def waiting_after(before: Standing | None, now: Health, notifiers: Sequence[str]) -> tuple[str, ...]:
    """Who is to be told: everybody of a change; of what stays as it was, those whom a notice has not reached.

    An action that nothing is known of is taken to be good.
    """
    known = before or Standing(Health.GOOD)
    if known.health is not now:
        return tuple(notifiers)
    return tuple(name for name in known.waiting if name in notifiers)


def ended(
    health: Health,
    about: tuple[str, str],
    run: str,
    balance: str,
    problems: Sequence[str],
    causes: Sequence[str],
    url: str,
) -> Notice:
    """The notice of a run that came to its end.

    Args:
        about: action and trigger.
        balance: as `Verdict.balance` tells it.
        problems: why it is red. causes: why prospects were not written, the commonest first.
    """
    action, trigger = about
    if health is Health.GOOD:
        return Notice(f"Dynamics sync works again: {action} ({trigger})", f"Run {run}: {balance}.", url)
    parts = [f"Run {run}: {balance}.", *_list("Why it is red:", problems), *_list("Most common causes:", causes)]
    return Notice(f"Dynamics sync failed: {action} ({trigger})", "\n".join(parts), url)


def not_begun(about: tuple[str, str], faults: Sequence[str], url: str) -> Notice:
    """The notice of a run that failed before it began: nothing was claimed. `faults`: sentences, one a line."""
    action, trigger = about
    text = "\n".join(["The run did not begin; every prospect stays as it is.", *_list("What must be done:", faults)])
    return Notice(f"Dynamics sync cannot start: {action} ({trigger})", text, url)


def _list(heading: str, lines: Sequence[str]) -> list[str]:
    shown = [f"- {line.strip()}" for line in lines[:LINES]]
    more = [f"- and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return ["", heading, *shown, *more] if lines else []
