"""An organisation of its own for each test."""

from __future__ import annotations

import pytest

from tests.unit.sandbox.dataverse.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
