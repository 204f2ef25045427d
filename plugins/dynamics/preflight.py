"""Finds every problem of a sync action in one round: its file, its mapping, its account, the live organisation.

A run that starts is a run that can be finished; one that cannot start says everything that is wrong at once. So nothing
ends the round that leaves something else to look at: a mapping with a wrong row is still held against the organisation,
and an action with a misspelt word still has its account asked. What has changed since the mapping was last looked at is
told along with it. Nothing is claimed or written here; single rules are checked in `config` and `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamics.config import MappingSet, SyncAction, read_action, read_mapping_set
from dynamics.core.capture import Selection, SourcedProspect
from dynamics.core.crm import JsonObject, Organization
from dynamics.core.drift import Change, as_json, compare, from_json, remembered, seen_by
from dynamics.core.forecast import Forecast, forecast, sample_frame
from dynamics.core.lookup import LookupAnswers
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import check_mapping, fixed_lookups, looked_up_tables, lookup_faults, wanted_lookups
from dynamics.core.metadata import Column, TableMetadata
from dynamics.core.patience import graver
from dynamics.core.policy import Policy
from dynamics.errors import (
    AccessError,
    AccountError,
    ConfigurationError,
    DynamicsError,
    Fault,
    StoppedError,
    TransientError,
)
from dynamics.store.snapshots import Snapshots
from dynamics.sync.ports import Clock, Crm, Ledger, Source

SAMPLING_S = 60.0
ALWAYS_MAPPED = ("lead", "contact")  # a match of either kind is updated, whatever the action's rules


@dataclass
class Findings:
    """What was found about one action. `error`: why something could not be looked at, the gravest reason."""

    name: str
    action: SyncAction | None = None
    mappings: MappingSet | None = None
    organization: Organization | None = None
    tables: dict[str, TableMetadata] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    error: DynamicsError | None = None
    changes: list[Change] = field(default_factory=list)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Around a look at something: what is wrong with it is noted, and the round goes on."""
        try:
            yield
        except ConfigurationError as wrong:
            self.faults += wrong.faults
        except StoppedError:
            raise
        except (AccountError, TransientError) as error:
            self.error = graver(self.error, error)

    def passed(self) -> tuple[SyncAction, MappingSet, Organization]:
        """What a run needs.

        Raises:
            ConfigurationError: there are faults. AccountError, TransientError: something could not be looked at.
        """
        if self.faults and self.error is not None:
            raise ConfigurationError([*self.faults, _unseen(self.error)])
        if self.error is not None:
            raise self.error
        if self.faults or self.action is None or self.mappings is None or self.organization is None:
            raise ConfigurationError(self.faults)
        return self.action, self.mappings, self.organization

    @property
    def seen(self) -> dict[str, dict[str, Column]]:
        """What the mapping saw of each table."""
        mapped = self.mappings.tables if self.mappings is not None else {}
        return {table: seen_by(mapped[table], metadata) for table, metadata in self.tables.items()}

    @property
    def rejecting(self) -> list[Change]:
        """The changes for which prospects would be rejected."""
        return [change for change in self.changes if change.rejects]


@dataclass(frozen=True)
class Preflight:
    """Looks at actions.

    Args:
        connect: account -> its organisation, for as long as it is looked at.
        extras: what is wrong with an action's extras.
    """

    include: Path
    connect: Callable[[str], AbstractContextManager[Crm]]
    ledger: Ledger
    snapshots: Snapshots
    extras: Callable[[SyncAction, MappingSet, Crm], list[Fault]]

    def look(self, name: str, overrides: Mapping[str, Any]) -> Findings:
        """Everything there is to find. Raises StoppedError and what we do not know, nothing else."""
        read = read_action(self.include, name, overrides)
        findings = Findings(name, read.action, faults=list(read.faults))
        if read.mapping is not None:
            findings.mappings, faults = read_mapping_set(self.include, read.mapping)
            findings.faults += faults
        if read.account is not None:
            with findings.collecting(), self.connect(read.account) as crm:
                findings.organization = crm.organization()
                self._look_inside(findings, read.account, crm)
        with findings.collecting():
            findings.changes = self._changes(findings)
        return findings

    def remember(self, findings: Findings, told: bool, accept: bool = False) -> None:
        """Keep what a mapping without faults saw, to compare with next time.

        Args:
            told: somebody has read of the changes. They are told again if they reject prospects; else they all are.
            accept: even what rejects prospects need not be told again.
        """
        if findings.faults or findings.error is not None:
            return
        action, _, organization = findings.passed()
        untold = [] if accept else findings.rejecting if told else findings.changes
        known = self.snapshots.snapshot(action.name, organization.organization_id) or {}
        content: JsonObject = dict(known)
        for table, now in findings.seen.items():
            again = [change for change in untold if change.table == table]
            content[table] = as_json(remembered(from_json(known.get(table, {})), now, again))
        self.snapshots.keep_snapshot(action.name, organization.organization_id, content)

    def foresee(self, findings: Findings, source: Source, count: int, clock: Clock) -> list[Forecast]:
        """Map up to `count` prospects of a source and say what would be rejected; nothing is written. As many pages are
        read as that takes, and none after `SAMPLING_S` seconds; records that prospects point to are looked up.

        Raises: as `Findings.passed`, and what the source and the organisation raise.
        """
        action, mappings, _ = findings.passed()
        frame = sample_frame(_sample(source, count, clock))
        told = []
        for table, metadata in findings.tables.items():
            mapping = mappings.tables[table]
            answers: LookupAnswers = {}
            if mapping.lookups:
                with self.connect(action.account) as crm:
                    answers = crm.look_up(wanted_lookups(mapping, frame))
            told.append(forecast(mapping, frame, metadata, action.create.value == table, answers))
        return told

    def _look_inside(self, findings: Findings, account: str, crm: Crm) -> None:
        """Who we are there, what we may do, and the mapping against what the tables look like."""
        policy = findings.action.policy() if findings.action is not None else None
        if findings.organization is not None:
            findings.faults += _binding_faults(account, findings.organization, self.ledger)
        if policy is not None:
            with findings.collecting():
                findings.faults += _privilege_faults(account, policy, crm)
        mapped = findings.mappings.tables if findings.mappings is not None else {}
        for table in policy.tables if policy is not None else ALWAYS_MAPPED:
            if table in mapped:
                with findings.collecting():
                    self._look_at_table(findings, mapped[table], crm)
        if findings.action is not None and findings.mappings is not None and set(ALWAYS_MAPPED) <= mapped.keys():
            with findings.collecting():
                findings.faults += self.extras(findings.action, findings.mappings, crm)

    @staticmethod
    def _look_at_table(findings: Findings, mapping: MappingTable, crm: Crm) -> None:
        try:
            metadata = crm.metadata(mapping.table)
        except AccountError as error:
            if isinstance(error, AccessError) or error.status != 404:
                raise
            remedy = "Install the app that brings it, or correct the account."
            raise ConfigurationError([Fault(mapping.file, None, f"{error.detail}.", remedy)]) from error
        findings.tables[mapping.table] = metadata
        others = {table: crm.metadata(table) for table in looked_up_tables(mapping, metadata)}
        wrong = check_mapping(mapping, metadata, _creates(findings, mapping.table), others)
        findings.faults += wrong or lookup_faults(mapping, crm.look_up(fixed_lookups(mapping)))

    def _changes(self, findings: Findings) -> list[Change]:
        """What has changed since it was looked at last."""
        action, organization, mappings = findings.action, findings.organization, findings.mappings
        if action is None or organization is None or mappings is None:
            return []
        known = self.snapshots.snapshot(action.name, organization.organization_id) or {}
        return [
            change
            for table, now in findings.seen.items()
            if table in known
            for change in compare(mappings.tables[table], from_json(known[table]), now, _creates(findings, table))
        ]


# ---------------------------------------------------------------- pieces


def _sample(source: Source, count: int, clock: Clock) -> list[SourcedProspect]:
    until = clock.monotonic() + SAMPLING_S
    sample: list[SourcedProspect] = []
    for page in source.pages(Selection()):
        sample += page[: count - len(sample)]
        if clock.stopping:
            raise StoppedError("sample", source.name, detail="this process was asked to stop")
        if len(sample) >= count or clock.monotonic() >= until:
            break
    return sample


def _creates(findings: Findings, table: str) -> bool:
    """Whether records of a table are created, as far as the action can be read."""
    return findings.action is not None and findings.action.create.value == table


def _unseen(error: DynamicsError) -> Fault:
    what = f"Not all could be looked at: {error}."
    return Fault(error.subject or "account", None, what, "There may be more faults than these.")


def _privilege_faults(account: str, policy: Policy, crm: Crm) -> list[Fault]:
    remedy = "Add them to a security role of that user."
    return [
        Fault(f"connection {account}", None, f"application user {user} lacks {', '.join(missing)}.", remedy)
        for user, missing in crm.missing_privileges(policy.privileges).items()
    ]


def _binding_faults(account: str, organization: Organization, ledger: Ledger) -> list[Fault]:
    bound = ledger.bind_account(account, organization.organization_id, organization.url)
    if bound == organization.organization_id:
        return []
    what = f"is bound to organisation {bound}, but its address now leads to {organization.organization_id}."
    remedy = "Correct the address, or use a new connection id for the other organisation."
    return [Fault(f"connection {account}", None, what, remedy)]
