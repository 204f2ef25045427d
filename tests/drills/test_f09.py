"""F09 small: tokens of four seconds."""

from __future__ import annotations

from tests.drills import f09_tokens
from tests.drills.test_drills import place  # noqa: F401 - a fixture
from tests.drills.world import World


def test_f09_a_run_outlives_its_tokens(place: World) -> None:  # noqa: F811
    assert f09_tokens.drill(place, 1, count=1_500, workers=2, token_lifetime_s=4, row_s=0.02).wrong == []
