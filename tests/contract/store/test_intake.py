"""Discovery: newest revisions kept, work items added once, persons grouped, nasty text stored."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics.core.ledger import Run
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.samples import SEEN_AT, claimed, keys_of, new_run, one, prospect, rows

LATER = SEEN_AT + timedelta(minutes=1)


def test_a_page_twice_adds_its_items_once(ledger: PostgresLedger, run: Run) -> None:
    page = [prospect("a"), prospect("b")]
    assert ledger.store_prospects(run.run_id, "captello", page) == 2
    assert ledger.store_prospects(run.run_id, "captello", [*page, prospect("c")]) == 1
    assert ledger.counts(run.run_id).selected == 3
    assert ledger.store_prospects(run.run_id, "captello", []) == 0


def test_a_prospect_twice_on_one_page_is_stored_once_at_its_newest(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    page = [prospect("a", revision=2, payload={"n": 2}), prospect("a", revision=1, payload={"n": 1})]
    assert ledger.store_prospects(run.run_id, "captello", page) == 1
    assert one(store, "SELECT payload FROM sync.prospect")["payload"] == {"n": 2}


@pytest.mark.parametrize(
    ("revision", "updated_at", "kept"),
    [
        (3, SEEN_AT, "new"),
        (2, LATER, "new"),
        (2, SEEN_AT, "new"),  # a file corrected without a new revision
        (1, LATER, "old"),
    ],
)
def test_nothing_older_replaces_what_is_stored_but_an_item_is_added_in_any_case(
    ledger: PostgresLedger, run: Run, store: sa.Engine, revision: int, updated_at: Any, kept: str
) -> None:
    ledger.store_prospects(run.run_id, "captello", [prospect("a", revision=2, payload={"is": "old"}, email="e1")])
    second = ledger.open_run(new_run())
    again = prospect("a", revision=revision, updated_at=updated_at, payload={"is": "new"}, email="e2")
    assert ledger.store_prospects(second.run_id, "captello", [again]) == 1
    stored = one(store, "SELECT payload, email_key FROM sync.prospect")
    assert stored == {"payload": {"is": kept}, "email_key": "e2" if kept == "new" else "e1"}


def test_a_page_that_says_nothing_new_writes_and_locks_no_prospect(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    page = [prospect("a"), prospect("b")]
    ledger.store_prospects(run.run_id, "captello", page)
    before = rows(store, "SELECT xmin::text, xmax::text FROM sync.prospect ORDER BY prospect_key")
    ledger.store_prospects(run.run_id, "captello", page)
    assert rows(store, "SELECT xmin::text, xmax::text FROM sync.prospect ORDER BY prospect_key") == before


def test_the_same_id_of_two_sources_is_two_prospects(ledger: PostgresLedger, run: Run) -> None:
    ledger.store_prospects(run.run_id, "captello", [prospect("a")])
    assert ledger.store_prospects(run.run_id, "file", [prospect("a")]) == 1


def test_pages_stored_at_once_in_any_order_neither_deadlock_nor_go_back(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    def page(seed: int) -> int:
        names = [f"p{number}" for number in range(100)]
        random.Random(seed).shuffle(names)
        return ledger.store_prospects(run.run_id, "captello", [prospect(n, revision=seed, payload={}) for n in names])

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(page, range(1, 13))) == 100
    assert {row["revision"] for row in rows(store, "SELECT DISTINCT revision FROM sync.prospect")} == {12}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("a\0b", "a\x1ab"),
        ("\ud83d", "\x1a"),
        ("x\udc00y", "x\x1ay"),
        ("\ud83d\ude00", "\U0001f600"),
        ("👩‍👩‍👧 Zoë ‮", "👩‍👩‍👧 Zoë ‮"),
        ("spelled out: \\u0000", "spelled out: \\u0000"),
        ("O'Brien; \"--", "O'Brien; \"--"),
        ("{NULL,\\", "{NULL,\\"),
        (12345678901234567890123, 12345678901234567890123),
        (float("nan"), None),
    ],
)
def test_any_value_is_stored(ledger: PostgresLedger, run: Run, given: Any, stored: Any) -> None:
    payload = {"text": given, "deep": [{"list": [given]}]}
    ledger.store_prospects(run.run_id, "captello", [prospect("a", payload=payload)])
    read = claimed(ledger, run).items["payload"].iloc[0]
    assert read == {"text": stored, "deep": [{"list": [stored]}]}


def test_nul_is_marked_in_names_and_ids_too(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    ledger.store_prospects(run.run_id, "captello", [prospect("a\0", payload={"k\0ey": 1})])
    assert one(store, "SELECT prospect_id, payload FROM sync.prospect") == {
        "prospect_id": "a\x1a",
        "payload": {"k\x1aey": 1},
    }


class TestGroupPersons:
    @staticmethod
    def _groups(store: sa.Engine) -> dict[str, int]:
        query = """
            SELECT p.prospect_id, dense_rank() OVER (ORDER BY i.group_key) AS number
              FROM sync.work_item i JOIN sync.prospect p USING (prospect_key)
        """
        return {row["prospect_id"]: row["number"] for row in rows(store, query)}

    def test_equal_email_keys_are_one_person_and_missing_ones_are_not(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        page = [prospect("a", email="e1"), prospect("b"), prospect("c", email="e1"), prospect("d")]
        ledger.store_prospects(run.run_id, "captello", page)
        ledger.group_persons(run.run_id, by_name=True)
        assert self._groups(store) == {"a": 1, "c": 1, "b": 2, "d": 3}

    @pytest.mark.parametrize(("by_name", "groups"), [(True, [1, 1, 1]), (False, [1, 2, 2])])
    def test_names_join_only_when_asked_for(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine, by_name: bool, groups: list[int]
    ) -> None:
        page = [
            prospect("a", email="e1", by_name="n1"),
            prospect("b", email="e2", by_name="n1"),
            prospect("c", email="e2", by_name="n2"),
        ]
        ledger.store_prospects(run.run_id, "captello", page)
        ledger.group_persons(run.run_id, by_name=by_name)
        assert list(self._groups(store).values()) == groups

    def test_a_long_chain_in_any_order_is_one_person(self, ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
        chain = [prospect(f"p{n}", email=f"e{n // 2}", by_name=f"n{(n + 1) // 2}") for n in range(400)]
        random.Random(1).shuffle(chain)
        ledger.store_prospects(run.run_id, "captello", chain)
        ledger.group_persons(run.run_id, by_name=True)
        assert set(self._groups(store).values()) == {1}

    def test_it_may_be_repeated_and_other_runs_are_left_alone(
        self, ledger: PostgresLedger, run: Run, store: sa.Engine
    ) -> None:
        other = ledger.open_run(new_run())
        page = [prospect("a", email="e1"), prospect("b", email="e1")]
        for each in (run, other):
            ledger.store_prospects(each.run_id, "captello", page)
        ledger.group_persons(run.run_id, by_name=False)
        ledger.group_persons(run.run_id, by_name=False)
        groups = rows(store, "SELECT count(DISTINCT group_key) AS n FROM sync.work_item GROUP BY run_id ORDER BY n")
        assert [row["n"] for row in groups] == [1, 2]

    def test_a_claim_takes_whole_groups(self, ledger: PostgresLedger, run: Run) -> None:
        page = [prospect(name, email=email) for name, email in zip("abcde", ["1", "2", "1", "3", "2"], strict=True)]
        ledger.store_prospects(run.run_id, "captello", page)
        ledger.group_persons(run.run_id, by_name=False)
        chunks = [claimed(ledger, run, size=3).items["prospect_id"].tolist() for _ in range(3)]
        assert chunks == [["a", "c"], ["b", "e", "d"], []]

    def test_a_group_larger_than_a_chunk_is_handed_out_in_parts(self, ledger: PostgresLedger, run: Run) -> None:
        ledger.store_prospects(run.run_id, "captello", [prospect(name, email="e1") for name in "abc"])
        ledger.group_persons(run.run_id, by_name=False)
        assert [len(keys_of(claimed(ledger, run, size=2))) for _ in range(3)] == [2, 1, 0]


def test_what_the_source_still_delivers_is_noted_once_in_a_while_so_that_its_time_is_not_over(
    ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    ledger.store_prospects(run.run_id, "captello", [prospect("long ago"), prospect("lately")])
    with store.begin() as connection:
        age = "UPDATE sync.prospect SET stored_at = now() - CASE prospect_id WHEN 'lately' THEN interval '6 days'"
        connection.execute(sa.text(f"{age} ELSE interval '8 days' END"))
    ledger.store_prospects(run.run_id, "captello", [prospect("long ago"), prospect("lately")])
    noted = rows(store, "SELECT prospect_id FROM sync.prospect WHERE stored_at > now() - interval '1 day'")
    assert noted == [{"prospect_id": "long ago"}]
