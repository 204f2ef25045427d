"""D02 at a size that fits into the test run."""

from __future__ import annotations

import pytest

from tests.drills import d02_restored
from tests.drills.world import World


@pytest.mark.parametrize("check", ["leads", "none"])
def test_d02_a_restored_ledger_makes_nobody_twice(check: str, place: World) -> None:
    assert d02_restored.drill(place, 1, 60, check=check).wrong == []
