"""Nightly: what was kept long enough is removed, silent runs are closed, links and actions are held against the CRM."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from dynamics.operators.automation import ReportBacklogs
from dynamics.operators.defaults import task_defaults
from dynamics.operators.maintenance import (
    CheckActions,
    CheckLinks,
    CloseSilentRuns,
    RemoveOldAudit,
    RemovePersonalData,
)

DOC = """
### Keeps house, every night

- **remove_personal_data** empties prospects whose `retain_until`, or the default time, is over.
- **remove_old_audit** deletes runs that ended long ago, and the ids of old webhook deliveries.
- **close_silent_runs** closes runs that nobody works on any more; what was open there becomes `deferred`.
- **check_links** asks Dynamics for the next of the linked records, and marks links whose record is gone.
- **check_actions** holds every sync action against its organisation and tells what has changed there.

**When it is red:** open the log of the red task; the others have done their work all the same. *check_actions*: an
action would not start, or would reject prospects; correct what the log names. *check_links*: an account, or the rights
of its application user, need a person.

How long things are kept stands in `include/settings.yaml`. Nothing is ever deleted in Dynamics, work that is open is
never touched, and the links that keep a person from being created twice stay. A task that failed can be cleared at any
time: it goes on where it ended.
"""


@dag(
    dag_id="dynamics_maintenance",
    dag_display_name="Dynamics: maintenance",
    description="Removes what was kept long enough, closes silent runs, checks links and actions against Dynamics.",
    schedule="15 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dynamics", "maintenance", "nightly"],
    default_args=task_defaults(retry_delay=timedelta(minutes=5), transient_delay=timedelta(minutes=10)),
    doc_md=DOC,
)
def dynamics_maintenance() -> None:
    RemovePersonalData(task_id="remove_personal_data")
    RemoveOldAudit(task_id="remove_old_audit")
    CloseSilentRuns(task_id="close_silent_runs")
    CheckLinks(task_id="check_links")
    CheckActions(task_id="check_actions")
    ReportBacklogs(task_id="report_backlogs")


dynamics_maintenance()
