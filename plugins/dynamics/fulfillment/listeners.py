"""Which actions answer webhooks, as their files say at the moment, and whether files have changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dynamics.config import list_actions, read_action
from dynamics.core.fulfillment import Listener

Fingerprint = tuple[tuple[str, int, int], ...]


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Name, time of change and size of files; of folders, all that is below them. What is not there is left out."""
    found = []
    for path in paths:
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            try:
                state = each.stat()
            except FileNotFoundError:  # replaced just now; the next look will see it
                continue
            found.append((str(each), state.st_mtime_ns, state.st_size))
    return tuple(found)


def read_listeners(include: Path) -> dict[str, Listener]:
    """The actions that answer webhooks, and those whose file cannot be read: they may."""
    listeners = {}
    for name in list_actions(include):
        action = read_action(include, name, {}).action
        if action is None:
            listeners[name] = Listener(name, broken=True)
        elif (answers := action.triggers.fulfillment) is not None:
            listeners[name] = Listener(name, frozenset(answers.events), frozenset(answers.forms))
    return listeners
