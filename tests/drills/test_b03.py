"""B03 at a size that fits into the test run."""

from __future__ import annotations

from tests.drills import b03_blank_never_erases as b03
from tests.drills.world import World


def test_no_blank_erases_what_stands_in_the_crm(place: World) -> None:
    assert b03.drill(place, 1, linked=60, planted=20).wrong == []
