"""Carries requests to one organisation: signed, inside the budget, to the pinned origin, by a strict table of statuses.

Reads are repeated here, for a while; how long nobody asks is the budget's to say. A failure that the service itself
reports of one request makes nobody else wait: that read is repeated a few times. A write is sent once: again only if
it was turned away unread (401 with a new token, 429 after the pause asked for). Whatever else goes wrong with a write
after it left leaves its outcome unknown. What refusals mean row by row is left to `bulk` and `query`.

Source: Microsoft Learn, "Compose HTTP requests and handle errors", "Service protection API limits".
"""

from __future__ import annotations

import copy
import logging
import ssl
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypedDict
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, SSLError

from dynamics import killpoints
from dynamics.core.throttle import OUTAGE_PATIENCE_S, PAUSE_PATIENCE_S, bounded_pause_s
from dynamics.dataverse.account import DataverseAccount, api_twin
from dynamics.dataverse.auth import TokenSource
from dynamics.dataverse.faults import (
    FEWER_CODES,
    Fault,
    FaultClass,
    classify,
    is_outage,
    keeps_out,
    read_fault,
    safe_message,
)
from dynamics.dataverse.session import Answer, BodyTooLargeError, Session, retry_after_s
from dynamics.errors import (
    AccessError,
    AccountError,
    ContractError,
    DynamicsError,
    OutcomeUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
    TransientError,
)
from dynamics.sync.ports import Budget, Clock

log = logging.getLogger("dynamics.dataverse")

REFUSAL_MEMORY_S = 3.0
SERVICE_PATH = "/api/data/v9.2/"
MAX_MISHAPS = 4  # of one read, before it is left to whoever asked
SIGN_IN_S = 0.5  # a place is not kept while a token is longer in coming
DOP_HINT = "x-ms-dop-hint"

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "OData-Version": "4.0",
    "OData-MaxVersion": "4.0",
    "User-Agent": "airflow-dynamics-sync",
}
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Call:
    """One request. `operation` and `subject` are for errors; `path` is below the service root, percent-encoded."""

    operation: str
    subject: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    writes: bool = False


class _Facts(TypedDict):
    status: int | None
    code: str | None
    request_id: str | None


class MishapError(ServiceUnavailableError):
    """The service is there, and says that it failed with this one request."""


@dataclass
class _Repeats:
    """What one call has met so far, and so whether it is sent again: failures and pauses of the service, mishaps."""

    mishaps: int = 0
    down_since: float | None = None
    paused_since: float | None = None
    met: TransientError | None = None

    def outage_left_s(self, now: float) -> float:
        return OUTAGE_PATIENCE_S if self.down_since is None else self.down_since + OUTAGE_PATIENCE_S - now

    def lasts(self, fault: TransientError, now: float) -> bool:
        """Whether a call that met this may be sent again."""
        if isinstance(fault, RateLimitedError):
            self.paused_since = now if self.paused_since is None else self.paused_since
            return now - self.paused_since < PAUSE_PATIENCE_S
        self.met = fault
        if isinstance(fault, MishapError):
            self.mishaps += 1
            return self.mishaps <= MAX_MISHAPS
        self.down_since = now if self.down_since is None else self.down_since
        return self.outage_left_s(now) > 0

    def pause_s(self, fault: TransientError) -> float:
        """How long this call alone waits now; pauses for everyone are the budget's."""
        return 2.0 ** (self.mishaps - 1) if isinstance(fault, MishapError) else 0.0


class Transport:
    """The way to one organisation, for any number of threads, of which `connections` send at once.

    `requests` counts what was sent there. `tokens` by application user are kept by whoever gives them.
    """

    def __init__(
        self,
        account: DataverseAccount,
        budget: Budget,
        clock: Clock,
        on_token: Callable[[str], None] = lambda _: None,
        connections: int = 1,
        tokens: dict[str, TokenSource] | None = None,
    ) -> None:
        self.account = account
        self._origin = account.environment_url
        self._origins = {account.environment_url, api_twin(account.environment_url)}
        self._budget = budget
        self._clock = clock
        self._on_token = on_token
        self._session = Session(account, connections)
        self._lock = threading.Lock()
        self._tokens: dict[str, TokenSource] = {} if tokens is None else tokens
        self._hints: dict[str, str] = {}
        self._refusals: dict[str, tuple[AccessError, float]] = {}  # by user, with the time
        self.requests = 0

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(self, call: Call) -> Answer:
        """Send a request and give its answer: any success, or a refusal whose reason is in the request itself.

        Raises:
            AccountError: we are not let in. ContractError: the answer is none Dataverse gives.
            TransientError: not served within the bounds of repetition, or to be stopped; nothing was written.
            OutcomeUnknownError: a write left, and its fate did not come back.
        """
        repeats = _Repeats()
        try:
            return self._send(call, repeats)
        except ServiceUnavailableError as gone:
            met = repeats.met or gone
            if met is gone and gone.status is not None:
                raise
            facts = _Facts(status=met.status, code=met.code, request_id=met.request_id)
            wait_s = gone.retry_after_s
            detail = f"{self.account.title}: {gone.detail}; nothing is lost, it is left to the next try"
            raise ServiceUnavailableError(
                call.operation, call.subject, detail=detail, retry_after_s=wait_s, **facts
            ) from gone

    def _send(self, call: Call, repeats: _Repeats) -> Answer:
        refused, replaced = dict[str, str](), set[str]()  # tokens and users: each user gets another token once
        while True:
            with self._budget.slot(repeats.outage_left_s(self._clock.monotonic())) as user:
                self._heed_refusal(user)
                token = self._token(user, refused.pop(user, None))
                if token is None:
                    continue
                try:
                    answer = self._exchange(call, user, token)
                    if answer.status == 401 and user not in replaced:
                        refused[user] = token
                        replaced.add(user)
                        continue
                    self.judge(call, answer)
                    return answer
                except TransientError as fault:
                    repeatable = not call.writes or isinstance(fault, RateLimitedError)
                    if not repeatable or not repeats.lasts(fault, self._clock.monotonic()):
                        raise
                    pause_s = repeats.pause_s(fault)
            self._clock.sleep(pause_s)  # without a place

    def path_of(self, operation: str, subject: str, link: str) -> str:
        """The path of a link the organisation gave, from its host's root, query untouched.

        Raises:
            ContractError: the link leads to somebody else.
        """
        parts = urlsplit(link)
        if f"{parts.scheme}://{parts.netloc}".lower() not in self._origins:
            raise ContractError(operation, subject, detail="a link leads to another host")
        return link.partition(parts.netloc)[2]

    def _token(self, user: str, refused: str | None) -> str | None:
        """A token of this user; None when it was so long in coming that a pause may have begun meanwhile."""
        with self._lock:
            if user not in self._tokens:
                made = TokenSource(self.account.as_user(user), self._clock, self._on_token)
                self._tokens.setdefault(user, made)  # another client of the account may have been faster
            tokens = self._tokens[user]
        started = self._clock.monotonic()
        token = tokens.token() if refused is None else tokens.replace(refused)
        return token if self._clock.monotonic() - started <= SIGN_IN_S else None

    def _exchange(self, call: Call, user: str, token: str) -> Answer:
        our_id = str(uuid.uuid4())
        headers = {**HEADERS, "x-ms-client-request-id": our_id, **call.headers}
        if call.method == "GET":
            headers.setdefault("If-None-Match", "null")  # else something on the way may answer from memory
        if call.body is not None:
            headers.setdefault("Content-Type", JSON)
        with self._lock:
            self.requests += 1
        started = self._clock.monotonic()
        if call.writes:
            killpoints.reach("K4")
        try:
            url = f"{self._origin}{SERVICE_PATH}{call.path}"
            answer = self._session.send(call.method, url, token=token, headers=headers, data=call.body)
        except (requests.RequestException, BodyTooLargeError) as lost:
            fault = self._lost(call, lost, our_id)
            if isinstance(fault, TransientError | OutcomeUnknownError):
                self._budget.unavailable(user)
            raise fault from lost
        took_ms = (self._clock.monotonic() - started) * 1000
        log.debug("%s %s: HTTP %d in %.0f ms, request %s", call.operation, call.subject, answer.status, took_ms, our_id)
        self._heed_hint(user, answer)
        return replace(answer, sent_as=user)

    def _heed_hint(self, user: str, answer: Answer) -> None:
        hint = answer.headers.get(DOP_HINT, "").strip()
        if hint.isascii() and hint.isdecimal() and len(hint) <= 4 and self._hints.get(user) != hint:
            self._hints[user] = hint
            self._budget.advise(user, int(hint))

    def _heed_refusal(self, user: str) -> None:
        """One refusal speaks for all threads for a moment: whoever waits behind it need not ask as well."""
        error, refused_at = self._refusals.get(user, (None, 0.0))
        if error is not None and self._clock.monotonic() - refused_at < REFUSAL_MEMORY_S:
            raise copy.copy(error)

    def judge(self, call: Call, answer: Answer, *, part: bool = False) -> None:
        """Raise, as `send` does, for what ends a call whoever made it; refusals of its content pass.

        The budget hears of refusals for too much, and of a service that fails.

        Args:
            part: it is the answer to one part of a batch.
        """
        status = answer.status
        if status < 300:
            self._budget.served(answer.sent_as)
            return
        if status < 400:
            detail = "the answer is a redirect: check the environment address"
            raise ContractError("", self.account.title, detail=detail, status=status)
        if "multipart/" in answer.headers.get("Content-Type", ""):
            return
        fault = read_fault(answer)
        kind = classify(fault)
        facts = _Facts(status=status, code=fault.code or None, request_id=fault.request_id)
        wait_s = retry_after_s(answer.headers, self._clock.now())
        if status == 401 or kind is FaultClass.ACCOUNT:
            self._budget.served(answer.sent_as)
            error = self._account_fault(call, answer.sent_as, fault, facts)
            if isinstance(error, AccessError):
                self._refusals[answer.sent_as] = error, self._clock.monotonic()
            raise error
        if status == 429:
            self._budget.pause(answer.sent_as, wait_s, fault.code in FEWER_CODES)
            raise RateLimitedError(call.operation, call.subject, retry_after_s=bounded_pause_s(wait_s), **facts)
        failed = kind is FaultClass.TRANSIENT or (kind is FaultClass.ROLLED_BACK and not call.writes)
        outage = failed and (wait_s is not None or is_outage(fault, part))
        if outage:
            self._budget.unavailable(answer.sent_as, wait_s)
        else:
            self._budget.served(answer.sent_as)
        if failed and call.writes and status >= 500:
            raise OutcomeUnknownError(call.operation, call.subject, **facts)
        if failed:
            kind_of_error = ServiceUnavailableError if outage else MishapError
            raise kind_of_error(call.operation, call.subject, retry_after_s=wait_s, **facts)

    def _account_fault(self, call: Call, user: str, fault: Fault, facts: _Facts) -> AccountError:
        title = self.account.as_user(user).title
        if fault.status == 401:
            detail = "the organisation refuses our token: check environment address, tenant id and application user"
            return AccessError("", title, detail=detail, **facts)
        detail = safe_message(fault)
        if not keeps_out(fault):
            return AccountError(call.operation, f"{call.subject} of {title}", detail=detail, **facts)
        if not fault.code:
            detail += ": check the application user and its security roles"
        return AccessError("", title, detail=detail, **facts)

    def _lost(self, call: Call, error: Exception, our_id: str) -> DynamicsError:
        """What a missing answer means. Only a connection that never came to be proves that nothing was written."""
        facts = _Facts(status=None, code=None, request_id=our_id)
        reason = _reason(error)
        if isinstance(reason, SSLError) and isinstance(_first(reason), ssl.SSLCertVerificationError):
            detail = "the environment's certificate is not trusted: check environment address and CA bundle"
            return AccountError("", self.account.title, detail=detail, **facts)
        detail = f"no answer: {type(error).__name__}"
        if call.writes and not isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError):
            return OutcomeUnknownError(call.operation, call.subject, detail=detail, **facts)
        if isinstance(error, BodyTooLargeError):
            return ContractError(call.operation, call.subject, detail="the answer is far too large", **facts)
        return ServiceUnavailableError(call.operation, call.subject, detail=detail, **facts)


def _reason(error: Exception) -> object:
    """What urllib3 says went wrong, below what requests makes of it."""
    cause = _first(error)
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def _first(error: Exception) -> object:
    return error.args[0] if error.args else None
