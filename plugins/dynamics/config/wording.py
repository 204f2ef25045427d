"""How a fault says which word was meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def nearest(word: str, known: Collection[str]) -> str:
    """A remedy: the nearest right word, and all of them."""
    if not known:
        return "There is none yet."
    near = difflib.get_close_matches(word, known, n=1)
    listed = f"Known: {', '.join(known)}."
    return f"Did you mean '{near[0]}'? {listed}" if near else listed
