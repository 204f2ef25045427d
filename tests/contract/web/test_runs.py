"""The pages of runs: closed like all others, right about the run, with nothing in them but ids, words and counts."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi import FastAPI, HTTPException, Request
from fastapi.testclient import TestClient

from dynamics.core.ledger import Outcome, Run
from dynamics.errors import TransientError
from dynamics.store.audit import AuditLog
from dynamics.store.ledger import PostgresLedger
from dynamics.web import app as web_app
from dynamics.web import runs
from dynamics.web.runs import Reading
from tests.contract.store.conftest import ledger
from tests.contract.store.samples import ORGANIZATION, claimed, created, keys_of, new_run, prospect, record_of

__all__ = ["ledger"]


async def anybody(request: Request) -> None:
    return


async def nobody(request: Request) -> None:
    raise HTTPException(401, "Not authenticated")


def site(store: sa.Engine, check: object = anybody) -> TestClient:
    inner = web_app.behind_door(check, None)  # type: ignore[arg-type]
    inner.state.reading = Reading(lambda: AuditLog(store, ()))
    outer = FastAPI()
    outer.mount("/dynamics", inner)
    return TestClient(outer)


@pytest.fixture
def pages(store: sa.Engine) -> TestClient:
    return site(store)


@pytest.fixture
def ran(ledger: PostgresLedger) -> Run:
    """A closed run: two records created, one prospect rejected; with a person behind each, and nasty words."""
    ledger.bind_account("dynamics_default", ORGANIZATION, "https://contoso.crm4.example")
    run = ledger.open_run(new_run(action="<b>booth</b>", dag_id="dynamics_bulk_sync", dag_run_id="manual__1+00:00"))
    people = [prospect(name, payload={"id": name, "last_name": "Qzcanary"}) for name in ("one", "two", "<i>three")]
    ledger.store_prospects(run.run_id, "captello", people)
    claim = claimed(ledger, run)
    *good, bad = keys_of(claim)
    facts = {"reason": "required", "error_column": "lastname", "error_code": "mapping.required", "record_id": None}
    rejected = created(claim, bad, outcome=Outcome.REJECTED, error_message="Qzcanary", link=None, **facts)
    ledger.settle(claim, [*(created(claim, key) for key in good), rejected])
    ledger.finish_run(run.run_id, "failed", 12)
    return run


def test_nobody_sees_a_run_who_may_not_enter(store: sa.Engine, ran: Run) -> None:
    closed = site(store, nobody)
    for path in ("runs", f"runs/{ran.run_id}"):
        answer = closed.get(f"/dynamics/{path}")
        assert (answer.status_code, str(ran.run_id) in answer.text) == (401, False)


def test_the_newest_runs_lead_to_their_pages(pages: TestClient, ran: Run) -> None:
    text = pages.get("/dynamics/runs").text
    assert f'href="/dynamics/runs/{ran.run_id}"' in text
    assert "&lt;b&gt;booth&lt;/b&gt;" in text
    assert "<b>booth" not in text


def test_a_run_is_told_with_its_balance_the_causes_and_the_way_to_its_records(pages: TestClient, ran: Run) -> None:
    answer = pages.get(f"/dynamics/runs/{ran.run_id}")
    text = answer.text
    assert answer.status_code == 200
    assert re.search(r'<b class="created">2</b>created', text)
    assert re.search(r'<b class="rejected">1</b>rejected', text)
    assert "required, column lastname" in text
    assert "&lt;i&gt;three" in text
    assert 'href="/dags/dynamics_bulk_sync/runs/manual__1%2B00%3A00"' in text
    record = re.search(r'href="(https://contoso[^"]+)"', text)
    assert record is not None
    assert record.group(1).startswith(
        "https://contoso.crm4.example/main.aspx?pagetype=entityrecord&amp;etn=lead&amp;id="
    )
    assert f"dynamics-sync retry --run {ran.run_id}" in text
    assert "Qzcanary" not in text


def test_outcomes_are_filtered_by_word_and_paged(
    ledger: PostgresLedger, pages: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LINES_SHOWN", 4)
    run = ledger.open_run(new_run())
    ledger.store_prospects(run.run_id, "captello", [prospect(f"p{number:02}x") for number in range(10)])
    claim = claimed(ledger, run)
    words = [Outcome.SKIPPED if number % 2 else Outcome.CREATED for number in range(10)]
    settled = [created(claim, key, outcome=word) for key, word in zip(keys_of(claim), words, strict=True)]
    ledger.settle(claim, settled)
    found, address = [], f"/dynamics/runs/{run.run_id}?outcome=skipped"
    while address:
        text = pages.get(address).text
        found.append(re.findall(r"p\d\dx", text))
        onward = re.search(r'href="([^"]+)">Next page', text)
        address = onward.group(1).replace("&amp;", "&") if onward else ""
    assert found == [["p01x", "p03x", "p05x", "p07x"], ["p09x"]]
    whole = pages.get(f"/dynamics/runs/{run.run_id}?outcome=%3Cscript%3E").text
    assert re.findall(r"p\d\dx", whole) == ["p00x", "p01x", "p02x", "p03x"]
    assert "script" not in whole


@pytest.mark.parametrize("run_id", ["0c7b6e1e-8a52-4b0e-9d0a-0a8b3c1d2e3f", "nonsense", "%3Cscript%3E"])
def test_a_run_that_is_not_there_is_told_so(pages: TestClient, run_id: str) -> None:
    answer = pages.get(f"/dynamics/runs/{run_id}")
    assert answer.status_code == 404
    assert "There is no such run" in answer.text
    assert "script" not in answer.text


def test_a_browser_may_load_nothing_but_the_page_s_own_style(pages: TestClient, ran: Run) -> None:
    for path in ("runs", f"runs/{ran.run_id}", "runs/none"):
        answer = pages.get(f"/dynamics/{path}")
        (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
        assert "unsafe" not in policy
        assert not re.search(r"<script|\sstyle=|\son\w+=|<img|<link", answer.text)


def test_a_record_s_address_is_a_link_only_by_https(
    ledger: PostgresLedger, pages: TestClient, ran: Run, store: sa.Engine
) -> None:
    with store.begin() as connection:
        connection.execute(sa.text("UPDATE sync.account_binding SET url = 'javascript:alert(1)//'"))
    text = pages.get(f"/dynamics/runs/{ran.run_id}").text
    assert "javascript" not in text
    assert str(record_of(1))[:8] in text or "lead" in text


def test_a_database_that_is_away_is_a_page_too_and_says_nothing_of_it(
    store: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> AuditLog:
        raise TransientError("connect to", "the audit database", detail="db.internal.example")

    inner = web_app.behind_door(anybody, None)
    inner.state.reading = Reading(away)
    answer = TestClient(inner).get("/runs")
    assert answer.status_code == 503
    assert "internal" not in answer.text
    assert "a page of runs cannot be shown" in caplog.text


def test_an_empty_log_says_what_to_do(pages: TestClient) -> None:
    assert "There is no run yet" in pages.get("/dynamics/runs").text


def test_airflow_s_own_prefix_is_kept_in_every_link(store: sa.Engine, ran: Run) -> None:
    inner = web_app.behind_door(anybody, None)
    inner.state.reading = Reading(lambda: AuditLog(store, ()))
    outer = FastAPI()
    outer.mount("/team/dynamics", inner)
    text = TestClient(outer).get(f"/team/dynamics/runs/{ran.run_id}").text
    assert 'href="/team/"' in text
    assert 'href="/team/dynamics/runs"' in text
    assert 'href="/team/dags/dynamics_bulk_sync/runs/' in text
    assert isinstance(ran.run_id, UUID)
