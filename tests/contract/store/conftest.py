"""The store on a real database: a fresh one for each test."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import Run
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import new_run
from tests.fixtures.postgres import audit_url, postgres, store

__all__ = ["audit_url", "ledger", "postgres", "run", "store"]


@pytest.fixture
def ledger(store: sa.Engine) -> PostgresLedger:
    return PostgresLedger(store)


@pytest.fixture
def run(ledger: PostgresLedger) -> Run:
    """A run of account `dynamics_default`, open and empty."""
    return ledger.open_run(new_run())
