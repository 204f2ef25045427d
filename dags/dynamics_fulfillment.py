"""Fulfillment, at once: a worker that is always there syncs what webhooks bring.

The task waits to be woken by the audit database, so a capture is in Dynamics within a second or so. It ends every hour
and Airflow starts it anew; what arrives in between waits in the inbox. It is red when one of its sync runs was red, and
at once when an action can no longer be served; then, too, the next one takes over, and tries with growing pauses.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, dag

from dynamics.operators.fulfillment import FulfillmentOperator

DOC = """
### Syncs at once what webhooks bring

One worker is always there. The audit database wakes it when a webhook has come, so a capture is in Dynamics within a
second or so, by every sync action that answers (`triggers.fulfillment` in its file). The task ends every hour and
Airflow starts it anew; what arrives in between waits in the inbox, and is taken first. Nothing is lost while it is off.

**When it is red:** the log of *serve* names the action and what is wrong. An action that cannot be served (its file,
mapping, account or rights) needs a person; the next worker takes over by itself, with growing pauses, and works off
what has waited. If a sync run of it was red, prospects were rejected: **Browse > Dynamics runs** shows the run; correct
the cause and start **Dynamics: retry** with its id.
"""


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
    doc_md=DOC,
)
def dynamics_fulfillment() -> None:
    FulfillmentOperator(task_id="serve", lasts=timedelta(hours=1))


dynamics_fulfillment()
