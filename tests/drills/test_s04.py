"""S04 in the suite: one order of the cases is enough, and `make drills` has the time that redirects take."""

from __future__ import annotations

import pytest

from tests.drills import s04_addresses
from tests.drills.world import World


@pytest.mark.parametrize("variant", ["environment", "authority", "Captello"])
def test_s04_no_secret_goes_astray(variant: str, place: World) -> None:
    assert s04_addresses.DRILL.variants[variant](place, 1).wrong == []
