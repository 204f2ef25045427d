"""The tasks of the nightly DAG. They wire hook, store and engine together; XCom carries counts only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from dynamics.config import list_actions
from dynamics.errors import DynamicsError, TransientError
from dynamics.operators.sync import ServiceOperator
from dynamics.preflight import Findings
from dynamics.reporting import change_lines

if TYPE_CHECKING:
    from airflow.sdk import Context


class CheckActions(ServiceOperator):
    """Check every sync action and log what has changed. Red when a run would not begin, or would reject prospects."""

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 - Airflow's signature
        """Raises TransientError, for Airflow's retry, when all that is wrong is that somebody could not be asked."""
        with self._service() as service:
            names = list_actions(service.include)
            found = [service.check(name, {}) for name in names]
        for findings in found:
            self._tell(findings)
        wrong = [findings for findings in found if findings.faults or findings.rejecting or _is_shut_out(findings)]
        if wrong:
            names_wrong = ", ".join(findings.name for findings in wrong)
            raise AirflowFailException(f"{len(wrong)} of {len(found)} actions need a person: {names_wrong}")
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
