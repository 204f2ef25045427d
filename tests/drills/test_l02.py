"""L01 and L02 at a size that fits into the test run: first load, nothing changed, some changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.postgres import PostgresServer
from sandbox.process import SandboxProcess
from tests.drills import l02_unchanged
from tests.drills.world import World, world


@pytest.fixture
def place(postgres: PostgresServer, sandbox_process: SandboxProcess) -> Iterator[World]:
    with world((postgres, sandbox_process)) as made:
        yield made


def test_l02_again_and_some_changed(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL_LATENCY", "0.1")
    assert l02_unchanged.drill(place, 1, count=1_000, changed=40, workers=1).wrong == []
