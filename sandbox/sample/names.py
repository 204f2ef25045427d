"""Given and family names by country, read from `names.csv`; no rule stands here.

Names outside the Latin script carry a Latin form for e-mail addresses there, as `native=latin`.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Name(NamedTuple):
    """One given or family name; `latin` is lower-case ASCII letters, or None where it follows from `text`."""

    text: str
    latin: str | None


def given_names(country: str) -> tuple[Name, ...]:
    """Given names of a country (ISO alpha-2)."""
    return _names()[country][0]


def family_names(country: str) -> tuple[Name, ...]:
    """Family names of a country (ISO alpha-2)."""
    return _names()[country][1]


@cache
def _names() -> dict[str, tuple[tuple[Name, ...], tuple[Name, ...]]]:
    with Path(__file__).with_name("names.csv").open(encoding="utf-8", newline="") as file:
        return {row["country"]: (_parse(row["given"]), _parse(row["family"])) for row in csv.DictReader(file)}


def _parse(names: str) -> tuple[Name, ...]:
    pairs = (entry.partition("=") for entry in names.split())
    return tuple(Name(text, latin or None) for text, _, latin in pairs)
