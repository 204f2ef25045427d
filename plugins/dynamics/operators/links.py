"""The link from a task of a run to the run's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from dynamics.hooks.notifiers import run_page

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class RunPageLink(BaseOperatorLink):
    """A button on the task: what became of every prospect of the run."""

    name = "Outcomes of this run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """Asked for in the task itself, when it ends. Empty as long as there is no run."""
        run_id = getattr(operator, "sync_run_id", None)
        return run_page(str(run_id)) if run_id else ""
