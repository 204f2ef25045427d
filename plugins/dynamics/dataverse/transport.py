"""Carries requests to one organisation: signed, inside the budget, to the pinned origin, by a strict table of statuses.

Reads are repeated here, within bounds. A write is sent once: again only if it was turned away unread (401 with a new
token, 429 after the pause asked for). Whatever else goes wrong with a write after it left leaves its outcome unknown.
What refusals mean row by row is left to `bulk` and `query`.

Source: Microsoft Learn, "Compose HTTP requests and handle errors", "Service protection API limits".
"""

from __future__ import annotations

import logging
import ssl
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, SSLError

from dynamics import killpoints
from dynamics.dataverse.account import DataverseAccount, api_twin
from dynamics.dataverse.auth import TokenSource
from dynamics.dataverse.faults import FaultClass, classify, read_fault, safe_message
from dynamics.dataverse.session import Answer, BodyTooLargeError, Session, retry_after_s
from dynamics.errors import (
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

SERVICE_PATH = "/api/data/v9.2/"
MAX_TRIES = 6
MAX_WAIT_S = 180.0  # of one call, in all
DEFAULT_PAUSE_S = 5.0  # after a 429 that names none
MAX_BACKOFF_S = 30.0

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


class Transport:
    """The way to one organisation, for any number of threads. `requests` counts what was sent there."""

    def __init__(
        self,
        account: DataverseAccount,
        budget: Budget,
        clock: Clock,
        pool_size: int = 4,
        on_token: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._origin = account.environment_url
        self._origins = {account.environment_url, api_twin(account.environment_url)}
        self._budget = budget
        self._clock = clock
        self._tokens = TokenSource(account, clock, on_token)
        self._session = Session(account, pool_size)
        self._counting = threading.Lock()
        self.requests = 0

    def close(self) -> None:
        """Close all connections."""
        self._session.close()
        self._tokens.close()

    def send(self, call: Call) -> Answer:
        """Send a request and give its answer: any success, or a refusal whose reason is in the request itself.

        Raises:
            AccountError: we are not let in. ContractError: the answer is none Dataverse gives.
            TransientError: not served within the bounds of repetition; nothing was written.
            OutcomeUnknownError: a write left, and its fate did not come back.
        """
        started, tries, token_replaced = self._clock.monotonic(), 0, False
        token = self._tokens.token()
        while True:
            tries += 1
            try:
                answer = self._exchange(call, token)
                if answer.status == 401 and not token_replaced:
                    token, token_replaced = self._tokens.replace(token), True
                    continue
                self.judge(call, answer)
                return answer
            except TransientError as fault:
                pause_s = min(0.5 * 2**tries, MAX_BACKOFF_S) if fault.retry_after_s is None else fault.retry_after_s
                waited_s = self._clock.monotonic() - started
                repeatable = not call.writes or isinstance(fault, RateLimitedError)
                if not repeatable or tries >= MAX_TRIES or waited_s + pause_s > MAX_WAIT_S:
                    raise
                if not isinstance(fault, RateLimitedError):  # that pause is kept in the budget
                    self._clock.sleep(pause_s)

    def path_of(self, operation: str, subject: str, link: str) -> str:
        """The path of a link the organisation gave, from its host's root, query untouched.

        Raises:
            ContractError: the link leads to somebody else.
        """
        parts = urlsplit(link)
        if f"{parts.scheme}://{parts.netloc}".lower() not in self._origins:
            raise ContractError(operation, subject, detail="a link leads to another host")
        return link.partition(parts.netloc)[2]

    def _exchange(self, call: Call, token: str) -> Answer:
        our_id = str(uuid.uuid4())
        headers = {**HEADERS, "x-ms-client-request-id": our_id, **call.headers}
        if call.method == "GET":
            headers.setdefault("If-None-Match", "null")  # else something on the way may answer from memory
        if call.body is not None:
            headers.setdefault("Content-Type", JSON)
        with self._budget.slot():
            with self._counting:
                self.requests += 1
            started = self._clock.monotonic()
            if call.writes:
                killpoints.reach("K4")
            try:
                url = f"{self._origin}{SERVICE_PATH}{call.path}"
                answer = self._session.send(call.method, url, token=token, headers=headers, data=call.body)
            except (requests.RequestException, BodyTooLargeError) as lost:
                raise _lost(call, lost, our_id) from lost
        took_ms = (self._clock.monotonic() - started) * 1000
        log.debug("%s %s: HTTP %d in %.0f ms, request %s", call.operation, call.subject, answer.status, took_ms, our_id)
        return answer

    def judge(self, call: Call, answer: Answer) -> None:
        """Raise, as `send` does, for what ends a call whoever made it; refusals of its content pass.

        Also for the parts of a batch. A 429 makes everyone pause.
        """
        status = answer.status
        if status < 300:
            return
        if status < 400:
            detail = "the answer is a redirect: check the environment address"
            raise ContractError(call.operation, call.subject, detail=detail, status=status)
        if status >= 400 and "multipart/" in answer.headers.get("Content-Type", ""):
            return
        fault = read_fault(answer)
        kind = classify(fault)
        facts = _Facts(status=status, code=fault.code or None, request_id=fault.request_id)
        if status == 401:
            detail = "the organisation refuses our token: check environment address, tenant id and application user"
            raise AccountError(call.operation, call.subject, detail=detail, **facts)
        if kind is FaultClass.ACCOUNT:
            raise AccountError(call.operation, call.subject, detail=safe_message(fault), **facts)
        wait_s = retry_after_s(answer.headers, self._clock.now())
        if status == 429:
            wait_s = DEFAULT_PAUSE_S if wait_s is None else wait_s
            self._budget.pause(wait_s)
            raise RateLimitedError(call.operation, call.subject, retry_after_s=wait_s, **facts)
        if kind is FaultClass.TRANSIENT and call.writes and status >= 500:
            raise OutcomeUnknownError(call.operation, call.subject, **facts)
        if kind is FaultClass.TRANSIENT or (kind is FaultClass.ROLLED_BACK and not call.writes):
            raise ServiceUnavailableError(call.operation, call.subject, retry_after_s=wait_s, **facts)


def _lost(call: Call, error: Exception, our_id: str) -> DynamicsError:
    """What a missing answer means. Only a connection that never came to be proves that nothing was written."""
    facts = _Facts(status=None, code=None, request_id=our_id)
    reason = _reason(error)
    if isinstance(reason, SSLError) and isinstance(_first(reason), ssl.SSLCertVerificationError):
        detail = "the environment's certificate is not trusted: check environment address and CA bundle"
        return AccountError(call.operation, call.subject, detail=detail, **facts)
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
