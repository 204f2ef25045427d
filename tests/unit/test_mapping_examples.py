"""Every example of every mapping set in include/mappings: what it expects comes out of the mapping."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamics.rehearsal import Example, Rehearsal

INCLUDE = Path(__file__).parents[2] / "include"
SETS = sorted(path.name for path in (INCLUDE / "mappings").iterdir() if path.is_dir())
EXAMPLES = [(name, example) for name in SETS for example in Rehearsal(INCLUDE, name).examples()]


@pytest.mark.parametrize("name", SETS)
def test_the_mapping_fits_the_columns_known_of_its_organisation(name: str) -> None:
    rehearsal = Rehearsal(INCLUDE, name)
    for table in rehearsal.mappings.tables:
        rehearsal.check(table)


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example.file for _, example in EXAMPLES])
def test_an_example_comes_out_as_expected(name: str, example: Example) -> None:
    told = list(Rehearsal(INCLUDE, name).differences(example))
    assert not told, "\n".join([f"{example.file} ({example.about})", *told])
