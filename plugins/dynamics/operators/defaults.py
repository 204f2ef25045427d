"""How the tasks of all DAGs behave when something goes wrong: by the type of the error, in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule


def task_defaults(
    retry_delay: timedelta = timedelta(seconds=30), transient_delay: timedelta = timedelta(minutes=1)
) -> dict[str, Any]:
    """A DAG's `default_args`: what may pass is tried again, what needs a person ends the task at once.

    Args:
        retry_delay: after what we do not know.
        transient_delay: after a service that could not serve.
    """
    return {
        "retries": 3,
        "retry_delay": retry_delay,
        "retry_policy": ExceptionRetryPolicy(
            rules=[
                RetryRule("dynamics.errors.TransientError", RetryAction.RETRY, transient_delay),
                RetryRule("dynamics.errors.AccountError", RetryAction.FAIL, reason="a person must act: see the log"),
            ],
        ),
    }
