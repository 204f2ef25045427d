"""S01 at a size that fits into the test run; the DAG's part of it stands in tests/e2e/test_bulk_dag.py."""

from __future__ import annotations

from tests.drills import s01_canary_scan as s01
from tests.drills.world import World

# Each run takes seconds, and one that loses its account many: the others are left to the drill.
DISTURBANCES = ("lost answers", "poison", "unusable connection", "unusable database")


def test_no_person_and_no_secret_is_said_or_stored_elsewhere(place: World) -> None:
    assert s01.drill(place, 1, count=6, airflow=False, names=DISTURBANCES).wrong == []
