"""The nightly check of links, on the real database and an organisation that answers what the test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from dynamics import maintenance
from dynamics.core.ledger import LinkState, Run
from dynamics.errors import AccountError, Fault, NoConnectionError, ServiceUnavailableError, StoppedError
from dynamics.maintenance import Maintenance
from dynamics.store.ledger import PostgresLedger
from tests.contract.store.conftest import ledger, run
from tests.contract.store.samples import ORGANIZATION, claimed, created, discovered, keys_of, record_of, rows

__all__ = ["ledger", "run"]

OTHER = UUID("b7a1c2d3-0000-4000-8000-000000000002")


@dataclass
class Night:
    """Organisations as the maintenance meets them. `gone`: records that are not there; `asked`: those read so far."""

    include: Path
    ledger: PostgresLedger
    gone: set[UUID] = field(default_factory=set)
    states: dict[UUID, int] = field(default_factory=dict)
    asked: list[UUID] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    stopping: bool = False

    @contextmanager
    def connect(self, account: str, organization_id: UUID) -> Iterator[Any]:
        if account in self.down:
            raise ServiceUnavailableError("connect", account)
        if account in self.removed:
            raise NoConnectionError([Fault(f"connection {account}", None, "does not exist.", "Add it.")])
        about = SimpleNamespace(organization_id=OTHER if account in self.moved else organization_id)
        yield SimpleNamespace(organization=lambda: about, read=self.read)

    def read(self, table: str, record_ids: Sequence[UUID], select: Sequence[str]) -> list[dict[str, Any]]:
        self.asked += record_ids
        return [
            {"@id": str(record_id), "statecode": self.states.get(record_id, 0)}
            for record_id in record_ids
            if record_id not in self.gone
        ]

    def settings(self, text: str) -> None:
        (self.include / "settings.yaml").write_text(text)

    def check(self) -> maintenance.LinkReport:
        service = SimpleNamespace(
            ledger=self.ledger,
            include=self.include,
            connect=self.connect,
            clock=SimpleNamespace(stopping=self.stopping),
        )
        return Maintenance(service).check_links()  # type: ignore[arg-type]


@pytest.fixture
def night(ledger: PostgresLedger, tmp_path: Path) -> Night:
    ledger.bind_account("dynamics_default", ORGANIZATION, "https://one.example")
    return Night(tmp_path, ledger)


def linked(ledger: PostgresLedger, run: Run, names: Sequence[str]) -> list[int]:
    discovered(ledger, run, names)
    claim = claimed(ledger, run, size=500)
    keys = keys_of(claim)
    ledger.settle(claim, [created(claim, key) for key in keys])
    return keys


def states(store: sa.Engine) -> dict[int, str]:
    return {
        row["prospect_key"]: row["state"] for row in rows(store, "SELECT prospect_key, state FROM sync.record_link")
    }


def test_only_links_whose_record_is_not_to_be_written_are_marked(
    night: Night, ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    alive, deleted, qualified, closed = linked(ledger, run, "abcd")
    night.gone = {record_of(deleted)}
    night.states = {record_of(qualified): 1, record_of(closed): 2}
    report = night.check()
    assert report.counts() == {"checked": 4, "deactivated": 1, "deleted": 1, "qualified": 1}
    assert states(store) == {alive: "live", deleted: "deleted", qualified: "qualified", closed: "deactivated"}
    night.asked.clear()
    night.check()
    assert night.asked == [record_of(alive)], "dead links are asked for no more"


def test_each_night_goes_on_where_the_last_one_ended_and_round_again(
    night: Night, ledger: PostgresLedger, run: Run
) -> None:
    keys = linked(ledger, run, [f"p{number}" for number in range(10)])
    numbers = {record_of(key): number for number, key in enumerate(keys)}
    night.settings("links: {checked_a_night: 4}\n")
    seen = []
    for _ in range(5):
        night.asked.clear()
        night.check()
        seen += [numbers[record_id] for record_id in night.asked]
    assert seen == [*range(10), *range(10)]
    night.settings("links: {checked_a_night: 100}\n")
    night.asked.clear()
    night.check()
    assert len(night.asked) == 10, "once round is enough"
    night.settings("links: {checked_a_night: 0}\n")
    night.asked.clear()
    assert night.check().checked == 0


def test_so_many_gone_at_once_are_out_of_sight_rather_than_deleted(
    night: Night, ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    keys = linked(ledger, run, [f"p{number}" for number in range(100)])
    night.gone = {record_of(key) for key in keys[:30]}
    (trouble,) = night.check().troubles
    assert isinstance(trouble, AccountError)
    assert "30 of 100 linked records cannot be found" in str(trouble)
    assert set(states(store).values()) == {"live"}
    night.settings("links: {gone_at_most_percent: 100}\n")
    assert night.check().marked == {LinkState.DELETED: 30}


def test_a_link_that_a_sync_has_changed_meanwhile_stays_as_it_is(
    night: Night, ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    (key,) = linked(ledger, run, "a")
    night.gone = {record_of(key)}
    read = night.read

    def meanwhile(*given: Any) -> list[dict[str, Any]]:
        with store.begin() as connection:
            moved = sa.text("UPDATE sync.record_link SET record_id = :record_id")
            connection.execute(moved, {"record_id": uuid4()})
        return read(*given)

    night.read = meanwhile  # type: ignore[method-assign]
    night.check()
    assert states(store) == {key: "live"}


def test_an_organisation_that_is_away_keeps_no_other_from_being_checked(
    night: Night, ledger: PostgresLedger, run: Run, store: sa.Engine
) -> None:
    (key,) = linked(ledger, run, "a")
    with store.begin() as connection:
        copy = "INSERT INTO sync.record_link (organization_id, prospect_key, table_name, account, record_id, state,"
        copy += " generation) VALUES (:organization_id, :key, 'lead', 'other', :record_id, 'live', 0)"
        connection.execute(sa.text(copy), {"organization_id": OTHER, "key": key, "record_id": uuid4()})
    ledger.bind_account("other", OTHER, "https://other.example")
    night.down = {"dynamics_default"}
    report = night.check()
    assert report.checked == 1
    assert [error.subject for error in report.troubles] == ["dynamics_default"]


@pytest.mark.parametrize("how", ["down", "removed", "moved"])
def test_an_account_that_does_not_lead_there_gives_way_to_the_one_before(
    night: Night, ledger: PostgresLedger, run: Run, how: str
) -> None:
    linked(ledger, run, "ab")
    ledger.bind_account("newest", ORGANIZATION, "https://one.example")
    getattr(night, how).add("newest")
    report = night.check()
    assert (report.checked, report.troubles) == (2, [])


def test_an_organisation_without_a_connection_is_told_and_no_trouble(
    night: Night, ledger: PostgresLedger, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    linked(ledger, run, "ab")
    ledger.bind_account("newest", ORGANIZATION, "https://one.example")
    night.removed = {"dynamics_default", "newest"}
    report = night.check()
    assert (report.checked, report.troubles) == (0, [])
    assert f"organisation {ORGANIZATION}: its links are not checked" in caplog.text
    assert "newest, dynamics_default" in caplog.text
    night.removed, night.down = {"newest"}, {"dynamics_default"}
    assert [error.subject for error in night.check().troubles] == ["dynamics_default"], "it may come back"


def test_a_check_that_is_stopped_keeps_what_it_has_done(
    night: Night, ledger: PostgresLedger, run: Run, store: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "LINKS_A_PAGE", 2)
    keys = linked(ledger, run, "abc")
    night.gone = {record_of(key) for key in keys}
    night.stopping = True
    with pytest.raises(StoppedError):
        night.check()
    assert sorted(states(store).values()) == ["deleted", "deleted", "live"]
