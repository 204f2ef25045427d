"""Each broken configuration gives exactly its messages, all of them in one round, on a live organisation."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from dynamics.errors import ConfigurationError
from sandbox.process import SandboxProcess
from tests.contract.preflighting import ACTION_NAME, service, write_include
from tests.drills.broken_configurations import CONFIGURATIONS
from tests.fixtures.postgres import audit_url, postgres, store

__all__ = ["audit_url", "postgres", "store"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_broken_configuration_gives_exactly_its_messages(
    sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path, name: str
) -> None:
    broken = CONFIGURATIONS[name]
    with (
        service(sandbox, store, write_include(tmp_path, broken.files)) as here,
        pytest.raises(ConfigurationError) as told,
    ):
        here.check(ACTION_NAME, {}).passed()
    assert tuple(str(fault) for fault in told.value.faults) == broken.told


def test_more_than_twenty_of_them_are_mappings() -> None:
    mappings = [b for b in CONFIGURATIONS.values() if all(path.startswith("mappings/") for path in b.files)]
    assert len(mappings) >= 20
