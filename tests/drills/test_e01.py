"""E01 at a size that fits into the test run."""

from __future__ import annotations

import pytest

from tests.drills import e01_extras
from tests.drills.world import World


@pytest.mark.parametrize("kill", ["K4:4", "K6:1"])
def test_extras_are_made_once(place: World, kill: str) -> None:
    assert e01_extras.drill(place, 1, kill, count=60, companies=20, workers=2).wrong == []
