"""A fulfillment worker in a thread, on a real database and the sandbox, with actions of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics.assembly import SyncService
from dynamics.captello.message import read_message
from dynamics.config.connections import connection_from_json
from dynamics.core.matching import with_match_keys
from dynamics.fulfillment.worker import Summary, Worker
from dynamics.store.inbox import Inbox
from sandbox.process import SandboxProcess
from tests.contract.store.samples import rows
from tests.contract.web.posting import message
from tests.drills.watching import wait_for
from tests.drills.world import CONTACT, LEAD, connections

DEADLINE_S = 30.0


class Shop:
    """What a test needs to deliver and to look: include folder, database, sandbox."""

    def __init__(self, folder: Path, store: sa.Engine, sandbox: SandboxProcess, environment: dict[str, str]) -> None:
        self.folder, self.store, self.sandbox = folder, store, sandbox
        self.environment = environment
        self.inbox = Inbox(store)
        (folder / "mappings/drill").mkdir(parents=True)
        (folder / "actions").mkdir()
        (folder / "mappings/drill/lead.csv").write_text(LEAD)
        (folder / "mappings/drill/contact.csv").write_text(CONTACT)

    def action(self, name: str = "booth", fulfillment: str = "{}", more: str = "") -> None:
        text = f"account: dynamics_default\nmapping: drill\nduplicates: {{check: leads}}\ncreate: lead\n{more}"
        (self.folder / f"actions/{name}.yaml").write_text(f"{text}triggers: {{fulfillment: {fulfillment}}}\n")

    def service(self) -> SyncService:
        from dynamics.store.database import create_store

        def connection_of(name: str) -> Any:
            return connection_from_json(name, self.environment[f"AIRFLOW_CONN_{name.upper()}"])

        return SyncService(create_store(self.store.url), connection_of, self.folder)

    def deliver(self, message_id: str, kind: str, data: Any) -> None:
        """As the web app does once a signature is right."""
        accepted = read_message("captello_default", None, message_id, message(message_id, kind, data))
        self.inbox.accept(accepted.delivery, with_match_keys(accepted.prospects) if accepted.prospects else [])

    def rows(self, query: str) -> list[Any]:
        return rows(self.store, query)

    def states(self) -> dict[str, str]:
        return {row["delivery_id"]: row["state"] for row in self.rows("SELECT * FROM sync.webhook_delivery")}

    def all_done(self) -> bool:
        return not self.rows("SELECT 1 FROM sync.webhook_delivery WHERE state IN ('due', 'sorted')")

    def let_pass(self, more: str = "") -> None:
        """As if the pauses of all open errands were over."""
        with self.store.begin() as connection:
            text = f"UPDATE sync.webhook_errand SET available_at = now() {more} WHERE done_at IS NULL"
            connection.execute(sa.text(text))

    def leads(self) -> list[Any]:
        return list(self.sandbox.control("GET", "rows?table=lead"))

    def outcomes(self) -> list[tuple[str, str, str]]:
        found = self.rows("SELECT action, prospect_id, outcome FROM sync.audit_outcome ORDER BY settled_at")
        return [(row["action"], row["prospect_id"], row["outcome"]) for row in found]


class Serving:
    """A worker that is at work. `summary` ends it."""

    def __init__(self, shop: Shop, service: SyncService, future: Future[Summary]) -> None:
        self.shop, self.service, self.future = shop, service, future

    def wait(self, what: Any = None) -> None:
        """Until everything delivered is done, or what is asked for."""
        assert wait_for(what or self.shop.all_done, DEADLINE_S), (self.shop.states(), self.shop.outcomes())

    def stop(self) -> Summary:
        self.service.stopping.set()
        return self.future.result(DEADLINE_S)


@contextmanager
def serving(shop: Shop, lasts_s: float | None = None) -> Iterator[Serving]:
    service = shop.service()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(Worker(service, "test").run, lasts_s)
        try:
            yield Serving(shop, service, future)
        finally:
            service.stopping.set()
            future.exception(DEADLINE_S)
            service.audit.dispose()


@pytest.fixture
def shop(tmp_path: Path, store: sa.Engine, sandbox: SandboxProcess) -> Shop:
    url = store.url.render_as_string(hide_password=False)
    return Shop(tmp_path / "include", store, sandbox, connections(sandbox, url))
