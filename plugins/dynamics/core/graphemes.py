"""Decides where a text may be cut so that nobody sees half a character.

A reader's character can be many code points: a letter with accents, a flag, a family of emoji held by joiners, a
Hangul syllable, an Indic conjunct. The rules follow the extended grapheme clusters of Unicode Annex 29; where the
standard library lacks a property, the simpler rule keeps more together, never less.
"""

from __future__ import annotations

import unicodedata

ZERO_WIDTH_JOINER = "\u200d"
VIRAMA_CLASS = 9  # canonical combining class of the signs that join two Indic consonants
_MARKS = frozenset({"Mn", "Me", "Mc"})
# What Annex 29 counts as extending although its general category is none of the marks.
_EXTENDING = frozenset("\u200c\u200d\u0e33\u0eb3\uff9e\uff9f")


def is_boundary(text: str, index: int) -> bool:
    """Whether a cut between `text[index - 1]` and `text[index]` leaves both sides whole."""
    if index <= 0 or index >= len(text):
        return True
    before, after = text[index - 1], text[index]
    if before.isascii() and after.isascii():
        return not (before == "\r" and after == "\n")
    if _extends(after) or before == ZERO_WIDTH_JOINER or _is_prepended(before):
        return False
    if _is_flag_letter(before) and _is_flag_letter(after):
        return _flag_letters_before(text, index) % 2 == 0
    if unicodedata.combining(before) == VIRAMA_CLASS and unicodedata.category(after) == "Lo":
        return False
    return not _hangul_joins(before, after)


def floor_boundary(text: str, index: int) -> int:
    """The last boundary at or before `index`."""
    while not is_boundary(text, index):
        index -= 1
    return index


def _extends(char: str) -> bool:
    """Marks, variation selectors, joiners, skin tones and the letters of tag sequences belong to what precedes them."""
    return (
        unicodedata.category(char) in _MARKS
        or char in _EXTENDING
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _is_prepended(char: str) -> bool:
    """Arabic and Kaithi number signs stand for what follows them."""
    return "\u0600" <= char <= "\u0605" or char in "\u06dd\u070f\u08e2\U000110bd\U000110cd"


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _flag_letters_before(text: str, index: int) -> int:
    start = index
    while start > 0 and _is_flag_letter(text[start - 1]):
        start -= 1
    return index - start


def _hangul_joins(before: str, after: str) -> bool:
    first, second = _hangul_kind(before), _hangul_kind(after)
    return (
        (first == "L" and second in ("L", "V", "LV", "LVT"))
        or (first in ("LV", "V") and second in ("V", "T"))
        or (first in ("LVT", "T") and second == "T")
    )


def _hangul_kind(char: str) -> str:
    """Leading consonant, vowel, trailing consonant, or a syllable with or without the last; "" for other letters."""
    if "\u1100" <= char <= "\u115f" or "\ua960" <= char <= "\ua97c":
        return "L"
    if "\u1160" <= char <= "\u11a7" or "\ud7b0" <= char <= "\ud7c6":
        return "V"
    if "\u11a8" <= char <= "\u11ff" or "\ud7cb" <= char <= "\ud7fb":
        return "T"
    if "\uac00" <= char <= "\ud7a3":
        return "LV" if (ord(char) - 0xAC00) % 28 == 0 else "LVT"
    return ""
