"""How the organisation's database compares text: case never counts, trailing blanks never count, accents may not.

Source: Microsoft Learn, "Filter rows using OData" (string comparison ignores case); the rest is SQL Server's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

Fold = Callable[[str], str]


def fold_case(text: str) -> str:
    """The form in which two equal texts are the same when accents count."""
    return text.rstrip(" ").casefold()


def fold_accents(text: str) -> str:
    """The form in which two equal texts are the same when accents do not count."""
    if text.isascii():
        return text.rstrip(" ").casefold()
    decomposed = unicodedata.normalize("NFD", text.rstrip(" ").casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@lru_cache(maxsize=1024)
def like(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern (`%`, `_`, `[abc]`, `[^abc]`) over already folded text, as an anchored expression."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        end = pattern.find("]", position + 2) if character == "[" else -1
        if end > 0:
            inside = pattern[position + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{inside}]")
            position = end
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
        position += 1
    return re.compile("".join(parts), re.DOTALL)
