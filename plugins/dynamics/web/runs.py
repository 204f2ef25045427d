"""The pages of runs: the newest ones, and what became of the prospects of one. They read, and hold ids and codes only.

Who may see them is decided by the door in front of the app. Everything is escaped, and a browser loads nothing but the
page itself: no script, no image, no style of others.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from dynamics.core.ledger import Outcome
from dynamics.errors import DynamicsError
from dynamics.hooks.audit import audit_url
from dynamics.store.audit import AuditLog
from dynamics.store.database import check_schema, create_store

log = logging.getLogger("dynamics.web")

RUNS_SHOWN, LINES_SHOWN, CAUSES_SHOWN = 50, 100, 12
CONNECTIONS, PATIENCE_S = 2, 5  # to the audit database, of each process of the API server
REPEATS_S = (0.1, 0.5)  # somebody waits for the page
LARGEST_KEY = 2**63 - 1

router = APIRouter()


@dataclass
class Reading:
    """The audit log behind the pages, opened by whoever comes first. `open_audit` raises DynamicsError."""

    open_audit: Callable[[], AuditLog]

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._audit: AuditLog | None = None

    def audit(self) -> AuditLog:
        """Raises DynamicsError: the database is not there, or not upgraded."""
        with self._lock:
            if self._audit is None:
                self._audit = self.open_audit()
            return self._audit


def airflow_reading() -> Reading:
    """The audit database that Airflow's connection leads to."""

    def open_audit() -> AuditLog:
        engine = create_store(audit_url(), CONNECTIONS, PATIENCE_S)
        try:
            check_schema(engine)
        except DynamicsError:
            engine.dispose()
            raise
        return AuditLog(engine, REPEATS_S)

    return Reading(open_audit)


@router.get("/runs")
def newest_runs(request: Request) -> HTMLResponse:
    """The newest runs of all actions."""
    return _read(request, lambda audit: _page(request, "runs.html", runs=audit.runs(RUNS_SHOWN)))


@router.get("/runs/{run_id}")
def one_run(
    request: Request,
    run_id: str,
    outcome: str | None = None,
    after: Annotated[int, Query(ge=0, le=LARGEST_KEY)] = 0,
) -> HTMLResponse:
    """One run: its balance, the causes, and its outcomes, those of one word or all, page by page."""
    word = outcome if outcome in list(Outcome) else None

    def show(audit: AuditLog) -> HTMLResponse:
        run = audit.find_run(known) if (known := _uuid(run_id)) is not None else None
        if run is None:
            return _page(request, "missing.html", status=404)
        lines = audit.outcome_lines(run.run_id, word, after, LINES_SHOWN + 1)
        return _page(
            request,
            "run.html",
            run=run,
            causes=audit.causes(run.run_id)[:CAUSES_SHOWN],
            lines=lines[:LINES_SHOWN],
            outcome=word,
            after=after,
            next_after=lines[LINES_SHOWN - 1].prospect_key if len(lines) > LINES_SHOWN else None,
        )

    return _read(request, show)


# ---------------------------------------------------------------- pieces


def _read(request: Request, show: Callable[[AuditLog], HTMLResponse]) -> HTMLResponse:
    reading: Reading = request.app.state.reading
    try:
        return show(reading.audit())
    except DynamicsError as error:
        log.error("a page of runs cannot be shown: %s", error)
        return _page(request, "away.html", status=503)


def _page(request: Request, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    root = str(request.scope.get("root_path", ""))
    airflow = root.removesuffix("/dynamics")
    text = _templates().get_template(template).render(root=root, airflow=airflow, words=list(Outcome), **shown)
    return HTMLResponse(text, status, headers={"Content-Security-Policy": _policy()})


@lru_cache(maxsize=1)
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("dynamics.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters |= {"when": _when, "number": "{:,}".format, "web": _web_address, "part": _part}
    return made


@lru_cache(maxsize=1)
def _policy() -> str:
    """Nothing is loaded, sent or framed elsewhere; of styles only the page's own, known by its hash."""
    style = _templates().get_template("style.css").render()
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def _when(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC" if instant is not None else "\N{EM DASH}"


def _web_address(url: str | None) -> str | None:
    """A link is shown only if it leads to a server by HTTPS."""
    return url if url is not None and url.startswith("https://") else None


def _part(text: str) -> str:
    """One part of a path."""
    return quote(text, safe="")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
