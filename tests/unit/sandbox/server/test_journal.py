"""The journal is bounded, ordered by arrival, and numbers its entries once and for all."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.server.journal import Journal

AT = datetime(2026, 11, 23, tzinfo=UTC)


def test_entries_come_in_order_of_arrival_however_they_end() -> None:
    journal = Journal()
    slow, quick = journal.open(AT, "POST", "/slow"), journal.open(AT, "GET", "/quick")
    journal.close(quick)
    journal.close(slow)
    assert [entry.path for entry in journal.entries()] == ["/slow", "/quick"]
    assert [entry.path for entry in journal.entries(limit=1)] == ["/slow"]
    assert [entry.path for entry in journal.entries(after=slow.seq)] == ["/quick"]
    assert [entry.path for entry in journal.entries(method="POST")] == ["/slow"]


def test_only_the_newest_are_kept() -> None:
    journal = Journal(capacity=2)
    for number in range(4):
        journal.close(journal.open(AT, "GET", f"/{number}"))
    assert [entry.path for entry in journal.entries()] == ["/2", "/3"]
    assert journal.stats()["requests"] == 4


def test_numbers_are_never_used_twice() -> None:
    journal = Journal()
    before = journal.open(AT, "GET", "/")
    journal.clear()
    assert journal.open(AT, "GET", "/").seq > before.seq


def test_events_are_counted_by_record() -> None:
    journal = Journal()
    journal.record([("create", "lead", "a"), ("update", "lead", "a"), ("create", "contact", "b")])
    journal.record([("update", "lead", "a"), ("delete", "contact", "b")])
    assert journal.events("lead") == {"a": {"create": 1, "update": 2, "delete": 0}}
    assert journal.events()["b"] == {"create": 1, "update": 0, "delete": 1}


def test_records_are_counted_by_how_often_something_happened_to_them() -> None:
    journal = Journal()
    journal.record([("create", "lead", "a"), ("create", "lead", "b"), ("create", "contact", "c")])
    journal.record([("update", "lead", "a"), ("update", "lead", "a")])
    journal.record([("update", "lead", "a"), ("update", "lead", "b")])
    assert journal.event_counts("lead") == {"create": {1: 2}, "update": {3: 1, 1: 1}}
    assert journal.event_counts("account") == {"create": {}, "update": {}}
