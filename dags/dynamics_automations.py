"""A DAG for each sync action with an automation, and one to backfill it: their schedules stand in include/actions.

Parsing reads those files and nothing else. Of an action whose file has faults the DAG stays as long as its schedule can
be read: its preflight lists the faults. All of them show as an import error of `dynamics_broken_actions.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, Param
from airflow.task.trigger_rule import TriggerRule

from dynamics.config import PERIODS, Automation, include_directory, scheduled_actions
from dynamics.operators.automation import DiscoverDue, PreflightAutomation
from dynamics.operators.defaults import task_defaults
from dynamics.operators.sync import ReportRun, SyncProspects
from dynamics.timetables import OnRequestTimetable

SETTINGS: dict[str, Any] = {
    "start_date": datetime(2000, 1, 1, tzinfo=UTC),  # as far back as a backfill may reach
    "catchup": False,  # what was missed is found by the cursor
    "max_active_runs": 1,  # a backfill has its own
    "default_args": task_defaults(),
    "params": {
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Decide and log every outcome, write nothing to Dynamics; the cursor stays.",
        )
    },
}


def syncing(action: str, interval_only: bool) -> None:
    preflight = PreflightAutomation(task_id="preflight", action=action, interval_only=interval_only)
    run_id = preflight.output
    discover = DiscoverDue(task_id="discover", sync_run_id=run_id)
    sync = SyncProspects.partial(
        task_id="sync", sync_run_id=run_id, map_index_template="worker {{ task.worker + 1 }}"
    ).expand(worker=discover.output)
    report = ReportRun(task_id="report", sync_run_id=run_id, trigger_rule=TriggerRule.ALL_DONE)
    preflight >> discover >> sync >> report


def automation_dag(action: str, automation: Automation, doc: str) -> None:
    with DAG(
        dag_id=f"dynamics_automation__{action}",
        dag_display_name=f"Dynamics: automation {action}",
        description=f"Syncs what is new for the action {action}, on its schedule.",
        schedule=CronDataIntervalTimetable(automation.schedule, timezone=automation.timezone),
        tags=["dynamics", "automation"],
        doc_md=doc,
        **SETTINGS,
    ):
        syncing(action, interval_only=False)


def backfill_dag(action: str, automation: Automation, doc: str) -> None:
    with DAG(
        dag_id=f"dynamics_backfill__{action}",
        dag_display_name=f"Dynamics: backfill {action}",
        description=f"Brings in history for the action {action}, by {automation.backfill_every} of capture.",
        schedule=OnRequestTimetable(PERIODS[automation.backfill_every], timezone="UTC"),
        tags=["dynamics", "backfill"],
        doc_md=doc,
        **SETTINGS,
    ):
        syncing(action, interval_only=True)


for found in scheduled_actions(include_directory()):
    automation_dag(found.name, found.automation, found.doc("automation"))
    backfill_dag(found.name, found.automation, found.doc("backfill"))
