"""Drains runs of one action with a client that stays signed in and knows what its tables look like."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from dynamics.core.balance import Drained
from dynamics.core.ledger import Outcome, Run
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.policy import Policy
from dynamics.dataverse.client import DataverseClient
from dynamics.errors import TransientError
from dynamics.extras.making import ExtrasMaker
from dynamics.store.ledger import PostgresLedger
from dynamics.sync.engine import Engine
from dynamics.sync.ports import Clock

log = logging.getLogger("dynamics.sync")


@dataclass
class Drainer:
    """What a run is drained with. `told`: how many of the client's requests have been counted for a run."""

    policy: Policy
    mappings: Mapping[str, MappingTable]
    ledger: PostgresLedger
    client: DataverseClient
    clock: Clock
    extras: ExtrasMaker | None
    lease_s: float
    told: int = 0

    def drain(self, run: Run, worker: str, on_settled: Callable[[Counter[Outcome]], None] = lambda _: None) -> Drained:
        """Work on the run until nothing is left. Raises as `Engine.drain`."""

        def settled(outcomes: Counter[Outcome]) -> None:
            self._tell_requests(run.run_id)
            on_settled(outcomes)

        engine = Engine(
            run=run,
            policy=self.policy,
            mappings=self.mappings,
            ledger=self.ledger,
            crm=self.client,
            clock=self.clock,
            extras=self.extras,
            lease_s=self.lease_s,
            on_settled=settled,
        )
        return engine.drain(worker)

    def _tell_requests(self, run_id: UUID) -> None:
        """Count requests for the run. A statistic: when the database is away they are told with the next chunk."""
        requests = self.client.requests - self.told
        try:
            self.ledger.add_requests(run_id, requests)
        except TransientError as error:
            log.warning("requests of run %s: %s", run_id, error)
        else:
            self.told += requests
