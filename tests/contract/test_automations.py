"""Automations and backfills on the sandbox's source and organisation: who is found, when, and never twice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics.assembly import SyncService
from dynamics.automations import captured_between
from dynamics.config import load_action
from dynamics.core.capture import Selection
from dynamics.core.ledger import Run
from dynamics.errors import ConfigurationError, StoppedError
from dynamics.run_request import RunRequest
from sandbox.process import SandboxProcess
from tests.contract.preflighting import ACTION_NAME, service, write_include
from tests.drills.world import ACTION
from tests.fixtures.postgres import audit_url, postgres, store

__all__ = ["audit_url", "postgres", "store"]

BEGAN = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


def instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def person(number: int, at: datetime | None = None, **parts: Any) -> dict[str, Any]:
    """Captured, and last changed, at a time; of the event `evt_<number modulo 3>`."""
    at = at or BEGAN + timedelta(minutes=number)
    captured = {
        "id": f"sub_{number:08d}",
        "prospect_id": f"pro_{number:08d}",
        "captured_at": instant(at),
        "received_at": instant(at),
        "method": "badge_scan",
        "state": "complete",
        "event": {"id": f"evt_{number % 3}"},
    }
    return {
        "id": f"pro_{number:08d}",
        "revision": 1,
        "status": "active",
        "created_at": instant(at),
        "updated_at": instant(at),
        "first_name": f"First{number}",
        "last_name": f"Last{number}",
        "email": f"person{number}@drill.example",
        "job_title": "First",
        "submissions": [captured],
    } | parts


def with_automation(**settings: str) -> dict[str, str]:
    written = "".join(f"    {name}: {value}\n" for name, value in {"schedule": '"*/5 * * * *"', **settings}.items())
    return {
        "actions/drill.yaml": ACTION.lstrip().replace("triggers: {bulk: true}", f"triggers:\n  automation:\n{written}")
    }


class Place:
    """A service, the sandbox behind it, and what can be asked of both."""

    def __init__(self, sandbox: SandboxProcess, store: sa.Engine, folder: Path) -> None:
        self.sandbox, self.store, self.folder = sandbox, store, folder
        self.configure()

    def configure(self, **settings: str) -> None:
        self.service: SyncService = service(
            self.sandbox, self.store, write_include(self.folder, with_automation(**settings))
        )

    def seed(self, *people: dict[str, Any]) -> None:
        self.sandbox.control("POST", "seed", {"prospects": list(people)})

    def change(self, number: int, **values: Any) -> None:
        self.sandbox.control("POST", "capture/edit", {"action": "change", "id": f"pro_{number:08d}", "values": values})

    def open(self, trigger: str = "automation", **asked: Any) -> Run:
        return self.service.open_run(RunRequest(ACTION_NAME, trigger, {}, **asked))

    def run(self, trigger: str = "automation", **asked: Any) -> list[str]:
        """A run to its end. Returns `number outcome` of those it selected."""
        run = self.open(trigger, **asked)
        self.service.discover(run.run_id)
        self.service.drain(run.run_id, "w")
        assert self.service.conclude(run.run_id).ok
        return self.outcomes(run)

    def outcomes(self, run: Run) -> list[str]:
        told = self.sql("SELECT prospect_id, outcome FROM sync.audit_outcome WHERE run_id = :id", id=run.run_id)
        return sorted(f"{int(row.prospect_id[4:])} {row.outcome}" for row in told)

    def backfill(self, start: datetime, end: datetime, **asked: Any) -> list[str]:
        automation = load_action(self.service.include, ACTION_NAME).triggers.automation
        assert automation is not None
        return self.run("backfill", selection=captured_between(automation.where.rule(), start, end), **asked)

    def sql(self, query: str, **given: Any) -> list[sa.Row[Any]]:
        with self.store.connect() as connection:
            return list(connection.execute(sa.text(query), given).all())

    def age(self, hours: float) -> None:
        """Let the database's past lie further back."""
        past = {"past": timedelta(hours=hours)}
        with self.store.begin() as connection:
            for column in ("outcome.settled_at", "sync_run.touched_at", "cursor.read_at"):
                table, _, name = column.partition(".")
                connection.execute(sa.text(f"UPDATE sync.{table} SET {name} = {name} - :past"), past)

    def leads(self) -> dict[str, Any]:
        rows = self.sandbox.control("GET", "rows?table=lead")
        assert len({row["emailaddress1"] for row in rows}) == len(rows)
        return {re.findall(r"\d+", row["emailaddress1"])[0]: row["jobtitle"] for row in rows}


@pytest.fixture
def place(sandbox: SandboxProcess, store: sa.Engine, tmp_path: Path) -> Place:
    return Place(sandbox, store, tmp_path)


def test_each_run_finds_what_is_new_and_changed_and_nothing_else(place: Place) -> None:
    place.seed(*map(person, range(3)))
    assert place.run() == ["0 created", "1 created", "2 created"]
    assert place.run() == []
    place.seed(person(3))
    place.change(1, job_title="Second")
    assert place.run() == ["1 updated", "3 created"]
    assert place.run() == []
    assert place.leads() == {"0": "First", "1": "Second", "2": "First", "3": "First"}


def test_what_the_source_brings_in_late_is_found_within_the_overlap(place: Place) -> None:
    place.seed(person(1))
    place.run()
    place.seed(person(2, BEGAN - timedelta(hours=6)), person(3, BEGAN - timedelta(hours=8)))
    assert place.run() == ["2 created"]
    place.configure(overlap_hours="9")
    assert place.run() == ["3 created"]


def test_history_before_since_is_left_to_backfills(place: Place) -> None:
    place.configure(since="2026-03-14")
    place.seed(person(1), person(2, BEGAN - timedelta(days=1)), person(3, BEGAN - timedelta(days=40)))
    assert place.run() == ["1 created"]
    assert place.backfill(BEGAN - timedelta(days=2), BEGAN) == ["2 created"]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("{event_id: evt_1}", [1, 4]),
        ("{event_id: [evt_1, evt_2]}", [1, 2, 4, 5]),
        ("{tags: vip}", [1, 2, 3]),
        ("{event_id: evt_1, tags: [vip, press]}", [1]),
        ("{consent: {marketing: granted}}", [3]),
    ],
)
def test_where_decides_who_is_taken_and_the_cursor_passes_over_the_others(
    place: Place, where: str, found: list[int]
) -> None:
    place.configure(where=where, overlap_hours="0")
    granted = [{"purpose": "marketing", "state": "granted", "recorded_at": instant(BEGAN)}]
    tagged = [person(number, tags=["vip"] if number < 4 else []) for number in range(1, 6)]
    tagged[2]["consents"] = granted
    place.seed(*tagged)
    assert place.run() == [f"{number} created" for number in found]
    assert len(place.sql("SELECT 1 FROM sync.prospect")) == len(found)  # nothing is kept of the others
    assert place.run() == []
    place.configure(overlap_hours="0")  # a where that changes brings in nothing by itself, a backfill does
    assert [told for told in place.run() if int(told.split()[0]) < max(found)] == []
    assert len(place.backfill(BEGAN, BEGAN + timedelta(hours=1))) == 5
    assert len(place.leads()) == 5


def test_what_a_run_that_died_has_found_is_taken_up_whether_or_not_it_is_listed_again(place: Place) -> None:
    place.seed(*map(person, range(3)))
    dead = place.open()
    place.service.discover(dead.run_id)
    place.configure(since="2027-01-01")  # the source lists none of them again
    assert place.run() == []  # somebody may be at work on them
    place.age(hours=0.2)
    assert place.run() == ["0 created", "1 created", "2 created"]
    assert place.run() == []
    place.service.drain(dead.run_id, "late")
    assert place.outcomes(dead) == ["0 unchanged", "1 unchanged", "2 unchanged"]


GRANTED, WITHDRAWN = (
    {"consents": [{"purpose": "marketing", "state": state, "recorded_at": instant(BEGAN)}]}
    for state in ("granted", "withdrawn")
)
ELSEWHERE = person(1)["submissions"][0] | {"state": "deleted"}


@pytest.mark.parametrize(
    ("where", "before", "after"),
    [
        ("{consent: {marketing: granted}}", GRANTED, WITHDRAWN),
        ("{event_id: evt_1, consent: {marketing: granted}}", GRANTED, WITHDRAWN),
        ("{owner_id: usr_1}", {"owner": {"id": "usr_1"}}, {"owner": {"id": "usr_2"}}),
        ("{event_id: evt_1}", {}, {"submissions": [ELSEWHERE]}),
    ],
)
def test_what_where_leaves_out_by_now_is_not_taken_up_as_it_was_before(
    place: Place, where: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    place.configure(where=where)
    place.seed(person(1, **before))
    dead = place.open()
    assert place.service.discover(dead.run_id) == 1
    place.change(1, job_title="Second", **after)
    place.age(hours=0.2)
    assert place.run() == []
    assert place.leads() == {}
    assert place.run() == []
    assert place.service.backlogs()[0].unsettled == 0, "nothing that nobody will ever settle"
    place.service.drain(dead.run_id, "late")  # a person's wish, as a retry is
    assert place.leads() == {"1": "Second"}


def test_a_reading_that_breaks_off_goes_on_behind_the_last_page_stored(place: Place, sandbox: SandboxProcess) -> None:
    place.configure(overlap_hours="0")
    place.seed(*map(person, range(500)))  # three pages
    broken = place.open()

    def stop(stored: int) -> None:
        if stored == 400:
            place.service.stopping.set()

    with pytest.raises(StoppedError):
        place.service.discover(broken.run_id, stop)
    ((at, read_at),) = place.sql("SELECT at, read_at FROM sync.cursor")
    assert (at, read_at) == (BEGAN + timedelta(minutes=399), None)
    place.configure(overlap_hours="0")
    sandbox.control("DELETE", "journal")
    place.service.discover(broken.run_id)
    place.service.drain(broken.run_id, "w")
    assert place.service.conclude(broken.run_id).counts.created == 500
    asked = [entry for entry in sandbox.control("GET", "journal") if entry["path"].startswith("/v1/prospects")]
    assert len(asked) == 1


def test_a_dry_run_moves_nothing(place: Place) -> None:
    place.seed(person(1))
    assert place.run(dry_run=True) == ["1 created"]
    assert place.sql("SELECT * FROM sync.cursor") == []
    assert place.leads() == {}
    assert place.run() == ["1 created"]


def test_what_waits_and_what_is_deferred_comes_again_in_its_time(place: Place, sandbox: SandboxProcess) -> None:
    place.seed(person(1, status="on_hold"), person(2))
    assert place.run() == ["1 deferred", "2 created"]
    place.age(hours=30)
    assert place.run() == []
    place.change(1, status="active")
    assert place.run() == ["1 created"]


def test_an_automation_overlaps_with_bulk_runs_harmlessly(place: Place) -> None:
    place.seed(*map(person, range(4)))
    bulk = place.open("bulk")
    automation = place.open()
    place.service.discover(bulk.run_id)
    place.service.discover(automation.run_id)
    place.service.drain(bulk.run_id, "b")
    place.service.drain(automation.run_id, "a")
    assert place.outcomes(automation) == [f"{number} unchanged" for number in range(4)]
    assert place.run() == []
    assert len(place.leads()) == 4


class TestBackfill:
    def test_it_selects_by_capture_within_its_interval_and_leaves_the_cursor_alone(self, place: Place) -> None:
        start, end = BEGAN, BEGAN + timedelta(minutes=5)
        place.seed(*map(person, range(7)), person(9999, BEGAN - timedelta(milliseconds=1)))
        assert place.backfill(start, end) == [f"{number} created" for number in range(5)]  # the end is not in it
        assert place.sql("SELECT * FROM sync.cursor") == []
        assert place.backfill(start, end) == [f"{number} unchanged" for number in range(5)]
        assert place.run() == ["5 created", "6 created", "9999 created"]

    def test_the_newest_revision_wins_whatever_comes_later(self, place: Place) -> None:
        place.seed(person(1))
        old = place.open("backfill", selection=Selection(captured_from=BEGAN, captured_to=BEGAN + timedelta(hours=1)))
        place.service.discover(old.run_id)  # has the first revision in hand
        place.change(1, job_title="Second")
        assert place.run() == ["1 created"]
        place.sandbox.control(
            "POST",
            "schema",
            {
                "action": "install_plugin",
                "table": "lead",
                "event": "update",
                "column": "jobtitle",
                "value": "First",
                "message": "older",
            },
        )
        place.service.drain(old.run_id, "w")
        assert place.outcomes(old) == ["1 unchanged"]
        assert place.leads() == {"1": "Second"}

    def test_what_where_leaves_out_by_now_is_kept_without_work_if_an_older_one_was(self, place: Place) -> None:
        start, end = BEGAN, BEGAN + timedelta(hours=1)
        place.configure(where="{consent: {marketing: granted}}")
        place.seed(person(1, **GRANTED), person(2, **WITHDRAWN))
        assert place.backfill(start, end) == ["1 created"]
        place.change(1, **WITHDRAWN)
        assert place.backfill(start, end) == []
        assert place.sql("SELECT prospect_id, revision FROM sync.prospect") == [("pro_00000001", 2)]

    def test_an_action_without_an_automation_is_refused(self, place: Place) -> None:
        write_include(place.folder)
        with pytest.raises(ConfigurationError, match="has no automation"):
            place.open("backfill")


class TestBacklog:
    def test_one_that_keeps_up_is_not_late(self, place: Place) -> None:
        assert place.service.backlogs() == []  # its account was never used
        place.seed(person(1))
        place.run()
        (found,) = place.service.backlogs()
        assert (found.action, found.is_late, found.grows, found.unsettled) == (ACTION_NAME, False, False, 0)
        assert found.read_until == BEGAN + timedelta(minutes=1)

    def test_one_that_was_switched_off_for_a_day_is_told_by_itself_and_by_others(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        place.seed(person(1))
        place.run()
        caplog.clear()
        place.run()
        assert "backlog" not in caplog.text
        place.age(hours=24)
        (found,) = place.service.backlogs()
        assert found.is_late
        assert 287 <= found.missed <= 289
        place.run()
        assert "backlog: automation of drill last read its source 24 h 00 min ago" in caplog.text
        assert not place.service.backlogs()[0].is_late

    def test_what_is_found_and_not_settled_is_counted_and_kept(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        place.seed(*map(person, range(3)))
        dead = place.open()
        place.service.discover(dead.run_id)
        place.age(hours=0.2)
        (found,) = place.service.backlogs()
        assert (found.unsettled, found.before, found.grows) == (3, 0, True)
        place.run()
        assert "3 prospects are found and not settled, 0 were before" in caplog.text
        assert place.sql("SELECT backlog FROM sync.audit_automation") == [(3,)]
        place.run()
        assert place.sql("SELECT backlog FROM sync.audit_automation") == [(0,)]
