"""How the tasks of a run let people know of a change of state."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dynamics.assembly import SyncService
from dynamics.core.balance import Verdict
from dynamics.core.ledger import Run
from dynamics.errors import ConfigurationError
from dynamics.hooks.notifiers import dag_run_page, notices_of
from dynamics.notices import Notices

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger("dynamics.notices")


def tell_ended(service: SyncService, context: Context, run: Run, verdict: Verdict) -> None:
    """A run was judged: whoever is to hear of it does. Changes nothing about the run."""
    notices = _notices(service, context)
    if notices is not None:
        notices.run_ended(run, verdict)


def tell_not_begun(service: SyncService, context: Context, action: str, trigger: str, faults: str) -> None:
    """The same of a run that failed before there was one. `faults`: what must be done, one sentence a line."""
    dag_run = context["dag_run"]
    notices = _notices(service, context)
    if notices is not None:
        notices.run_not_begun(action, trigger, faults, dag_run_page(dag_run.dag_id, dag_run.run_id))


def _notices(service: SyncService, context: Context) -> Notices | None:
    """None when the settings have faults, which are logged."""
    try:
        return notices_of(service, context)
    except ConfigurationError as wrong:
        for fault in wrong.faults:
            log.error("nobody can be told: %s", fault)
        return None
