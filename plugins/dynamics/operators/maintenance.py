"""The tasks of the nightly DAG, each for itself: one that fails hides no other. XCom carries counts only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from dynamics.config import list_actions
from dynamics.core.balance import judge
from dynamics.errors import AccountError, DynamicsError, TransientError
from dynamics.hooks.notifiers import notifier_faults
from dynamics.maintenance import LinkReport, Maintenance
from dynamics.operators.sync import ServiceOperator
from dynamics.operators.telling import tell_ended
from dynamics.preflight import Findings
from dynamics.reporting import change_lines

if TYPE_CHECKING:
    from airflow.sdk import Context


class _MaintenanceOperator(ServiceOperator):
    """A part of the maintenance: it is done, its counts are told."""

    def execute(self, context: Context) -> dict[str, int]:
        """Raises TransientError, for Airflow's retry, when somebody could not be asked now."""
        try:
            with self._service() as service:
                counts = self._maintain(Maintenance(service), context)
        except AccountError as error:
            for line in str(error).splitlines():
                self.log.error("%s", line)
            raise AirflowFailException(f"{self.task_id}: {error}") from None
        self._tell_counts(counts)
        return counts

    def _maintain(self, maintenance: Maintenance, context: Context) -> dict[str, int]:
        raise NotImplementedError

    def _tell_counts(self, counts: dict[str, int]) -> None:
        for name, count in counts.items():
            self.log.info("%s: %d", name.replace("_", " "), count)


class RemovePersonalData(_MaintenanceOperator):
    """Empty prospects that have been kept long enough."""

    def _maintain(self, maintenance: Maintenance, context: Context) -> dict[str, int]:  # noqa: ARG002 - for all alike
        return maintenance.remove_personal_data()


class RemoveOldAudit(_MaintenanceOperator):
    """Delete runs that ended long ago, and the ids of old webhook deliveries."""

    def _maintain(self, maintenance: Maintenance, context: Context) -> dict[str, int]:  # noqa: ARG002 - for all alike
        return maintenance.remove_old_audit()


class CloseSilentRuns(_MaintenanceOperator):
    """Close runs that nobody works on any more. No report has told of them, so it is told here."""

    def _maintain(self, maintenance: Maintenance, context: Context) -> dict[str, int]:
        closed = maintenance.close_silent_runs()
        ledger = maintenance.service.ledger
        for run_id in closed:
            run, counts = ledger.run(run_id), ledger.counts(run_id)
            tell_ended(maintenance.service, context, run, judge(counts, max_rejected_percent=100))
        return {"runs": len(closed), "prospects": sum(closed.values())}


class CheckLinks(_MaintenanceOperator):
    """Hold the next links against the CRM. Red when an organisation needs a person, after all others were checked."""

    def _maintain(self, maintenance: Maintenance, context: Context) -> dict[str, int]:  # noqa: ARG002 - for all alike
        report = maintenance.check_links()
        self._raise_troubles(report)
        return report.counts()

    def _raise_troubles(self, report: LinkReport) -> None:
        if not report.troubles:
            return
        self._tell_counts(report.counts())
        for trouble in report.troubles:
            self.log.error("%s", trouble)
        lasting = [trouble for trouble in report.troubles if not isinstance(trouble, TransientError)]
        raise lasting[0] if lasting else report.troubles[0]


class CheckActions(ServiceOperator):
    """Check every sync action and log what has changed. Red when a run would not begin, or would reject prospects."""

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 - Airflow's signature
        """Raises TransientError, for Airflow's retry, when all that is wrong is that somebody could not be asked."""
        with self._service() as service:
            names = list_actions(service.include)
            found = [service.check(name, {}) for name in names]
            settings = notifier_faults(service.include)
        for findings in found:
            self._tell(findings)
        for fault in settings:
            self.log.error("%s", fault)
        wrong = [findings for findings in found if findings.faults or findings.rejecting or _is_shut_out(findings)]
        if wrong:
            names_wrong = ", ".join(findings.name for findings in wrong)
            raise AirflowFailException(f"{len(wrong)} of {len(found)} actions need a person: {names_wrong}")
        if settings:
            raise AirflowFailException(f"include/settings.yaml needs a person: {len(settings)} faults")
        for findings in found:
            if findings.error is not None:
                raise findings.error
        return {"actions": len(found), "changes": sum(len(findings.changes) for findings in found)}

    def _tell(self, findings: Findings) -> None:
        for fault in findings.faults:
            self.log.error("%s: %s", findings.name, fault)
        if findings.error is not None:
            self.log.error("%s: %s", findings.name, findings.error)
        for line in change_lines(findings):
            self.log.warning("%s: changed: %s", findings.name, line)
        if not (findings.faults or findings.error or findings.changes):
            self.log.info("%s: nothing is wrong, nothing has changed", findings.name)


def _is_shut_out(findings: Findings) -> bool:
    error: DynamicsError | None = findings.error
    return error is not None and not isinstance(error, TransientError)
