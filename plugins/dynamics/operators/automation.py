"""The tasks of automation and backfill DAGs that differ from those of a bulk sync, and the report of who is behind.

A scheduled or manual run goes by the action's cursor. A backfill run takes the prospects captured in its data interval;
nothing else here looks at an interval.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from dynamics.assembly import SyncService
from dynamics.automations import captured_between
from dynamics.config import read_action
from dynamics.core.capture import Selection
from dynamics.core.where import Where
from dynamics.errors import ConfigurationError, Fault
from dynamics.operators.sync import DiscoverProspects, PreflightRun, ServiceOperator
from dynamics.run_request import AUTOMATION, BACKFILL, CAPTELLO, RunRequest

if TYPE_CHECKING:
    from airflow.sdk import Context

ITEMS_A_WORKER = 500  # a chunk: fewer prospects keep no second worker busy


class PreflightAutomation(PreflightRun):
    """Check the action and open a run of it. With `interval_only` the DAG has backfill runs alone."""

    def __init__(self, *, action: str, interval_only: bool = False, **kwargs: Any) -> None:
        super().__init__(trigger=BACKFILL if interval_only else AUTOMATION, **kwargs)
        self.action = action
        self.interval_only = interval_only

    def _request(self, service: SyncService, context: Context) -> RunRequest:
        """What cannot be read of the action is told by the preflight, with all else that is wrong."""
        dag_run = context["dag_run"]
        by_interval = self.interval_only or dag_run.run_type == "backfill"
        action = read_action(service.include, self.action).action
        automation = action.triggers.automation if action is not None else None
        where = automation.where.rule() if automation is not None else Where()
        return RunRequest(
            action=self.action,
            trigger=BACKFILL if by_interval else AUTOMATION,
            overrides={},
            source_connection=automation.source if automation is not None else CAPTELLO,
            selection=captured_between(where, *_interval(context)) if by_interval else Selection(),
            dry_run=bool(context["params"].get("dry_run")),
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.run_id,
            clear_number=dag_run.clear_number or 0,
        )


class DiscoverDue(DiscoverProspects):
    """Bring what is due into the run. Returns one number a worker, none when there is nothing to do."""

    def _workers(self, context: Context, service: SyncService, selected: int) -> int:  # noqa: ARG002 - see the base
        return min(service.workers(self._run_id()), -(-selected // ITEMS_A_WORKER))


class ReportBacklogs(ServiceOperator):
    """Say how far each automation is behind. Red when one has not read its source when it should have."""

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 - Airflow's signature
        with self._service() as service:
            found = service.backlogs()
        for each in found:
            (self.log.warning if each.is_late or each.grows else self.log.info)(
                "automation of %s %s", each.action, each
            )
        late = [each.action for each in found if each.is_late]
        if late:
            raise AirflowFailException(
                f"{len(late)} of {len(found)} automations do not run as their schedule says: {', '.join(late)}. "
                "Switch their DAGs on, or take `automation` out of the actions' files"
            )
        return {"automations": len(found), "unsettled": sum(each.unsettled for each in found)}


def _interval(context: Context) -> tuple[datetime, datetime]:
    """The run's data interval. Raises ConfigurationError: it has none, as a run triggered without a date."""
    run = context["dag_run"]
    start, end = run.data_interval_start, run.data_interval_end
    if start is None or end is None or not start < end:
        what = "has no interval of time, so there is nothing to choose prospects by."
        remedy = f"Start one with `airflow backfill create --dag-id {run.dag_id} --from-date ... --to-date ...`."
        raise ConfigurationError([Fault(f"run {run.run_id}", None, what, remedy)])
    return start, end
