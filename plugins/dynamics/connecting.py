"""Clients of the systems at both ends, by connection id: organisations within their request limits, and sources."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dynamics.captello.client import CaptelloClient
from dynamics.captello.files import FileSource
from dynamics.captello.source import CaptelloSource
from dynamics.clock import SystemClock
from dynamics.config import ConnectionFields, captello_account, dynamics_account
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.known import Known
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.errors import ConfigurationError, Fault
from dynamics.process import lease_seconds
from dynamics.store.budget import LEASE_S as SLOT_LEASE_S
from dynamics.store.budget import DatabaseBudget
from dynamics.sync.engine import LANES
from dynamics.sync.ports import Source

ConnectionOf = Callable[[str], ConnectionFields]


@dataclass(frozen=True)
class Connector:
    """Makes clients for one thread, each to be closed by whoever asked for it, and keeps what they learn of accounts.

    The parts are told in `SyncService`. Whatever is asked for, ConfigurationError: it is not there, or cannot be used.
    """

    audit: sa.Engine
    connection_of: ConnectionOf
    clock: SystemClock
    on_token: Callable[[str], None]
    _known: dict[str, tuple[DataverseAccount, Known]] = field(default_factory=dict, repr=False)

    def forget(self) -> None:
        """Close what was learnt of accounts."""
        for _account, known in self._known.values():
            known.close()
        self._known.clear()

    def dynamics(
        self,
        account: str,
        budget: LocalBudget | DatabaseBudget,
        guard: Callable[[TableMetadata], None] = lambda _: None,
        afresh: bool = False,
    ) -> DataverseClient:
        """A client of an organisation. With `afresh` nothing is taken for known that was learnt before."""
        connected = dynamics_account(self.connection_of(account))
        return DataverseClient(
            connected,
            budget=budget,
            clock=self.clock,
            callers=LANES,
            on_token=self.on_token,
            guard=guard,
            known=self._known_of(account, connected, afresh),
        )

    def budget(self, account: str, organization_id: uuid.UUID, urgent: bool = False) -> DatabaseBudget:
        """The request limits that all workers of an organisation share."""
        users = dynamics_account(self.connection_of(account)).users
        lease_s = min(lease_seconds(), SLOT_LEASE_S)
        return DatabaseBudget(self.audit, organization_id, users, self.clock, lease_s=lease_s, urgent=urgent)

    @contextmanager
    def source(self, request: Mapping[str, Any]) -> Iterator[Source]:
        """The source that a run's request names."""
        if request["source"] == "file":
            yield self.file(request["file"])
        else:
            with self.captello(request["source_connection"]) as captello:
                yield CaptelloSource(captello)

    def captello(self, connection_id: str) -> CaptelloClient:
        """A client of a Captello account."""
        account = captello_account(self.connection_of(connection_id))
        return CaptelloClient(account, clock=self.clock, on_token=self.on_token)

    def file(self, file: str | None) -> FileSource:
        """A file as a source; it is not opened yet."""
        if not file:
            fault = Fault("params", None, "source is 'file', but no file is named.", "Set `file` to a path.")
            raise ConfigurationError([fault])
        return FileSource(Path(file), self.clock)

    def _known_of(self, name: str, account: DataverseAccount, afresh: bool = False) -> Known:
        """What preflight, which asks afresh, has learnt serves the worker behind it, if the connection is the same."""
        before = self._known.get(name)
        if before is not None and before[0] == account and not afresh:
            return before[1]
        if before is not None:
            before[1].close()
        self._known[name] = (account, Known())
        return self._known[name][1]
