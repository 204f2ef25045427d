"""Snapshots of an organisation's schema: one an action and organisation, the last one counts."""

from __future__ import annotations

from uuid import UUID

from dynamics.store.ledger import PostgresLedger

HERE, THERE = UUID(int=1), UUID(int=2)


def test_the_last_snapshot_of_an_action_in_an_organisation_is_given_back(ledger: PostgresLedger) -> None:
    assert ledger.snapshot("booth-leads", HERE) is None
    ledger.keep_snapshot("booth-leads", HERE, {"lead": {"subject": {"type": "String", "max_length": 300}}})
    ledger.keep_snapshot("booth-leads", THERE, {"lead": {}})
    changed = {"lead": {"subject": {"type": "String", "max_length": 100}}, "contact": {}}
    ledger.keep_snapshot("booth-leads", HERE, changed)
    ledger.keep_snapshot("booth-leads", HERE, changed)
    assert ledger.snapshot("booth-leads", HERE) == changed
    assert ledger.snapshot("booth-leads", THERE) == {"lead": {}}
    assert ledger.snapshot("other", HERE) is None
