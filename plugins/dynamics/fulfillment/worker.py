"""The fulfillment worker as a whole: waits to be woken, sorts deliveries to actions, has a clerk serve each of them.

One worker is enough; two share the work, and one that dies is taken over. It ends after its time, so that logs do not
grow without end; at once when it is told to stop; and when an action can no longer be served that could be before, so
that somebody sees. Nothing is lost in any of these: what is not done stays due, and the next worker begins with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from dynamics.assembly import SyncService
from dynamics.config import list_actions
from dynamics.core.fulfillment import Listener
from dynamics.core.ledger import Outcome
from dynamics.errors import AccountError, ConfigurationError, DynamicsError, Fault
from dynamics.fulfillment.clerk import Clerk, Closed, request_of
from dynamics.fulfillment.listeners import Fingerprint, fingerprint, read_listeners
from dynamics.process import lease_seconds
from dynamics.store.bell import Bell
from dynamics.store.inbox import CHANNEL, Inbox

log = logging.getLogger("dynamics.fulfillment")

POLL_S = 1.0  # without a notice
SORTED_IN_A_ROW = 20  # batches, before anything else is seen to
GONE_S = 24 * 3600.0  # what an action that is gone had to do is kept for so long
MISSED_LOOK_S = 60.0
NO_ACTIONS = Fault(
    "actions", None, "holds no sync action, or is not there.", "Bring the include folder back; webhooks wait meanwhile."
)


@dataclass
class Summary:
    """What a worker has done, and what it leaves."""

    closed: list[Closed] = field(default_factory=list)
    blocked: dict[str, DynamicsError] = field(default_factory=dict)
    open_errands: Mapping[str, int] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        """Outcomes of all runs it has concluded."""
        counted: Counter[str] = Counter()
        for each in self.closed:
            counted.update({outcome.value: getattr(each.verdict.counts, outcome.value) for outcome in Outcome})
        return {word: count for word, count in counted.items() if count}

    @property
    def problems(self) -> list[str]:
        """Why the worker's run may not be green: a sync run that is red, an action that a person must see to."""
        red = [f"run {each.run_id}: {'; '.join(each.verdict.problems)}" for each in self.closed if not each.verdict.ok]
        barred = [f"{action}: {error}" for action, error in self.blocked.items() if isinstance(error, AccountError)]
        return [*barred, *red]


class Worker:
    """Serves all actions that answer webhooks.

    Args:
        name: tells workers apart in the log and in the ledger.
        dag_id, dag_run_id: who the worker is in Airflow; its sync runs stand under these.
    """

    def __init__(
        self, service: SyncService, name: str, dag_id: str | None = None, dag_run_id: str | None = None
    ) -> None:
        self._service, self._name = service, name
        self._dag = (dag_id, dag_run_id)
        self._inbox = Inbox(service.audit)
        self._listeners: dict[str, Listener] = {}
        self._files: Fingerprint | None = None
        self._missed_at = float("-inf")
        self._clerks: dict[str, Clerk] = {}
        self._working: dict[str, Future[None]] = {}
        self._ending = threading.Event()

    def run(self, lasts_s: float | None = None) -> Summary:
        """Serve for so long; without a time, until stopped.

        Raises:
            ConfigurationError: there is no action at all.
            TransientError: the audit database stayed away.
        """
        ends_at = None if lasts_s is None else time.monotonic() + lasts_s
        bell = Bell(self._service.audit, CHANNEL, self._service.clock.sleep)
        with ExitStack() as threads:  # one for each clerk: none may wait for another to end
            try:
                kept_at = time.monotonic()
                while not self._is_over(ends_at):
                    self._look_at_files(threads)
                    for action in self._sort():
                        self._clerks[action].bell.set()
                    if time.monotonic() - kept_at >= lease_seconds() / 3:
                        kept_at = time.monotonic()
                        for clerk in self._clerks.values():
                            clerk.keep()
                    bell.wait(POLL_S)
            finally:
                self._end()
                bell.close()
        return self._summary()

    def _is_over(self, ends_at: float | None) -> bool:
        for future in self._working.values():
            if future.done():
                future.result()  # what nobody expects goes up
        over = ends_at is not None and time.monotonic() >= ends_at
        return over or self._service.stopping.is_set() or any(clerk.turned_bad for clerk in self._clerks.values())

    def _sort(self) -> set[str]:
        """Sort what is due, or much of it. Returns the actions that have something to do."""
        counted: Counter[str] = Counter()
        for _ in range(SORTED_IN_A_ROW):
            found = self._inbox.sort(self._listeners.values())
            if not found:
                break
            counted += found
        if unanswered := counted.pop("", 0):
            log.info("%d deliveries that no action answers", unanswered)
        return counted.keys() & self._clerks.keys()

    def _look_at_files(self, threads: ExitStack) -> None:
        """New actions get a clerk. One that answers no more may be back soon: what it has to do stays open for a day.

        Raises:
            ConfigurationError: there is no action at all, so the folder is missing rather than every action.
        """
        files = fingerprint([self._service.include / "actions"])
        if files != self._files:
            self._read_files(threads)
            self._files = files
            self._missed_at = float("-inf")
        if time.monotonic() - self._missed_at >= MISSED_LOOK_S:
            self._missed_at = time.monotonic()
            self._see_to_missed()

    def _read_files(self, threads: ExitStack) -> None:
        if not list_actions(self._service.include):
            raise ConfigurationError([NO_ACTIONS])
        self._listeners = read_listeners(self._service.include)
        for name in [name for name in self._listeners if name not in self._clerks]:
            clerk = Clerk(self._service, self._inbox, request_of(name, *self._dag), f"{self._name} {name}")
            self._clerks[name] = clerk
            thread = threads.enter_context(ThreadPoolExecutor(1, thread_name_prefix="clerk"))
            self._working[name] = thread.submit(clerk.work, self._ending)
        if back := self._inbox.back(self._listeners.keys()):
            log.info("%d deliveries were missed by actions that answer again: they are due", back)
        log.info("worker %s: webhooks are answered by %s", self._name, ", ".join(self._listeners) or "no action")

    def _see_to_missed(self) -> None:
        for name in self._inbox.open().keys() - self._listeners.keys():
            if missed := self._inbox.miss(name, GONE_S):
                log.warning(
                    "%s answers webhooks no more: %d deliveries wait %.0f h for it", name, missed, GONE_S / 3600
                )
            if dropped := self._inbox.drop(name):
                log.error("%s has not come back: %d deliveries are closed, and not synced by it", name, dropped)

    def _end(self) -> None:
        """Let clerks finish what they have in hand, with its leases kept."""
        self._ending.set()
        for clerk in self._clerks.values():
            clerk.bell.set()

    def _summary(self) -> Summary:
        for future in self._working.values():
            future.result()
        closed = [each for clerk in self._clerks.values() for each in clerk.closed]
        blocked = {name: clerk.trouble for name, clerk in self._clerks.items() if clerk.trouble is not None}
        return Summary(closed, dict(blocked), self._inbox.open())
