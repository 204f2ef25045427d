"""Who is told what: one notice a change, also when runs end at the same time, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import sqlalchemy as sa

from dynamics.core.balance import Verdict, judge
from dynamics.core.ledger import Outcome, Run, RunCounts
from dynamics.core.notices import Health, Notice
from dynamics.errors import TransientError
from dynamics.notices import Notices
from dynamics.store.audit import AuditLog
from dynamics.store.ledger import PostgresLedger
from dynamics.store.notices import NoticeBoard
from tests.contract.store.samples import claimed, created, discovered, keys_of, new_run

GOOD, FAILED = Health


@pytest.fixture
def board(store: sa.Engine) -> NoticeBoard:
    return NoticeBoard(store)


class Desk:
    """Notices with two tellers, of which some may be out of order."""

    def __init__(self, store: sa.Engine) -> None:
        self.sent: list[tuple[str, Notice]] = []
        self.broken: set[str] = set()
        tellers = {name: self._teller(name) for name in ("mail", "chat")}
        self.notices = Notices(NoticeBoard(store), AuditLog(store), tellers, lambda run_id: f"/runs/{run_id}")

    def _teller(self, name: str) -> Callable[[Notice], None]:
        def tell(notice: Notice) -> None:
            if name in self.broken:
                raise RuntimeError("smtp://user:s3cret@host said no to ines@mail.example")
            self.sent.append((name, notice))

        return tell

    def heard(self) -> list[tuple[str, str]]:
        """(notifier, first word of what it was told that is not the same everywhere), and forget."""
        told = [(name, notice.subject.removeprefix("Dynamics sync ").split()[0]) for name, notice in self.sent]
        self.sent.clear()
        return told


def verdict(ok: bool) -> Verdict:
    counts = {"selected": 1, "created": 0, "updated": 0, "unchanged": 0, "skipped": 0, "deferred": 0, "open": 0}
    return judge(RunCounts(**counts | {"created": int(ok)}, rejected=int(not ok)), 0)


def test_of_three_runs_that_fail_alike_one_is_told_then_one_that_is_good_again(store: sa.Engine) -> None:
    desk = Desk(store)
    for ok in (True, False, False, False, True, True):
        desk.notices.run_ended(new_run(), verdict(ok))
    assert desk.heard() == [("mail", "failed:"), ("chat", "failed:"), ("mail", "works"), ("chat", "works")]


def test_actions_and_triggers_are_told_apart_and_dry_runs_are_nobody_s_concern(store: sa.Engine) -> None:
    desk = Desk(store)
    for run in (new_run(), new_run(trigger="retry"), new_run(action="other")):
        desk.notices.run_ended(run, verdict(ok=False))
        assert len(desk.heard()) == 2
    desk.notices.run_ended(new_run(dry_run=True), verdict(ok=True))
    assert desk.heard() == []


def test_a_run_that_did_not_begin_counts_like_one_that_failed(store: sa.Engine) -> None:
    desk = Desk(store)
    desk.notices.run_not_begun("booth-leads", "bulk", "1 fault\n  include/x.yaml:1: wrong. Correct it.", "/dags/d")
    (_, notice), _ = desk.sent
    assert "- include/x.yaml:1: wrong. Correct it." in notice.text
    assert notice.url == "/dags/d"
    desk.sent.clear()
    desk.notices.run_ended(new_run(), verdict(ok=False))
    assert desk.heard() == []
    desk.notices.run_ended(new_run(), verdict(ok=True))
    assert desk.heard() == [("mail", "works"), ("chat", "works")]


def test_a_notifier_that_fails_is_told_of_by_its_kind_alone_and_hears_of_it_from_the_next_run(
    store: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(store)
    desk.broken = {"mail"}
    desk.notices.run_ended(new_run(), verdict(ok=False))
    assert desk.heard() == [("chat", "failed:")]
    assert "notifier mail failed (RuntimeError)" in caplog.text
    assert "s3cret" not in caplog.text
    assert "mail.example" not in caplog.text
    desk.broken = set()
    desk.notices.run_ended(new_run(), verdict(ok=False))
    assert desk.heard() == [("mail", "failed:")]
    desk.notices.run_ended(new_run(), verdict(ok=False))
    assert desk.heard() == []


def test_causes_are_the_commonest_ones_without_a_person(ledger: PostgresLedger, run: Run, store: sa.Engine) -> None:
    discovered(ledger, run, "abc")
    claim = claimed(ledger, run)
    for number, key in enumerate(keys_of(claim)):
        reason = "required" if number else "too_long"
        facts = {"reason": reason, "error_column": "lastname", "error_message": "Qzcanary", "link": None}
        ledger.settle(claim, [created(claim, key, outcome=Outcome.REJECTED, **facts)])
    desk = Desk(store)
    desk.notices.run_ended(run, judge(ledger.counts(run.run_id), 0))
    text = desk.sent[0][1].text
    assert text.splitlines()[-2:] == [
        "- 2 rejected: required, column lastname",
        "- 1 rejected: too_long, column lastname",
    ]
    assert "Qzcanary" not in text
    assert desk.sent[0][1].url == f"/runs/{run.run_id}"


def test_of_runs_that_fail_at_once_one_tells(board: NoticeBoard) -> None:
    def fail(_: int) -> int:
        return len(board.to_tell("a", "bulk", FAILED, ("mail",), uuid4()))

    with ThreadPoolExecutor(8) as runs:
        assert sum(runs.map(fail, range(24))) == 1


def test_a_change_while_somebody_tells_of_the_one_before_is_told_by_its_own_run(board: NoticeBoard) -> None:
    first, second = uuid4(), uuid4()
    assert board.to_tell("a", "bulk", FAILED, ("mail",), first) == ("mail",)
    assert board.to_tell("a", "bulk", FAILED, ("mail",), first) == ("mail",), "its answer got lost"
    assert board.to_tell("a", "bulk", GOOD, ("mail",), second) == ("mail",)
    board.told("a", "bulk", ["mail"], first)
    assert board.to_tell("a", "bulk", GOOD, ("mail",), uuid4()) == (), "the second is at it"
    board.told("a", "bulk", ["mail"], second)
    assert board.to_tell("a", "bulk", GOOD, ("mail",), uuid4()) == ()


def test_when_the_teller_has_died_the_next_run_tells(board: NoticeBoard, store: sa.Engine) -> None:
    board.to_tell("a", "bulk", FAILED, ("mail",), uuid4())
    assert board.to_tell("a", "bulk", FAILED, ("mail",), uuid4()) == ()
    with store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.notice_state SET telling_until = now() - interval '1 s'"))
    assert board.to_tell("a", "bulk", FAILED, ("mail",), uuid4()) == ("mail",)


def test_what_was_known_before_anybody_was_to_be_told_counts_too(board: NoticeBoard) -> None:
    assert board.to_tell("a", "bulk", FAILED, (), uuid4()) == ()
    assert board.to_tell("a", "bulk", FAILED, ("mail",), uuid4()) == ()
    assert board.to_tell("a", "bulk", GOOD, ("mail",), uuid4()) == ("mail",)


def test_a_database_that_is_away_is_logged_and_the_run_goes_on(
    store: sa.Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise TransientError("note", "the audit database")

    desk = Desk(store)
    monkeypatch.setattr(NoticeBoard, "to_tell", away)
    desk.notices.run_ended(new_run(), verdict(ok=False))
    assert "nobody was told of booth-leads (bulk)" in caplog.text
