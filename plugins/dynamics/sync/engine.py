"""The engine: claim, decide, send, settle, until a run has no work left. Knows ports only.

One engine serves every trigger. A worker drains a run; any number of workers may drain the same run at once, and a
worker that dies is taken over when its lease runs out. Faults of single prospects end as outcomes; a fault of the
account stops the worker and leaves everything else pending; a transient one is waited out, and stops the worker when it
will not pass.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from dynamics import killpoints
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.policy import Policy
from dynamics.errors import ConfigurationError, DynamicsError, Fault, TransientError
from dynamics.sync.chunk import Chunk
from dynamics.sync.planning import Planner, settle_as_if
from dynamics.sync.ports import Claim, Clock, Crm, Ledger, Outcome, Run
from dynamics.sync.recovery import close_suspects, recover
from dynamics.sync.writing import write

log = logging.getLogger("dynamics.sync")

CHUNK_SIZE = 500
LEASE_S = 60.0
IDLE_POLL_S = 1.0
FAULT_RETRY_S = 5.0
MAX_TRANSIENT_FAULTS = 5  # in a row, before a worker gives up and leaves it to the task's retry
LOG_EVERY_S = 15.0


@dataclass
class Drained:
    """What one worker did: the outcomes it settled and the seconds it took."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def settled(self) -> int:
        return self.outcomes.total()

    def __str__(self) -> str:
        rate = self.settled / self.seconds if self.seconds else 0.0
        words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return f"{self.settled} settled ({words or 'none'}) in {self.seconds:.1f} s, {rate:.0f} a second"


@dataclass(frozen=True)
class Engine:
    """Drains one run. `on_settled` hears of each chunk's outcomes, for a progress bar."""

    run: Run
    policy: Policy
    mappings: Mapping[str, MappingTable]
    ledger: Ledger
    crm: Crm
    clock: Clock
    chunk_size: int = CHUNK_SIZE
    lease_s: float = LEASE_S
    on_settled: Callable[[Counter[Outcome]], None] = lambda _: None

    def drain(self, worker: str) -> Drained:
        """Work until the run has no unsettled item left.

        Raises:
            AccountError: a person must act; what is not settled stays pending.
            TransientError: the CRM or the database kept failing; to be run again, nothing is lost.
        """
        self._same_organization()
        planner = Planner(self.run, self.policy, self.mappings, self.ledger, self.crm)
        drained, started, told, faults = Drained(), self.clock.monotonic(), self.clock.monotonic(), 0
        while True:
            claim = self.ledger.claim(self.run.run_id, worker, self.chunk_size, self.lease_s)
            if claim.items.empty:
                due_s = self.ledger.next_due_s(self.run.run_id)
                if due_s is None:
                    break
                self.clock.sleep(min(max(due_s, 0.05), IDLE_POLL_S))
                continue
            killpoints.reach("K2")
            fault = self._process(claim, planner, drained)
            faults = faults + 1 if fault else 0
            drained.seconds = self.clock.monotonic() - started
            if fault and (not isinstance(fault, TransientError) or faults >= MAX_TRANSIENT_FAULTS):
                raise fault
            if isinstance(fault, TransientError):
                wait_s = fault.retry_after_s or FAULT_RETRY_S
                log.warning("worker %s: %s; again in %.0f s", worker, fault, wait_s)
                self.clock.sleep(wait_s)
            if self.clock.monotonic() - told >= LOG_EVERY_S:
                told = self.clock.monotonic()
                log.info("worker %s: %s", worker, drained)
        killpoints.reach("K7")
        log.info("worker %s: %s", worker, drained)
        return drained

    def _same_organization(self) -> None:
        """The connection may have been changed since preflight."""
        found = self.crm.organization().organization_id
        if found != self.run.organization_id:
            what = f"leads to organisation {found}, but this run began in {self.run.organization_id}."
            fault = Fault(
                f"connection {self.run.account}", None, what, "Correct the connection, then run the task again."
            )
            raise ConfigurationError([fault])

    def _process(self, claim: Claim, planner: Planner, drained: Drained) -> DynamicsError | None:
        """Take one chunk from claim to settlement. What a fault left undecided is given back."""
        requests = self.crm.requests
        chunk = Chunk(claim)
        fault: DynamicsError | None = None
        try:
            recover(chunk, self.run.organization_id, self.ledger, self.crm, self.clock.now())
            targets = planner.plan(chunk, self.clock.now())
            close_suspects(chunk, self.ledger)
            targets = [target for target in targets if target.leader in chunk.open]  # not those given up just now
            if self.run.dry_run:
                settle_as_if(chunk, targets)
            else:
                fault = write(chunk, targets, self.ledger, self.crm, self.lease_s)
        except DynamicsError as error:
            fault = error
        self._conclude(chunk, fault, drained)
        self.ledger.add_requests(self.run.run_id, self.crm.requests - requests)
        return fault

    def _conclude(self, chunk: Chunk, fault: DynamicsError | None, drained: Drained) -> None:
        """Settle what was decided in one transaction, and give back the rest."""
        retry_after_s = fault.retry_after_s if isinstance(fault, TransientError) else None
        chunk.release(list(chunk.open), retry_after_s or FAULT_RETRY_S, "stopped_by_fault")
        settlements = chunk.settlements
        if self.run.dry_run:
            settlements = [replace(settlement, link=None) for settlement in settlements]
        if settlements or chunk.results:
            settled = self.ledger.settle(chunk.claim, settlements, chunk.results)
            if settled < len(settlements):
                log.info("%d prospects were taken over by another worker", len(settlements) - settled)
        waits: dict[tuple[float, str], list[int]] = {}
        for release in chunk.releases:
            waits.setdefault((release.after_s, release.reason), []).append(release.prospect_key)
        for (after_s, reason), keys in waits.items():
            self.ledger.release(chunk.claim, keys, after_s, reason)
        outcomes = Counter(settlement.outcome for settlement in settlements)
        drained.outcomes += outcomes
        self.on_settled(outcomes)
