"""Nightly: every sync action is held against its organisation, and what has changed there is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, dag

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
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": ExceptionRetryPolicy(
            rules=[
                RetryRule("dynamics.errors.TransientError", RetryAction.RETRY, timedelta(minutes=10)),
                RetryRule("dynamics.errors.AccountError", RetryAction.FAIL, reason="a person must act: see the log"),
            ],
        ),
    },
    doc_md=__doc__,
)
def dynamics_maintenance() -> None:
    CheckActions(task_id="check_actions")


dynamics_maintenance()
