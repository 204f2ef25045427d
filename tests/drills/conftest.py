"""A place to drill in, for the drills that run small in the test suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.postgres import PostgresServer
from sandbox.process import SandboxProcess
from tests.drills.world import World, world


@pytest.fixture
def place(postgres: PostgresServer, sandbox_process: SandboxProcess) -> Iterator[World]:
    with world((postgres, sandbox_process)) as made:
        yield made
