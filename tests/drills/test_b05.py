"""B05 at a size that fits into the test run."""

from __future__ import annotations

import pytest

from tests.drills import b05_quotes_urls_ids as b05
from tests.drills.world import World


@pytest.mark.parametrize("id_headers", ["missing", "upper"])
def test_each_look_up_finds_its_own_record_alone(place: World, id_headers: str) -> None:
    assert b05.drill(place, 1, id_headers, rounds=1).wrong == []
