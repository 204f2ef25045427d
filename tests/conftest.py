"""What every test stands on: Airflow's environment before Airflow is imported, a real PostgreSQL and the sandbox."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="airflow-"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "DYNAMICS_SYNC_INCLUDE": str(ROOT / "include"),
}
os.environ.pop("DYNAMICS_SYNC_KILL", None)
os.environ.pop("COLUMNS", None)  # of whoever runs the tests: what is printed has the width that a test asks for

settings.register_profile("tests", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("tests")

pytest_plugins = ["tests.fixtures.sandbox", "tests.fixtures.postgres"]
