"""The task of `dynamics_fulfillment`: the warm worker that syncs what webhooks bring."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from dynamics.assembly import SyncService
from dynamics.errors import AccountError, StoppedError
from dynamics.fulfillment.worker import Summary, Worker
from dynamics.operators.sync import ServiceOperator
from dynamics.operators.telling import tell_ended, tell_not_begun
from dynamics.process import spare_the_collector

if TYPE_CHECKING:
    from airflow.sdk import Context

FULFILLMENT = "fulfillment"  # the trigger of its runs


class FulfillmentOperator(ServiceOperator):
    """Serve webhooks for so long, then end. Red when a sync run of it was red, or when an action cannot be served."""

    def __init__(self, *, lasts: timedelta = timedelta(hours=1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lasts = lasts

    def execute(self, context: Context) -> dict[str, int]:
        """Raises StoppedError, for Airflow's retry, when the task is told to end before its time."""
        ti, dag_run = context["ti"], context["dag_run"]
        spare_the_collector()
        with self._service() as service:
            worker = Worker(service, f"{ti.task_id} try {ti.try_number}", dag_run.dag_id, dag_run.run_id)
            summary = worker.run(self.lasts.total_seconds())
            for action, count in summary.open_errands.items():
                self.log.warning("%s: %d deliveries are still due; the next worker begins with them", action, count)
            self._tell(service, context, summary)
            if service.stopping.is_set():
                raise StoppedError("serve webhooks", detail="asked to stop; what is not settled is due")
        if summary.problems:
            for problem in summary.problems:
                self.log.error("%s", problem)
            raise AirflowFailException("; ".join(summary.problems))
        return {"runs": len(summary.closed), **summary.outcomes}

    def _tell(self, service: SyncService, context: Context, summary: Summary) -> None:
        """People hear of actions that begin to fail or work again. The worker ends at once when one turns bad."""
        for closed in summary.closed:
            tell_ended(service, context, service.ledger.run(closed.run_id), closed.verdict)
        for action, error in summary.blocked.items():
            if isinstance(error, AccountError):
                tell_not_begun(service, context, action, FULFILLMENT, error.detail or str(error))
