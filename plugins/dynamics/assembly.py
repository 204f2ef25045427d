"""Puts a run together: typed configuration in, the engine with its client, ledger and mapping out.

The one place where edges meet, used by the operators and by the command line alike. A run's settings are frozen when it
is opened; a worker that finds other mapping files than the run began with refuses to go on.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from dynamics.automations import Backlog, automation_of, backlog, read_by_capture, read_by_cursor
from dynamics.captello.client import CaptelloClient
from dynamics.clock import SystemClock
from dynamics.config import (
    MappingSet,
    SyncAction,
    line_of,
    list_actions,
    load_mapping_set,
    read_action,
)
from dynamics.connecting import ConnectionOf, Connector
from dynamics.core.balance import Drained, Verdict, judge
from dynamics.core.drift import as_json, faults_since, from_json
from dynamics.core.extras import with_columns
from dynamics.core.forecast import Forecast
from dynamics.core.ledger import Outcome, Run
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.draining import Drainer
from dynamics.errors import ConfigurationError, Fault
from dynamics.extras.making import ExtrasMaker, maker_of
from dynamics.extras.resolving import Problem, resolve
from dynamics.extras.resolving import check as check_extras
from dynamics.preflight import Findings, Preflight
from dynamics.process import STALE_AFTER_LEASES, lease_seconds
from dynamics.retrying import take_up
from dynamics.run_request import (
    AUTOMATION,
    BACKFILL,
    CAPTELLO,
    LEDGER,
    WEBHOOK,
    RunRequest,
    frozen,
    retried_of,
    selection_of,
)
from dynamics.store.budget import DatabaseBudget
from dynamics.store.ledger import PostgresLedger
from dynamics.sync.discovery import discover
from dynamics.sync.ports import Crm

log = logging.getLogger("dynamics.sync")


@dataclass(frozen=True)
class Vetted:
    """An action that was found in order, with what a run of it has to know. `seen`: what its tables looked like."""

    request: RunRequest
    action: SyncAction
    mapping_hash: str
    organization_id: uuid.UUID
    seen: Mapping[str, Any]

    def run(self, dag_run_id: str | None) -> Run:
        """A run under a new id, not stored yet."""
        request, action = self.request, self.action
        return Run(
            run_id=uuid.uuid4(),
            action=action.name,
            account=action.account,
            trigger=request.trigger,
            dry_run=request.dry_run,
            settings={"action": action.model_dump(mode="json"), "request": frozen(request), "seen": self.seen},
            mapping_hash=self.mapping_hash,
            organization_id=self.organization_id,
            dag_id=request.dag_id,
            dag_run_id=dag_run_id,
            clear_number=request.clear_number,
        )


@dataclass(frozen=True)
class SyncService:
    """Everything a face can do with runs. Close it, or use it as a context manager.

    Args:
        audit: the audit database, checked; it is let go of in the end.
        connection_of: resolves a connection id.
        include: the folder with actions and mappings.
        on_token: hears every access token, for whoever keeps secrets out of logs.
        stopping: set it, from any thread or signal handler, and whatever is at work stops with StoppedError: what is on
            the wire is settled, the rest of what is in hand given back, what was discovered kept.
    """

    audit: sa.Engine
    connection_of: ConnectionOf
    include: Path
    on_token: Callable[[str], None] = lambda _: None
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        self.audit.dispose()

    def of_a_thread(self) -> SyncService:
        """The same for one thread of several: what it learns of accounts is its own. Forget it in the end."""
        return replace(self)

    def forget(self) -> None:
        """Close what was learnt of accounts."""
        self._connector.forget()

    @cached_property
    def clock(self) -> SystemClock:
        return SystemClock(self.stopping)

    @cached_property
    def _connector(self) -> Connector:
        return Connector(self.audit, self.connection_of, self.clock, self.on_token)

    @cached_property
    def ledger(self) -> PostgresLedger:
        return PostgresLedger(self.audit)

    def open_run(self, request: RunRequest) -> Run:
        """Preflight, then store the run. Every fault of action, mapping, account and file at once, nothing claimed yet.

        Raises:
            ConfigurationError: the faults. AccountError, TransientError: the organisation could not be asked.
        """
        return self.begin(self.vet(request), request.dag_run_id)

    def vet(self, request: RunRequest) -> Vetted:
        """Preflight alone. Raises as `open_run`."""
        look = self._preflight()
        findings = look.look(request.action, request.overrides)
        with findings.collecting():
            self._check_source(request)
        if findings.action is not None:
            findings.faults += _forbidden(findings.action, request.trigger)
        action, mappings, organization = findings.passed()
        look.remember(findings, told=False)
        for change in findings.changes:
            log.warning("%s%s", change, ": prospects will be rejected for it" if change.rejects else "")
        seen = {table: as_json(columns) for table, columns in findings.seen.items()}
        return Vetted(request, action, mappings.digest, organization.organization_id, seen)

    def begin(self, vetted: Vetted, dag_run_id: str | None) -> Run:
        """Store a run of what was found in order. One preflight may be followed by several runs."""
        run = self.ledger.open_run(vetted.run(dag_run_id))
        self._budget(run, run.account).answers()
        stale_s = STALE_AFTER_LEASES * lease_seconds()
        self.ledger.abandon_stale_runs(run.account, run.organization_id, stale_s, run.run_id)
        return run

    def check(self, action: str, overrides: Mapping[str, Any], accept: bool = False) -> Findings:
        """Everything `open_run` checks of the action, told instead of raised, and what has changed since the last time.

        With `accept` changes that reject prospects are not told again.
        """
        look = self._preflight()
        findings = look.look(action, overrides)
        look.remember(findings, told=True, accept=accept)
        return findings

    def forecast(self, findings: Findings, count: int, file: str | None) -> list[Forecast]:
        """What would become of up to `count` prospects of Captello, or of a file. See `Preflight.foresee`."""
        source = {"source": "file" if file else "captello", "file": file, "source_connection": CAPTELLO}
        with self._connector.source(source) as chosen:
            return self._preflight().foresee(findings, chosen, count, self.clock)

    def _preflight(self) -> Preflight:
        def connect(account: str) -> DataverseClient:
            return self._connector.dynamics(account, LocalBudget(clock=self.clock), afresh=True)

        return Preflight(self.include, connect, self.ledger, self.ledger, self._extras_faults)

    def _extras_faults(self, action: SyncAction, mappings: MappingSet, crm: Crm) -> list[Fault]:
        wish = action.extras.wish(mappings.values)
        found = check_extras(wish, action.policy(), mappings.tables, action.account, crm)
        return [*found.faults, *self._located(action, [*_missing_users(action, mappings), *found.problems])]

    def _check_source(self, request: RunRequest) -> None:
        if request.source == "file":
            self._connector.file(request.file).check()
        elif request.source not in (LEDGER, WEBHOOK):  # a delivery says what is looked up, and where
            with self.captello(request.source_connection) as captello:
                captello.test()

    def _located(self, action: SyncAction, problems: Iterable[Problem]) -> list[Fault]:
        """What is wrong with the extras of an action, as faults of its file."""
        file = f"include/actions/{action.name}.yaml"
        return [
            Fault(file, line_of(self.include, action.name, ("extras", it.setting)), it.what, it.remedy)
            for it in problems
        ]

    def _extras(self, run: Run, action: SyncAction, mappings: MappingSet, crm: DataverseClient) -> ExtrasMaker | None:
        """What this run makes beside the records; None when nothing is wanted."""
        resolved = resolve(action.extras.wish(mappings.values), crm)
        if resolved.problems:
            raise ConfigurationError(self._located(action, resolved.problems))
        return maker_of(resolved.plan, mappings.tables, self.ledger, crm, self.clock, run.dry_run)

    def discover(self, run_id: uuid.UUID, on_stored: Callable[[int], None] = lambda _: None) -> int:
        """Bring the run's prospects into the ledger. Returns how many were added; safe to repeat."""
        run = self.ledger.run(run_id)
        request = run.settings["request"]
        action, selection = _action(run), selection_of(request)
        if request["source"] == LEDGER:
            return take_up(run, action.policy(), retried_of(request), self.ledger, self.clock, on_stored)
        with self._connector.source(request) as source:
            if run.trigger == AUTOMATION:
                return read_by_cursor(run, action, source, self.ledger, self.clock, lease_seconds(), on_stored)
            if run.trigger == BACKFILL:
                return read_by_capture(run, action, source, selection, self.ledger, self.clock, on_stored)
            return discover(run, action.policy(), source, selection, self.ledger, self.clock, on_stored)

    def workers(self, run_id: uuid.UUID) -> int:
        """How many workers the automation of the run's action allows, as it was when the run began."""
        return automation_of(_action(self.ledger.run(run_id))).workers

    def backlogs(self) -> list[Backlog]:
        """How far each automation is behind, by action. Of those whose file can be read and whose account was used."""
        found = []
        for name in list_actions(self.include):
            action = read_action(self.include, name).action
            if action is None or action.triggers.automation is None:
                continue
            organization_id = self.ledger.bound_organization(action.account)
            if organization_id is not None:
                found.append(backlog(action, organization_id, self.ledger, lease_seconds()))
        return found

    def drain(
        self, run_id: uuid.UUID, worker: str, on_settled: Callable[[Counter[Outcome]], None] = lambda _: None
    ) -> Drained:
        """Work on the run until nothing is left. Raises as `Engine.drain`."""
        run = self.ledger.run(run_id)
        with self.warmed(run) as drainer:
            return drainer.drain(run, worker, on_settled)

    @contextmanager
    def warmed(self, run: Run) -> Iterator[Drainer]:
        """What drains this run, and others of the same action, mapping and organisation after it."""
        action = _action(run)
        mappings = self._same_mappings(run, action)
        wish = action.extras.wish(mappings.values)
        guard = _guard(run, action, mappings.tables)
        with self._connector.dynamics(action.account, self._budget(run, action.account), guard) as client:
            yield Drainer(
                policy=action.policy(),
                mappings={name: with_columns(table, wish) for name, table in mappings.tables.items()},
                ledger=self.ledger,
                client=client,
                clock=self.clock,
                extras=self._extras(run, action, mappings, client),
                lease_s=lease_seconds(),
            )

    def conclude(self, run_id: uuid.UUID, max_rejected_percent: float | None = None) -> Verdict:
        """Judge and close the run. Nothing is raised: the face decides how red looks."""
        run = self.ledger.run(run_id)
        allowed = _action(run).max_rejected_percent if max_rejected_percent is None else max_rejected_percent
        verdict = judge(self.ledger.counts(run_id), allowed)
        self.ledger.finish_run(run_id, verdict.state, 0)
        return verdict

    # ------------------------------------------------------------ parts

    def connect(self, account: str, organization_id: uuid.UUID) -> DataverseClient:
        """An account's organisation, to be closed again, within the request limits that all workers share."""
        return self._connector.dynamics(account, self._connector.budget(account, organization_id))

    def captello(self, connection_id: str) -> CaptelloClient:
        """A client of a source, to be closed again. Raises ConfigurationError."""
        return self._connector.captello(connection_id)

    def _budget(self, run: Run, account: str) -> DatabaseBudget:
        return self._connector.budget(account, run.organization_id, urgent=run.trigger == "fulfillment")

    def _same_mappings(self, run: Run, action: SyncAction) -> MappingSet:
        mappings = load_mapping_set(self.include, action.mapping)
        if mappings.digest != run.mapping_hash:
            fault = Fault(
                f"include/mappings/{action.mapping}",
                None,
                "changed after this run began.",
                "Start a new run: prospects that are pending here are taken up by it.",
            )
            raise ConfigurationError([fault])
        return mappings


def _forbidden(action: SyncAction, trigger: str) -> list[Fault]:
    """An action says which triggers may start it."""
    file = f"include/actions/{action.name}.yaml"
    if trigger == "bulk" and not action.triggers.bulk:
        return [Fault(file, None, "does not allow bulk runs.", "Choose another action, or set `bulk: true` there.")]
    if trigger in (AUTOMATION, BACKFILL) and action.triggers.automation is None:
        return [Fault(file, None, "has no automation.", "Give it one, or choose another action.")]
    return []


def _guard(run: Run, action: SyncAction, mappings: Mapping[str, MappingTable]) -> Callable[[TableMetadata], None]:
    """Lets a worker go on only by tables for which the mapping is still right, as they were when the run began."""
    seen, written = run.settings.get("seen", {}), action.policy().tables  # others are only looked up in

    def look(metadata: TableMetadata) -> None:
        table = metadata.logical_name
        began = from_json(seen[table]) if table in seen else None
        creates = action.create.value == table
        faults = faults_since(mappings[table], began, metadata, creates) if table in written else []
        if faults:
            raise ConfigurationError(faults)

    return look


def _missing_users(action: SyncAction, mappings: MappingSet) -> list[Problem]:
    """The value table of owners, when the mapping set has none of that name."""
    owner = action.extras.owner
    table = owner.missing_table(mappings.values) if owner is not None else None
    if table is None:
        return []
    remedy = (
        f"Write it: from,to with e-mail addresses of users, in include/mappings/{mappings.name}/values/{table}.csv."
    )
    return [Problem("owner", f"There is no value table '{table}'.", remedy)]


def _action(run: Run) -> SyncAction:
    return SyncAction.model_validate(run.settings["action"])
