"""Nightly: every sync action is held against its organisation, and what has changed there is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from dynamics.operators.automation import ReportBacklogs
from dynamics.operators.defaults import task_defaults
from dynamics.operators.maintenance import CheckActions


@dag(
    dag_id="dynamics_maintenance",
    dag_display_name="Dynamics: maintenance",
    description="Checks every sync action against its Dynamics organisation and reports what has changed there.",
    schedule="15 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dynamics", "maintenance"],
    default_args=task_defaults(timedelta(minutes=5), timedelta(minutes=10)),
    doc_md=__doc__,
)
def dynamics_maintenance() -> None:
    CheckActions(task_id="check_actions")
    ReportBacklogs(task_id="report_backlogs")


dynamics_maintenance()
