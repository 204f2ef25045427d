"""One action's share of the fulfillment worker: takes its errands, and syncs whom they are about.

The client stays signed in and the organisation known, so that a capture costs no more than its own requests. Sync runs
are opened once and take prospects until one comes that they have already, or until they are full: a prospect has one
outcome a run. What a fault leaves undone stays in hand, and is tried again with growing pauses: nothing is dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from dynamics.assembly import SyncService, Vetted
from dynamics.core.balance import Verdict
from dynamics.core.fulfillment import Listener, is_full, pause_s
from dynamics.core.ledger import Run
from dynamics.core.outcomes import FOR_REVIEW, WAITING
from dynamics.core.policy import MatchBy
from dynamics.draining import Drainer
from dynamics.errors import AccountError, StoppedError, TransientError
from dynamics.fulfillment.asking import Asking, Unread
from dynamics.fulfillment.listeners import Fingerprint, fingerprint, read_listener
from dynamics.fulfillment.lookup import LookUp
from dynamics.process import lease_seconds
from dynamics.run_request import WEBHOOK, RunRequest
from dynamics.store.inbox import Errand, Inbox

log = logging.getLogger("dynamics.fulfillment")

ERRANDS_AT_ONCE = 200
LOOK_S = 1.0  # for errands that were put off, and at files
LEFT_OVERS_S = 60.0  # how often runs of workers that died are looked for
TRANSIENT_WAIT_S = (2.0, 30.0)  # the first pause after a fault, and the longest
ACCOUNT_WAIT_S = (15.0, 300.0)
CONTRACT_WAIT_S = (60.0, 3600.0)
UNKNOWN = "unknown_prospect"
UNKNOWN_TRIES = 8  # over two hours
UNSETTLED = -1  # the revision of a member that its run has deferred


@dataclass
class _OpenRun:
    """A run that takes prospects. `members`: (source, prospect id) -> the revision it was enlisted with."""

    run: Run
    opened_at: float
    members: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Closed:
    """A run that has been concluded."""

    run_id: UUID
    verdict: Verdict


class Clerk:
    """Serves one action, in a thread of its own.

    Args:
        service: a copy of it is made for this thread.
        request: what every run of this action asks for; who the worker is in Airflow.
        worker: how the ledger names it.
    """

    def __init__(self, service: SyncService, inbox: Inbox, request: RunRequest, worker: str) -> None:
        self.action = request.action
        self.bell = threading.Event()
        self.closed: list[Closed] = []
        self.blocked: AccountError | TransientError | None = None
        self.turned_bad = False  # this worker has served it before
        self._has_served = False
        self._listener: Listener | None = None
        self._service, self._inbox = service.of_a_thread(), inbox
        self._request, self._worker = request, worker
        self._in_hand: list[Errand] = []
        self._later: dict[Errand, str] = {}  # of those in hand: not done, and why
        self._enlisted = False  # those in hand are in the run
        self._open: _OpenRun | None = None
        self._vetted: Vetted | None = None
        self._files: Fingerprint = ()
        self._drainer: Drainer | None = None
        self._stack = ExitStack()
        self._asking = Asking(self.action, LookUp(self._service.captello), self._service.ledger.keep_prospects)
        self._retry_at = self._left_overs_at = float("-inf")
        self._pause_s = 0.0

    @property
    def trouble(self) -> AccountError | TransientError | None:
        """Why the action is not served at the moment, or some of its deliveries are not."""
        return self.blocked or self._asking.trouble

    def work(self, ending: threading.Event) -> None:
        """Serve until the worker ends or is stopped, then close what is open. Raises only what nobody expects."""
        try:
            while not ending.is_set() and not self._service.stopping.is_set():
                self._round(ending)
                self.bell.wait(LOOK_S)
                self.bell.clear()
        finally:
            self._leave()

    def keep(self) -> None:
        """Called by another thread, well within a lease: what is in hand stays ours."""
        in_hand, is_open = list(self._in_hand), self._open
        self._inbox.extend(self.action, in_hand, lease_seconds())
        if is_open is not None:
            self._service.ledger.touch_runs([is_open.run.run_id])

    # ------------------------------------------------------------ a round

    def _round(self, ending: threading.Event) -> None:
        if time.monotonic() < self._retry_at and self._fingerprint() == self._files:
            return
        try:
            self._get_ready()
            if self._listener is None:
                return
            while self._in_hand or (not ending.is_set() and self._take()):
                self._serve()
            if self._open is not None and self._is_full():
                self._close_run()
            self._clear_up()
        except StoppedError:  # `work` ends by itself
            return
        except (AccountError, TransientError) as fault:
            self._bear(fault)
            return
        if self.blocked is not None:
            log.info("%s: served again", self.action)
        self.blocked, self._pause_s = None, 0.0

    def _take(self) -> bool:
        self._in_hand = self._inbox.take(self.action, ERRANDS_AT_ONCE, lease_seconds())
        return bool(self._in_hand)

    def _serve(self) -> None:
        """Sync whom the errands in hand are about."""
        if not self._enlisted:
            self._enlist()
        if self._open is not None and self._drainer is not None and self._enlisted:
            self._drainer.drain(self._open.run, self._worker)
            self._has_served = True
            self._note_deferred(self._open)
        self._hand_back()

    def _note_deferred(self, run: _OpenRun) -> None:
        """What was deferred for a reason that passes is not done. Whoever asks again meanwhile gets another run."""
        by_source: dict[str, set[str]] = {}
        for errand in self._in_hand:
            by_source.setdefault(errand.delivery.prospect_source, set()).update(errand.delivery.prospect_ids)
        deferred = {
            (source, prospect_id): reason
            for source, ids in by_source.items()
            for prospect_id, reason in self._service.ledger.put_by(
                run.run.run_id, source, ids, but_for=WAITING | FOR_REVIEW
            ).items()
        }
        run.members |= dict.fromkeys(deferred.keys() & run.members.keys(), UNSETTLED)
        for errand in self._in_hand:
            keys = ((errand.delivery.prospect_source, prospect_id) for prospect_id in errand.delivery.prospect_ids)
            reasons = [deferred[key] for key in keys if key in deferred]
            if reasons:
                self._later[errand] = reasons[0]

    def _hand_back(self) -> None:
        """What is in hand is done, or put off: it is taken again after a pause that grows."""
        self._inbox.done(self.action, [errand for errand in self._in_hand if errand not in self._later])
        for errand, code in self._later.items():
            about, tries = errand.delivery.delivery_id, errand.tries(code)
            if code == UNKNOWN and tries >= UNKNOWN_TRIES:
                log.error("%s: webhook %s is closed: its source does not know the prospect", self.action, about)
                self._inbox.done(self.action, [errand], UNKNOWN)
                continue
            after_s = pause_s(tries)
            log.warning("%s: webhook %s is not done (%s); again in %.0f s", self.action, about, code, after_s)
            self._inbox.put_off(self.action, [errand], after_s, code)
        self._in_hand, self._later, self._enlisted = [], {}, False

    def _ask(self) -> dict[str, dict[str, bool]]:
        """Whom the errands in hand ask for, as `Asked.wanted`. Those that cannot be read are put off."""
        asked = self._asking.read(self._in_hand, self._listener)
        for unread in asked.unread:
            self._put_off(unread)
        self._later = dict.fromkeys(asked.unknown, UNKNOWN)
        return asked.wanted

    def _put_off(self, unread: Unread) -> None:
        errand, fault = unread.errand, unread.fault
        code, waits = ("contract", CONTRACT_WAIT_S) if unread.by_contract else ("source", _waits_s(fault))
        after_s = pause_s(errand.tries(code), *waits)
        about = errand.delivery.delivery_id
        log.error("%s: webhook %s: %s; again in %.0f s", self.action, about, fault, after_s)
        self._inbox.put_off(self.action, [errand], after_s, code)
        self._in_hand = [other for other in self._in_hand if other is not errand]

    def _enlist(self) -> None:
        wanted = self._ask()
        revisions = {
            (source, prospect_id): revision
            for source, ids in wanted.items()
            for prospect_id, revision in self._service.ledger.revisions(source, list(ids)).items()
        }
        self._tell_missing(wanted, revisions)
        again = {key for key in revisions if wanted[key[0]][key[1]]}
        members = self._open.members if self._open is not None else {}
        fresh = {key: revision for key, revision in revisions.items() if key in again or members.get(key) != revision}
        if not fresh:
            return
        if self._open is not None and (self._is_full() or members.keys() & fresh.keys()):
            self._close_run()
        run = self._open or self._open_run()
        for source in wanted:
            ids = [prospect_id for of, prospect_id in fresh if of == source]
            self._service.ledger.enlist(run.run.run_id, source, ids)
        if len(fresh) > 1:  # nothing else of the run is unsettled: it was drained before more is taken
            by_name = self._vetted is not None and self._vetted.action.duplicates.match_by is MatchBy.EMAIL_OR_NAME
            self._service.ledger.group_persons(run.run.run_id, by_name=by_name)
        run.members |= fresh
        self._enlisted = True

    def _tell_missing(self, wanted: dict[str, dict[str, bool]], stored: Collection[tuple[str, str]]) -> None:
        missing = sum((source, prospect_id) not in stored for source, ids in wanted.items() for prospect_id in ids)
        if missing:
            log.warning("%s: %d delivered prospects are not stored any more", self.action, missing)

    # ------------------------------------------------------------ runs

    def _is_full(self) -> bool:
        is_open = self._open
        return is_open is not None and is_full(len(is_open.members), time.monotonic() - is_open.opened_at)

    def _open_run(self) -> _OpenRun:
        if self._vetted is None:
            raise RuntimeError("a run is opened after a preflight")
        dag_run_id = self._request.dag_run_id and f"{self._request.dag_run_id}/{self.action}/{uuid4().hex[:8]}"
        self._open = _OpenRun(self._service.begin(self._vetted, dag_run_id), time.monotonic())
        log.info("%s: run %s opened", self.action, self._open.run.run_id)
        return self._open

    def _close_run(self) -> None:
        if self._open is not None:
            self._conclude(self._open.run.run_id)
            self._open = None

    def _conclude(self, run_id: UUID) -> None:
        verdict = self._service.conclude(run_id)
        self.closed.append(Closed(run_id, verdict))
        log.log(
            logging.INFO if verdict.ok else logging.ERROR,
            *("%s: run %s: %s", self.action, run_id, "; ".join([verdict.balance(), *verdict.problems])),
        )

    def _clear_up(self) -> None:
        """Runs that a worker has left behind: gone on with where that is possible, given up where not. What they have
        not done stands in the inbox still."""
        if time.monotonic() - self._left_overs_at < LEFT_OVERS_S:
            return
        self._left_overs_at = time.monotonic()
        for run_id in self._service.ledger.left_runs(self.action, 3 * lease_seconds()):
            run = self._service.ledger.run(run_id)
            if self._drainer is not None and self._vetted is not None and _is_alike(run, self._vetted):
                self._drainer.drain(run, self._worker)
            else:
                self._service.ledger.abandon_run(run_id)
            self._conclude(run_id)

    # ------------------------------------------------------------ being ready, and faults

    def _get_ready(self) -> None:
        """Preflight when the worker begins, when a file has changed, and after a fault of the account."""
        files = self._fingerprint()
        if files == self._files and (self._drainer is not None or self._listener is None):
            return
        self._files = files
        self._cool_down()
        self._listener = read_listener(self._service.include, self.action)
        if self._listener is None:  # what it had to do stays open; the worker sees to it
            self._close_run()
            self._inbox.put_off(self.action, self._in_hand, 0.0, None)
            self._in_hand, self._later, self._enlisted, self.blocked = [], {}, False, None
            return
        vetted = self._service.vet(self._request)
        if self._open is not None and not _is_alike(self._open.run, vetted):
            self._service.ledger.abandon_run(self._open.run.run_id)
            self._close_run()
            self._enlisted = False
        self._vetted = vetted
        run = self._open.run if self._open is not None else vetted.run(None)
        drainer = self._stack.enter_context(self._service.warmed(run))
        drainer.client.organization()
        for table in drainer.policy.tables:
            drainer.client.metadata(table)
        self._drainer = drainer
        log.info("%s: ready", self.action)

    def _fingerprint(self) -> Fingerprint:
        include = self._service.include
        return fingerprint([include / "actions" / f"{self.action}.yaml", include / "mappings"])

    def _cool_down(self) -> None:
        self._drainer = None
        self._stack.close()

    def _bear(self, fault: AccountError | TransientError) -> None:
        """Wait before the next try. A fault of the account makes the next try begin with a preflight."""
        if isinstance(fault, AccountError):
            self.turned_bad = self._has_served and not isinstance(self.blocked, AccountError)
            self._cool_down()
        first_s, longest_s = _waits_s(fault)
        self._pause_s = min(max(first_s, 2 * self._pause_s), longest_s)
        self._retry_at = time.monotonic() + self._pause_s
        self.blocked = fault
        for line in str(fault).splitlines():
            log.error("%s: %s", self.action, line)
        log.error("%s: what webhooks brought stays due; again in %.0f s", self.action, self._pause_s)

    def _leave(self) -> None:
        """Close the run when nothing in it is open, and give back what is in hand."""
        try:
            if self._open is not None and not self._enlisted:
                self._close_run()
            self._inbox.put_off(self.action, self._in_hand, 0.0, None)
        except (AccountError, TransientError) as fault:
            log.error("%s: %s; the next worker closes what is open", self.action, fault)
        finally:
            self._cool_down()
            self._asking.close()
            self._service.forget()


def request_of(action: str, dag_id: str | None, dag_run_id: str | None) -> RunRequest:
    """What every run of a worker asks for."""
    return RunRequest(action, "fulfillment", {}, source=WEBHOOK, dag_id=dag_id, dag_run_id=dag_run_id)


def _waits_s(fault: AccountError | TransientError) -> tuple[float, float]:
    return ACCOUNT_WAIT_S if isinstance(fault, AccountError) else TRANSIENT_WAIT_S


def _is_alike(run: Run, vetted: Vetted) -> bool:
    """Whether a run was opened under what holds now."""
    return (run.mapping_hash, run.organization_id, run.settings["action"], run.settings["seen"]) == (
        vetted.mapping_hash,
        vetted.organization_id,
        vetted.action.model_dump(mode="json"),
        vetted.seen,
    )
