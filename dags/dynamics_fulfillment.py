"""Fulfillment, at once: a worker that is always there syncs what webhooks bring.

The task waits to be woken by the audit database, so a capture is in Dynamics within a second or so. It ends every hour
and Airflow starts it anew; what arrives in between waits in the inbox. It is red when one of its sync runs was red, and
at once when an action can no longer be served; then, too, the next one takes over, and tries with growing pauses.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, dag

from dynamics.operators.fulfillment import FulfillmentOperator


@dag(
    dag_id="dynamics_fulfillment",
    dag_display_name="Dynamics: fulfillment",
    description="Always on: syncs what Captello's webhooks bring, at once, by the actions that answer.",
    schedule="@continuous",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dynamics", "fulfillment"],
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_policy": ExceptionRetryPolicy(
            rules=[
                RetryRule("dynamics.errors.TransientError", RetryAction.RETRY, timedelta(seconds=30)),
                RetryRule("dynamics.errors.AccountError", RetryAction.RETRY, timedelta(minutes=5)),
            ],
        ),
    },
    doc_md=__doc__,
)
def dynamics_fulfillment() -> None:
    FulfillmentOperator(task_id="serve", lasts=timedelta(hours=1))


dynamics_fulfillment()
