"""The four tasks of a syncing DAG: preflight, discover, sync, report. They wire hook, store and engine together.

XCom carries the run's id, worker numbers and counts; prospects travel through the audit database only.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from dynamics.assembly import SyncService
from dynamics.core.capture import Selection
from dynamics.core.ledger import Outcome, Run, RunCounts
from dynamics.errors import AccountError, ConfigurationError, Fault
from dynamics.hooks.notifiers import notifier_faults
from dynamics.hooks.service import sync_service
from dynamics.operators.links import RunPageLink
from dynamics.operators.telling import tell_ended, tell_not_begun
from dynamics.process import spare_the_collector
from dynamics.reporting import outcome_lines
from dynamics.run_request import RunRequest, outcomes_to_retry, retry_of, run_id_from
from dynamics.store.audit import AuditLog

if TYPE_CHECKING:
    from airflow.sdk import Context

OVERRIDES = ("account", "duplicate_check", "match_by", "duplicate_action", "create", "max_rejected_percent")
ASKED = "asked"  # XCom of preflight: action and trigger, of a run that people are told of
RECORDS_SHOWN = 2
CAUSES_SHOWN = 4


class ServiceOperator(BaseOperator):
    """A task that works with the service. `audit_conn_id` names the connection of the audit database."""

    def __init__(self, *, audit_conn_id: str = "dynamics_audit", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audit_conn_id = audit_conn_id
        self._working: SyncService | None = None

    def on_kill(self) -> None:
        """SIGTERM: settle what is on the wire, give the rest back, then `execute` ends with StoppedError."""
        if self._working is not None:
            self._working.stopping.set()

    def _service(self) -> SyncService:
        self._working = sync_service(self.audit_conn_id)
        return self._working


class _SyncOperator(ServiceOperator):
    """A task of a sync run."""

    template_fields = ("sync_run_id",)
    operator_extra_links = (RunPageLink(),)

    def __init__(self, *, sync_run_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sync_run_id = sync_run_id

    def _log_table(self, outcomes: Mapping[str, int], causes: list[tuple[str, str, int]]) -> None:
        for line in outcome_lines(outcomes, causes):
            self.log.info("%s", line)

    def _run_id(self) -> uuid.UUID:
        return uuid.UUID(str(self.sync_run_id))


class PreflightRun(_SyncOperator):
    """Check everything before anything is claimed, open the run and return its id. Lists every fault at once."""

    def __init__(self, *, trigger: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trigger = trigger

    def execute(self, context: Context) -> str:
        try:
            with self._service() as service:
                run = self._open(service, context)
        except AccountError as error:
            for line in str(error).splitlines():
                self.log.error("%s", line)
            raise AirflowFailException(f"preflight: {error}") from None
        self.sync_run_id = str(run.run_id)  # for the link to its page
        action = run.settings["action"]
        self.log.info("run %s%s: action %s", run.run_id, " (dry run)" if run.dry_run else "", run.action)
        self.log.info("account %s, organisation %s", run.account, run.organization_id)
        self.log.info("duplicates: %s", ", ".join(f"{name} {word}" for name, word in action["duplicates"].items()))
        self.log.info("create %s; mapping %s (%.12s)", action["create"], action["mapping"], run.mapping_hash)
        return str(run.run_id)

    def _open(self, service: SyncService, context: Context) -> Run:
        """The run that is asked for. If it cannot begin, whoever is to hear of it does."""
        request = self._request(service, context)
        if not request.dry_run:
            context["ti"].xcom_push(ASKED, [request.action, request.trigger])
        for fault in notifier_faults(service.include):
            self.log.error("%s", fault)
        try:
            return service.open_run(request)
        except AccountError as error:
            if not request.dry_run:
                tell_not_begun(service, context, request.action, request.trigger, error.detail or str(error))
                context["ti"].xcom_push(ASKED, None)  # there is nothing left for `report` to tell
            raise

    def _request(self, service: SyncService, context: Context) -> RunRequest:  # noqa: ARG002 - see `PreflightAutomation`
        """What the DAG run asks for. Raises ConfigurationError."""
        dag_run = context["dag_run"]
        request = request_from(context["params"], self.trigger, dag_run.dag_id, dag_run.run_id)
        return replace(request, clear_number=dag_run.clear_number or 0)


class PreflightRetry(PreflightRun):
    """The same for a retry of the run that the param `sync_run_id` names."""

    def __init__(self, *, trigger: str = "retry", **kwargs: Any) -> None:
        super().__init__(trigger=trigger, **kwargs)

    def _request(self, service: SyncService, context: Context) -> RunRequest:
        params, dag_run = context["params"], context["dag_run"]
        run_id = run_id_from(params.get("sync_run_id"), "sync_run_id")
        return retry_of(
            service.ledger.run(run_id),
            outcomes_to_retry(params.get("outcomes") or ()),
            dry_run=bool(params.get("dry_run")),
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.run_id,
            clear_number=dag_run.clear_number or 0,
        )


class DiscoverProspects(_SyncOperator):
    """Bring the selected prospects into the run. Returns one number per worker, to map the sync task over."""

    def execute(self, context: Context) -> list[int]:
        with self._service() as service:
            service.discover(self._run_id())
            selected = service.ledger.counts(self._run_id()).selected
            workers = self._workers(context, service, selected)
        self.log.info("%d prospects selected", selected)
        return list(range(workers))

    def _workers(self, context: Context, service: SyncService, selected: int) -> int:  # noqa: ARG002 - see `DiscoverDue`
        """How many tasks share the work."""
        return int(context["params"].get("workers") or 1)


class SyncProspects(_SyncOperator):
    """One worker: claims prospects of the run until none is left. Any number of them work side by side."""

    def __init__(self, *, worker: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.worker = worker

    def execute(self, context: Context) -> dict[str, int]:
        """Raises StoppedError, for Airflow's retry, when the task is told to end before the run has."""
        ti = context["ti"]
        name = f"{ti.task_id}[{self.worker}] try {ti.try_number}"
        spare_the_collector()
        with self._service() as service:
            drained = service.drain(self._run_id(), name)
            causes = AuditLog(service.audit).causes(self._run_id(), ("rejected", "deferred"))[:CAUSES_SHOWN]
        self._log_table({str(outcome): count for outcome, count in drained.outcomes.items()}, [])
        for cause in causes:
            self.log.info("in the whole run so far: %s", cause)
        return {str(outcome): count for outcome, count in sorted(drained.outcomes.items())}


class ReportRun(_SyncOperator):
    """Close the run: the balance, the causes, some records. Red when it does not balance or too many were rejected."""

    def execute(self, context: Context) -> dict[str, int]:
        if not self.sync_run_id:
            self._tell_not_begun(context)
            raise AirflowFailException("no run was opened: see the log of preflight")
        with self._service() as service:
            verdict = service.conclude(self._run_id())
            run = service.ledger.run(self._run_id())
            self.log.info("%s%s", "dry run, nothing was written: " if run.dry_run else "", verdict.balance())
            self._show(AuditLog(service.audit), verdict.counts)
            tell_ended(service, context, run, verdict)
        self.log.info("all outcomes: dynamics-sync log --run %s", self._run_id())
        if verdict.counts.rejected or verdict.counts.deferred:
            self.log.info("once corrected: DAG dynamics_retry, or dynamics-sync retry --run %s", self._run_id())
        if not verdict.ok:
            raise AirflowFailException("; ".join(verdict.problems))
        counts = verdict.counts
        return dict(
            Counter(
                selected=counts.selected,
                created=counts.created,
                updated=counts.updated,
                unchanged=counts.unchanged,
                skipped=counts.skipped,
                rejected=counts.rejected,
                deferred=counts.deferred,
            )
        )

    def _tell_not_begun(self, context: Context) -> None:
        """Preflight has told of what it found wrong; whatever else kept it from its end is told of here."""
        asked = context["ti"].xcom_pull(task_ids="preflight", key=ASKED)
        if asked:
            action, trigger = asked
            with self._service() as service:
                tell_not_begun(service, context, action, trigger, "Preflight did not come to its end: see its log.")

    def _show(self, audit: AuditLog, counts: RunCounts) -> None:
        """The outcomes, why prospects were not written, and links to some records."""
        causes = audit.causes(self._run_id())
        shown: list[tuple[str, str, int]] = []
        others = Counter[str]()
        for cause in causes:
            if sum(outcome == cause.outcome for outcome, _, _ in shown) < CAUSES_SHOWN:
                shown.append((cause.outcome, cause.why or "no reason given", cause.prospects))
            else:
                others[cause.outcome] += cause.prospects
        shown += [(outcome, "other reasons", prospects) for outcome, prospects in others.items()]
        self._log_table({name: getattr(counts, name) for name in ("selected", *Outcome)}, shown)
        for outcome in (Outcome.CREATED, Outcome.UPDATED):
            for row in audit.outcomes(self._run_id(), outcome=outcome.value, limit=RECORDS_SHOWN):
                if row.record_url:  # a dry run has made none
                    self.log.info("%s, for example %s", outcome, row.record_url)


def request_from(params: Mapping[str, Any], trigger: str, dag_id: str, dag_run_id: str) -> RunRequest:
    """A DAG run's params as a run request. Raises ConfigurationError when a param cannot be read."""
    return RunRequest(
        action=params["action"],
        trigger=trigger,
        overrides={name: params[name] for name in OVERRIDES if params.get(name) is not None},
        source=params.get("source") or "captello",
        source_connection=params.get("source_connection") or "captello_default",
        file=params.get("file"),
        selection=Selection(
            captured_from=_instant(params, "captured_from"),
            captured_to=_instant(params, "captured_to"),
            event_ids=tuple(params.get("event_ids") or ()),
            form_ids=tuple(params.get("form_ids") or ()),
            prospect_ids=tuple(params.get("prospect_ids") or ()),
        ),
        dry_run=bool(params.get("dry_run")),
        dag_id=dag_id,
        dag_run_id=dag_run_id,
    )


def _instant(params: Mapping[str, Any], name: str) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        fault = Fault("params", None, f"{name} is not a date and time.", "Write it like 2026-03-14T09:00:00+00:00.")
        raise ConfigurationError([fault]) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
