"""docs/mapping.md names every step and every kind of path, and its example is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dynamics.core.mapping.examples import example_fault
from dynamics.core.mapping.rules import Blank, OnMissing, WriteMode
from dynamics.core.mapping.transforms import LOOKUP, STEP_NAMES
from dynamics.core.paths import FAMILIES, STANDARD

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))


@pytest.mark.parametrize("name", [*STEP_NAMES, LOOKUP, *WriteMode, *Blank, *OnMissing])
def test_every_word_of_a_mapping_is_explained(name: str) -> None:
    assert name in WORDS


def test_every_kind_of_path_is_named() -> None:
    named = {path.partition(".")[0] for path in (*STANDARD, *FAMILIES)}
    assert sorted(named - WORDS) == []


def test_the_example_is_one() -> None:
    [text] = [text for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) if '"about"' in text]
    assert example_fault(json.loads(text)) is None
