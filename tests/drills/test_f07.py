"""F07 small: two waves of 429 with short pauses."""

from __future__ import annotations

from tests.drills import f07_storm
from tests.drills.world import World


def test_f07_nobody_asks_within_a_pause(place: World) -> None:
    assert f07_storm.waves(place, 1, count=2_000, workers=2, pause_s=2, times=2).wrong == []
