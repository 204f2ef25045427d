"""S02 small: without Airflow's sign-in all is closed. The matrix of roles needs a server: `make drills ONLY=S02`."""

from __future__ import annotations

from tests.drills import s02_doors
from tests.drills.world import World


def test_s02_all_is_closed_where_nobody_can_be_told_apart(place: World) -> None:
    assert s02_doors.closed_without_sign_in(place, 1).wrong == []
