"""The engine: claim, decide, send, settle, until a run has no work left. Knows ports only.

One engine serves every trigger. A worker drains a run in several lanes, each with a chunk of its own, so that one is
matched while another is written; any number of workers may drain the same run. A worker that dies is taken over when
its leases run out. Faults of single prospects end as outcomes; one of the account stops the worker and leaves all else
pending; a transient one is waited out, and stops the worker when it will not pass.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from dynamics import killpoints
from dynamics.core.balance import Drained
from dynamics.core.chunk import Chunk
from dynamics.core.ledger import Claim, Outcome, Run
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.outcomes import settle_as_if
from dynamics.core.patience import Patience, ends_at_once, graver
from dynamics.core.policy import Policy
from dynamics.errors import AccessError, DynamicsError, StoppedError, TransientError
from dynamics.sync.planning import Planner
from dynamics.sync.ports import Clock, Crm, Extras, Ledger
from dynamics.sync.recovery import close_suspects, recover
from dynamics.sync.writing import write

log = logging.getLogger("dynamics.sync")

CHUNK_SIZE = 500
LANES = 8
LEASE_S = 60.0
IDLE_POLL_S = 1.0
BUSY_POLL_S = 0.1
LOG_EVERY_S = 15.0


@dataclass(frozen=True)
class Lane:
    """A claim that is worked on. `matched` is set when it has been decided what is to be written."""

    claim: Claim
    matched: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Engine:
    """Drains one run. `on_settled` hears of each chunk's outcomes, for a progress bar."""

    run: Run
    policy: Policy
    mappings: Mapping[str, MappingTable]
    ledger: Ledger
    crm: Crm
    clock: Clock
    extras: Extras | None = None  # what the action makes beside the records; None: nothing
    chunk_size: int = CHUNK_SIZE
    lanes: int = LANES
    lease_s: float = LEASE_S
    on_settled: Callable[[Counter[Outcome]], None] = lambda _: None

    def drain(self, worker: str) -> Drained:
        """Work until the run has no unsettled item left.

        Raises:
            AccountError: a person must act; what is not settled stays pending.
            TransientError: the CRM or the database kept failing; to be run again, nothing is lost.
            StoppedError: this process was asked to stop; what was in hand is settled or given back.
        """
        with _Shift(self, worker) as shift:
            while shift.go_on():
                pass
        killpoints.reach("K7")
        log.info("worker %s: %s", worker, shift.drained)
        return shift.drained

    def process(self, lane: Lane, halted: threading.Event) -> tuple[Counter[Outcome], DynamicsError | None]:
        """Take one chunk from claim to settlement. What a fault, or `halted`, left undecided is given back."""
        chunk = Chunk(lane.claim)
        fault: DynamicsError | None = None
        try:
            recover(chunk, self.run.organization_id, self.ledger, self.crm, self.clock.now())
            planner = Planner(self.run, self.policy, self.mappings, self.ledger, self.crm, self.extras)
            targets = planner.plan(chunk, self.clock.now())
            close_suspects(chunk, self.ledger)
            targets = [target for target in targets if target.leader in chunk.open]  # not those given up just now
            lane.matched.set()
            if halted.is_set() or self.clock.stopping:
                fault = StoppedError("sync", self.run.account, detail="this worker was asked to stop")
            elif self.run.dry_run:
                settle_as_if(chunk, targets)
            else:
                fault = write(chunk, targets, self.ledger, self.crm, self.lease_s)
        except DynamicsError as error:
            fault = error
        try:
            fault = self.extras.make(chunk, fault) if self.extras else fault
            return self._conclude(chunk, fault), fault
        except DynamicsError as error:  # the leases run out, and whoever claims the items next clears up
            return Counter(), graver(fault, error)

    def _conclude(self, chunk: Chunk, fault: DynamicsError | None) -> Counter[Outcome]:
        """Settle what was decided in one transaction, and give back the rest. Says what was settled."""
        retry_after_s = fault.retry_after_s if isinstance(fault, TransientError) else None
        chunk.release(list(chunk.open), retry_after_s or 0.0, "stopped_by_fault")
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
        return Counter(settlement.outcome for settlement in settlements)


class _Shift:
    """One worker's time on a run: hands claims to lanes, keeps their leases, and decides when to stop."""

    def __init__(self, engine: Engine, worker: str) -> None:
        self.drained = Drained()
        self._engine = engine
        self._worker = worker
        self._clock, self._ledger, self._run_id = engine.clock, engine.ledger, engine.run.run_id
        self._started = self._told_at = self._leased_at = self._clock.monotonic()
        self._patience = Patience(self._started)
        self._lanes = engine.lanes
        self._halted = threading.Event()
        self._executor = ThreadPoolExecutor(engine.lanes, thread_name_prefix="lane")
        self._in_flight: dict[Future[tuple[Counter[Outcome], DynamicsError | None]], Lane] = {}
        self._begun = False

    def __enter__(self) -> _Shift:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever ends the shift: lanes finish what they have sent and give back the rest, their leases kept."""
        self._halted.set()
        while self._in_flight:
            for future in wait(self._in_flight, self._engine.lease_s / 3, FIRST_COMPLETED).done:
                del self._in_flight[future]
            self._keep_leases()
        self._executor.shutdown()

    def go_on(self) -> bool:
        """One round: wait for a free lane and fill it, or bear a fault. False when the run has no work left."""
        try:
            fault, more = self._round()
        except (TransientError, AccessError) as error:  # of the ledger, or at the start; those of a lane come as values
            fault, more = error, True
        if more and (fault is not None or self._clock.stopping):
            self._bear(fault)
        return more

    def _round(self) -> tuple[DynamicsError | None, bool]:
        full = len(self._in_flight) >= self._lanes
        busy = self._is_ahead()
        if fault := self._collect(all_lanes=False, at_most_s=None if full else BUSY_POLL_S * busy):
            return fault, True
        if self._clock.stopping or busy:
            return None, True
        if not self._begun:
            self._engine.crm.organization().must_be(self._engine.run.organization_id, self._engine.run.account)
            self._begun = True
        claim = self._ledger.claim(self._run_id, self._worker, self._engine.chunk_size, self._engine.lease_s)
        if claim.items.empty:
            return self._idle()
        killpoints.reach("K2")
        lane = Lane(claim)
        self._in_flight[self._executor.submit(self._engine.process, lane, self._halted)] = lane
        return None, True

    def _is_ahead(self) -> bool:
        """Whether more is being matched, or waits to be sent, than is on the way. Still more would take the processor
        from what is to be sent next, and keep work from others."""
        traffic = self._engine.crm.traffic
        matching = sum(not lane.matched.is_set() for lane in self._in_flight.values())
        return max(matching, traffic.waiting) > traffic.sending

    def _idle(self) -> tuple[DynamicsError | None, bool]:
        """Nothing can be claimed now: wait for a lane, or for the time of what was given back."""
        if self._in_flight:
            return self._collect(all_lanes=False, at_most_s=IDLE_POLL_S), True
        due_s = self._ledger.next_due_s(self._run_id)
        if due_s is not None:
            self._clock.sleep(min(max(due_s, 0.05), IDLE_POLL_S))
        return None, due_s is not None

    def _bear(self, fault: DynamicsError | None) -> None:
        """Let all lanes come to their end, then wait a fault out with one lane, or give up.

        Raises:
            DynamicsError: the fault, or StoppedError when this process is to stop.
        """
        fault = graver(fault, self._collect(all_lanes=True))
        if self._clock.stopping:
            raise StoppedError("sync", self._engine.run.account, detail="asked to stop; what is not settled is pending")
        if fault is None:
            return
        wait_s = self._patience.wait_s(fault, self._clock.monotonic())
        if wait_s is None:
            raise fault
        log.warning("worker %s: %s; again in %.0f s", self._worker, fault, wait_s)
        self._lanes = 1  # until a chunk goes through
        self._clock.sleep(wait_s)

    def _collect(self, *, all_lanes: bool, at_most_s: float | None = None) -> DynamicsError | None:
        """Wait for a lane, or for all, keeping the leases of those still at work. Gives a fault met, the gravest one.

        Raises:
            BaseException: whatever a lane met that is no fault of ours to handle.
        """
        until = None if at_most_s is None else self._clock.monotonic() + at_most_s
        fault: DynamicsError | None = None
        while self._in_flight:
            pause_s = self._engine.lease_s / 3 if at_most_s is None else min(at_most_s, self._engine.lease_s / 3)
            done, _ = wait(self._in_flight, timeout=pause_s, return_when=FIRST_COMPLETED)
            for future in done:
                del self._in_flight[future]
                outcomes, met = future.result()
                self._note(outcomes, good=met is None and bool(outcomes))  # answers that were lost are nothing good
                fault = graver(fault, met)
                if met is not None and ends_at_once(met):
                    self._halted.set()
            self._keep_leases()
            if (done and not all_lanes) or (until is not None and self._clock.monotonic() >= until):
                break
        return fault

    def _keep_leases(self) -> None:
        """Chunks may wait long for the CRM: their leases are renewed well before they run out."""
        if self._clock.monotonic() - self._leased_at < self._engine.lease_s / 3:
            return
        self._leased_at = self._clock.monotonic()
        try:
            for lane in self._in_flight.values():
                self._ledger.extend(lane.claim, self._engine.lease_s)
        except TransientError as error:  # the lanes go on; should a lease run out meanwhile, the fence holds
            log.warning("worker %s: %s", self._worker, error)

    def _note(self, outcomes: Counter[Outcome], good: bool) -> None:
        now = self._clock.monotonic()
        self.drained.outcomes += outcomes
        self.drained.seconds = now - self._started
        if good:
            self._patience.see_good(now)
            self._lanes = self._engine.lanes
        self._engine.on_settled(outcomes)
        if now - self._told_at >= LOG_EVERY_S:
            self._told_at = now
            log.info("worker %s: %s", self._worker, self.drained)
