"""Ids and hashes are frozen: what stands in a ledger today must be found again in ten years."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.identity import column_hashes, content_hash, mint_extra_id, mint_record_id, person_key, value_hash
from tests.unit.core.builders import modest

GOLDEN = json.loads(Path(__file__).with_name("golden_ids.json").read_text(encoding="utf-8"))
ORGANIZATION = UUID("0a1b2c3d-0000-4000-8000-000000000001")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("case", GOLDEN["record_ids"], ids=lambda case: case["id"])
def test_record_ids_never_change(case: dict[str, Any]) -> None:
    organization, table, source, prospect_id, generation = case["of"]
    assert str(mint_record_id(UUID(organization), table, source, prospect_id, generation)) == case["id"]


@pytest.mark.parametrize("case", GOLDEN["extra_ids"], ids=lambda case: case["id"])
def test_ids_of_extras_never_change(case: dict[str, Any]) -> None:
    organization, table, *about = case["of"]
    assert str(mint_extra_id(UUID(organization), table, *about)) == case["id"]


@pytest.mark.parametrize("case", GOLDEN["value_hashes"], ids=lambda case: case["hash"])
def test_value_hashes_never_change(case: dict[str, Any]) -> None:
    assert value_hash(case["of"]) == case["hash"]


@pytest.mark.parametrize("case", GOLDEN["content_hashes"], ids=lambda case: case["hash"])
def test_content_hashes_never_change(case: dict[str, Any]) -> None:
    assert content_hash(case["of"]) == case["hash"]


@pytest.mark.parametrize("case", GOLDEN["person_keys"], ids=lambda case: case["hash"])
def test_person_keys_never_change(case: dict[str, str]) -> None:
    assert person_key(*case["of"]) == case["hash"]


def test_every_part_of_an_id_counts() -> None:
    other = UUID("0a1b2c3d-0000-4000-8000-000000000002")
    ids = {
        mint_record_id(ORGANIZATION, "lead", "captello", "pro_1"),
        mint_record_id(other, "lead", "captello", "pro_1"),
        mint_record_id(ORGANIZATION, "contact", "captello", "pro_1"),
        mint_record_id(ORGANIZATION, "lead", "file", "pro_1"),
        mint_record_id(ORGANIZATION, "lead", "captello", "pro_2"),
        mint_record_id(ORGANIZATION, "lead", "captello", "pro_1", 1),
        # Parts that run together when they are merely strung together.
        mint_record_id(ORGANIZATION, "lead", "captello,pro", "_1"),
        mint_record_id(ORGANIZATION, "lead", 'captello", "pro_1', ""),
    }
    assert len(ids) == 8
    assert {minted.version for minted in ids} == {5}


def test_numbers_hash_by_value() -> None:
    assert value_hash(1) == value_hash(1.0) == value_hash(Decimal("1.00"))
    assert len({value_hash(value) for value in (1, True, "1", "true", None, "", 0, False, [1], 1.5)}) == 10


def test_no_json_value_no_hash() -> None:
    with pytest.raises(TypeError, match="no JSON value: object"):
        value_hash(object())


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
@modest
def test_content_is_the_same_in_any_order(values: dict[str, object]) -> None:
    shuffled = dict(reversed(values.items()))
    assert content_hash(shuffled) == content_hash(values)
    assert content_hash(json.loads(json.dumps(values))) == content_hash(values)
    assert column_hashes(values) == {name: value_hash(value) for name, value in values.items()}


@given(st.text(), st.text())
@modest
def test_a_person_key_tells_nothing_and_keeps_kinds_apart(one: str, other: str) -> None:
    key = person_key("email", one)
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")
    assert (key == person_key("email", other)) == (one == other)
    assert key != person_key("name", one)
