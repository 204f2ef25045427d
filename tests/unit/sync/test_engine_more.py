"""The engine on fakes: what two runs, lent ids, people at work in the CRM and faults of others must not break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import typer

from dynamics import cli, terminal
from dynamics.assembly import SyncService
from dynamics.core.crm import RecordWrite, WriteReport, WriteResult, WriteState
from dynamics.core.ledger import LinkState, Outcome, Run
from dynamics.core.policy import Check, MatchBy
from dynamics.errors import AccountError, ServiceUnavailableError
from dynamics.sync.engine import Engine
from tests.unit.sync.test_engine import ANA, MAPPINGS, ORGANIZATION, POLICY, Prospects, Stage, ana, stage, words

__all__ = ["stage"]


class _KilledError(BaseException):
    """Stands for kill -9: nothing of ours may catch it."""


class _EndlessError(BaseException):
    """The engine goes round in a circle."""


def unanswered(table: str, writes: Sequence[RecordWrite]) -> WriteReport:
    """Every write gets lost before it lands."""
    return WriteReport({write.record_id: WriteResult(write.record_id, WriteState.UNKNOWN) for write in writes})


def killed(table: str, writes: Sequence[RecordWrite]) -> WriteReport:
    raise _KilledError


def patience(stage: Stage, rounds: int) -> None:
    """Ends a drain that claims more than so many chunks."""
    real, left = stage.ledger.claim, [rounds]

    def claim(*given: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise _EndlessError
        return real(*given)

    stage.ledger.claim = claim  # type: ignore[method-assign, assignment]


# ---------------------------------------------------------------- duplicates


def test_two_who_find_the_same_removed_person_create_one_record(stage: Stage) -> None:
    stage.sync(ana())
    del stage.leads[ANA]
    first, second = stage.run(ana(id="pro_benbenben")), stage.run(ana(id="pro_caracara"))
    real: Callable[..., Any] = stage.crm.read
    meanwhile = [True]

    def read(*given: Any) -> Any:
        found = real(*given)
        if meanwhile:
            meanwhile.pop()
            stage.drain(second, worker="second")
        return found

    stage.crm.read = read  # type: ignore[method-assign, assignment]
    stage.drain(first)
    assert len(stage.leads) == 1


def test_one_whose_e_mail_is_known_and_a_namesake_in_the_same_run_are_one_person(stage: Stage) -> None:
    theirs = uuid4()
    stage.crm.put("lead", theirs, {"emailaddress1": "ana@orel.test", "firstname": "A.", "lastname": "Ruiz"})
    policy = replace(POLICY, match_by=MatchBy.EMAIL_OR_NAME)
    stage.sync(ana(), ana(id="pro_zzzzzzzz", email=None), policy=policy)
    assert list(stage.leads) == [theirs]


# ---------------------------------------------------------------- data that never arrives


def test_a_dead_create_that_another_prospect_took_over_is_not_told_as_landed(stage: Stage) -> None:
    dead, real = stage.run(ana(company={"name": "Orel Labs"})), stage.crm.create
    stage.crm.create = killed  # type: ignore[method-assign]
    with pytest.raises(_KilledError):
        stage.drain(dead)
    stage.crm.create = real  # type: ignore[method-assign]
    stage.clock.sleep(61.0)
    assert words(stage.sync(ana(id="pro_benbenben"))) == [("created", None)]
    stage.drain(dead)
    assert (words(stage.told(dead)), stage.leads[ANA].get("companyname")) == ([("updated", None)], "Orel Labs")


def test_an_old_revision_that_lands_late_does_not_pass_for_the_new_one(stage: Stage) -> None:
    run, real, writes = stage.run(ana()), stage.crm.create, list[RecordWrite]()
    patience(stage, 20)

    def slow(table: str, rows: Sequence[RecordWrite]) -> WriteReport:
        if not writes:  # on its way, and looked for in vain
            writes.extend(rows)
            stage.run(ana(revision=2, job_title="Director"))
            return unanswered(table, rows)
        stage.crm.create = real  # type: ignore[method-assign]
        real(table, writes)
        return real(table, rows)

    stage.crm.create = slow  # type: ignore[method-assign, assignment]
    stage.drain(run)
    stage.sync(ana(revision=2, job_title="Director"))
    assert stage.leads[ANA]["jobtitle"] == "Director"


def test_a_prospect_whose_id_was_lent_and_whose_lead_is_qualified_gets_a_record_of_its_own(stage: Stage) -> None:
    patience(stage, 20)
    other = ana(id="pro_benbenben", updated_at="2026-03-14T10:00:00.000Z")
    assert words(stage.sync(ana(job_title="x" * 101), other)) == [("rejected", "too_long"), ("created", None)]
    [lent] = stage.leads
    stage.crm.put("lead", lent, {"statecode": 1})
    [told] = stage.sync(ana(revision=2, job_title="Director"))
    assert told.outcome is Outcome.CREATED
    assert stage.leads[told.record_id or ANA].get("jobtitle") == "Director"


def test_a_dry_run_takes_no_work_from_another_run(stage: Stage) -> None:
    dead, real = stage.run(ana()), stage.crm.create
    stage.crm.create = killed  # type: ignore[method-assign]
    with pytest.raises(_KilledError):
        stage.drain(dead)
    stage.crm.create = real  # type: ignore[method-assign]
    stage.clock.sleep(61.0)
    stage.sync(ana(), dry_run=True)
    stage.drain(dead)
    assert words(stage.told(dead)) == [("created", None)]


def test_a_live_run_that_waits_to_look_is_not_abandoned_by_another(stage: Stage) -> None:
    waiting, real = stage.run(ana()), stage.crm.create

    def lost(table: str, rows: Sequence[RecordWrite]) -> WriteReport:
        stage.crm.create = real  # type: ignore[method-assign]
        return unanswered(table, rows)

    stage.crm.create = lost  # type: ignore[method-assign, assignment]
    sleep, meanwhile = stage.clock.sleep, [True]

    def other_run(seconds: float) -> None:
        if meanwhile:
            meanwhile.pop()
            stage.sync(ana())
        sleep(seconds)

    stage.clock.sleep = other_run  # type: ignore[method-assign]
    stage.drain(waiting)
    assert "deferred" not in [outcome for outcome, _ in words(stage.told(waiting))]


def test_a_record_that_a_person_opens_again_is_written_again(stage: Stage) -> None:
    stage.sync(ana())
    stage.crm.put("lead", ANA, {"statecode": 2})
    stage.sync(ana(revision=2, job_title="Director"))
    stage.crm.put("lead", ANA, {"statecode": 0})
    assert words(stage.sync(ana(revision=3, job_title="Chief"))) == [("updated", None)]


# ---------------------------------------------------------------- data that goes to the wrong place


def test_a_record_whose_address_a_person_corrected_is_no_longer_a_match(stage: Stage) -> None:
    stage.sync(ana(email="info@orel.test"))
    stage.crm.put("lead", ANA, {"emailaddress1": "ana@orel.test"})
    stage.sync(ana(id="pro_benbenben", email="info@orel.test", first_name="Ben", last_name="Okri"))
    assert stage.leads[ANA]["firstname"] == "Ana"


def test_the_loser_of_a_merge_is_never_written(stage: Stage) -> None:
    policy = replace(POLICY, include_inactive=True)
    stage.sync(ana(), policy=policy)
    stage.crm.put("lead", ANA, {"statecode": 2, "merged": True})
    stage.sync(ana(revision=2, job_title="Director"), policy=policy)
    assert stage.leads[ANA]["jobtitle"] == "Engineer"


def test_a_worker_that_finds_another_organisation_stops(stage: Stage) -> None:
    run = stage.run(ana())
    stage.crm.organization_id = uuid4()
    with pytest.raises(AccountError):
        stage.drain(run)


def test_a_value_that_goes_and_comes_back_leaves_a_persons_edit_alone(stage: Stage) -> None:
    stage.sync(ana())
    stage.sync(ana(revision=2, job_title=None, company={"name": "Orel Labs"}))
    stage.crm.put("lead", ANA, {"jobtitle": "Head of everything"})
    stage.sync(ana(revision=3, company={"name": "Orel Labs"}))
    assert stage.leads[ANA]["jobtitle"] == "Head of everything"


# ---------------------------------------------------------------- endings


def test_a_refused_value_rejects_only_the_prospect_that_has_it(stage: Stage) -> None:
    stage.crm.refuse = lambda table, write: "0x80040265" if write.values.get("jobtitle") == "Bad" else None
    newer = ana(id="pro_zzzzzzzz", job_title="Bad", updated_at="2026-03-14T10:00:00.000Z")
    assert [outcome for outcome, _ in words(stage.sync(ana(), newer))] == ["created", "rejected"]


def test_a_time_at_the_edge_of_the_calendar_stops_no_run(stage: Stage) -> None:
    capture = {"id": "sub_1", "state": "complete", "captured_at": "0001-01-01T00:00:00+14:00"}
    try:
        told = stage.sync(ana(submissions=[capture]), ana(id="pro_benbenben", email="ben@orel.test"))
    except OverflowError:
        pytest.fail("OverflowError")
    assert len(told) == 2


def test_a_run_whose_work_was_closed_as_abandoned_is_red(stage: Stage) -> None:
    service, run = _service(stage, Prospects(ana()))
    service.discover(run.run_id)
    stage.clock.sleep(901.0)  # the scheduler is busy or down
    stage.ledger.abandon_stale_runs(run.account, ORGANIZATION, 900.0, uuid4())
    assert words(stage.told(run)) == [("deferred", "run_abandoned")]
    assert not service.conclude(run.run_id).ok


def test_a_row_that_never_gets_an_answer_is_deferred_in_the_end(stage: Stage) -> None:
    patience(stage, 50)
    stage.crm.create = unanswered  # type: ignore[method-assign]
    assert words(stage.sync(ana()))[0][0] == "deferred"


def test_after_a_transient_fault_the_worker_waits_before_its_next_chunk(stage: Stage) -> None:
    people = [ana(id=f"pro_{n}", email=f"{n}@orel.test") for n in range(8)]
    run, asked = stage.run(*people), []

    def down(queries: Any) -> Any:
        asked.append(stage.clock.monotonic())
        raise ServiceUnavailableError("find", "lead", status=503, retry_after_s=7.0)

    stage.crm.find = down  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailableError):
        Engine(run, POLICY, MAPPINGS, stage.ledger, stage.crm, stage.clock, chunk_size=1, lanes=1).drain("w")
    assert all(later - earlier >= 7.0 for earlier, later in pairwise(asked))


def test_a_chunk_that_takes_longer_than_its_lease_stays_with_the_worker_that_gets_on(stage: Stage) -> None:
    policy = replace(POLICY, check=Check.CONTACTS_THEN_LEADS)
    stage.crm.put("contact", uuid4(), {"emailaddress1": "ana@orel.test"})
    run = stage.run(ana(), ana(id="pro_benbenben", email="ben@orel.test"), policy=policy)
    create, update, taken = stage.crm.create, stage.crm.update, []

    def slow_create(table: str, rows: Sequence[RecordWrite]) -> WriteReport:
        stage.clock.sleep(40.0)
        return create(table, rows)

    def slow_update(table: str, rows: Sequence[RecordWrite]) -> WriteReport:
        stage.clock.sleep(40.0)
        taken.append(len(stage.ledger.claim(run.run_id, "second", 500, 60.0).items))
        return update(table, rows)

    stage.crm.create, stage.crm.update = slow_create, slow_update  # type: ignore[method-assign, assignment]
    stage.drain(run, policy)
    assert taken == [0]


def test_a_run_whose_discovery_failed_is_red(stage: Stage) -> None:
    class Down:
        name = "captello"

        def pages(self, selection: Any) -> Any:
            raise ServiceUnavailableError("list", "prospects", status=503)

    service, run = _service(stage, Down())
    with pytest.raises(ServiceUnavailableError):
        service.discover(run.run_id)
    assert not service.conclude(run.run_id).ok


def _service(stage: Stage, source: Any) -> tuple[SyncService, Run]:
    action = {
        "name": "a",
        "account": "dynamics_default",
        "duplicates": {"check": "leads"},
        "create": "lead",
    }
    request = {"source": "captello", "source_connection": "c", "file": None, "captured_from": None, "captured_to": None}
    settings = {"action": action, "request": request | {"event_ids": [], "form_ids": [], "prospect_ids": []}}
    run = Run(uuid4(), "a", "dynamics_default", "bulk", False, settings, "hash", ORGANIZATION)
    stage.ledger.open_run(run)
    service = SyncService(audit=SimpleNamespace(dispose=lambda: None), connection_of=lambda _: None, include=Path())  # type: ignore[arg-type,return-value]
    service.__dict__["ledger"] = stage.ledger
    service.__dict__["_connector"] = SimpleNamespace(source=lambda _: nullcontext(source))
    return service, run


# ---------------------------------------------------------------- command line


@pytest.mark.parametrize("words_of_others", ["[/b]", "[red]"])
def test_what_others_wrote_is_printed_as_it_is(words_of_others: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), terminal.faults_told():
        raise AccountError("check", words_of_others)
    assert words_of_others in capsys.readouterr().err


def test_a_run_id_that_is_none_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_audit", lambda: None)
    monkeypatch.setattr(cli, "AuditLog", lambda _: None)
    monkeypatch.setattr("sys.argv", ["dynamics-sync", "log", "--run", "nonsense"])
    code = None
    try:
        cli.main()
    except (SystemExit, ValueError) as ended:
        code = getattr(ended, "code", "traceback")
    assert code == cli.USAGE


def test_an_older_revision_is_not_written_over_a_newer_one_that_another_run_brought(stage: Stage) -> None:
    stage.sync(ana())
    old, look = stage.run(ana(revision=2, job_title="Old")), stage.ledger.open_attempts
    newer = [ana(revision=3, job_title="New")]

    def meanwhile(*given: Any) -> Any:
        if newer:
            stage.sync(newer.pop())
        return look(*given)

    stage.ledger.open_attempts = meanwhile  # type: ignore[method-assign]
    stage.drain(old)
    assert stage.leads[ANA]["jobtitle"] == "New"


def test_a_prospect_given_up_after_three_lost_updates_is_not_written_once_more(stage: Stage) -> None:
    stage.sync(ana())
    sent = []

    def lost(table: str, rows: Sequence[RecordWrite]) -> WriteReport:
        sent.append(table)
        stage.crm.put(table, ANA, {"companyname": f"By a person {len(sent)}"})
        return unanswered(table, rows)

    stage.crm.update = lost  # type: ignore[method-assign, assignment]
    assert words(stage.sync(ana(revision=2, job_title="Director"))) == [("deferred", "no_answer")]
    assert len(sent) == 3


@pytest.mark.parametrize(("job_title", "written"), [("Buyer", {}), ("Director", {"jobtitle": "Director"})])
def test_what_a_person_changed_stays_theirs_once_the_hashes_of_what_we_wrote_are_gone(
    stage: Stage, job_title: str, written: dict[str, str]
) -> None:
    """Retention has removed them: the same content is known by its own hash, and what is new is written."""
    stage.sync(ana(job_title="Buyer"))
    ((place, kept),) = stage.ledger.records.items()
    stage.ledger.records[place] = replace(kept, column_hashes={}, state=LinkState.DEACTIVATED)
    stage.crm.put("lead", ANA, {"jobtitle": "Set by a person"})
    stage.sync(ana(job_title=job_title))
    assert stage.leads[ANA]["jobtitle"] == written.get("jobtitle", "Set by a person")
