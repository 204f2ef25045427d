"""F09 small: tokens of two seconds."""

from __future__ import annotations

from tests.drills import f09_tokens
from tests.drills.world import World


def test_f09_a_run_outlives_its_tokens(place: World) -> None:
    verdict = f09_tokens.drill(place, 1, count=1_500, workers=2, token_lifetime_s=2, run_s=5.0, slowest_row_s=0.003)
    assert verdict.wrong == []
