"""Carries reads of the Capture Source API: signed, kept on one origin, capped in size, repeated where that helps.

Every call is a read (`:lookup` is a POST so that ids stay out of addresses), so all of them may be repeated.
Knows no endpoint but the token's. Foreign exceptions end here. Source: Capture Source API v1, transport.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.auth import AuthBase

from dynamics.captello.account import Auth, CaptelloAccount
from dynamics.core.crm import JsonObject
from dynamics.core.json_text import parse_json
from dynamics.errors import (
    AccountError,
    ContractError,
    RateLimitedError,
    ServiceUnavailableError,
    StoppedError,
    TransientError,
)
from dynamics.sync.ports import Clock

TOKEN_PATH = "/capture/oauth2/token"  # noqa: S105  # an address, not a secret
SCOPES = "prospects:read submissions:read metadata:read"
MAX_BYTES = 32 * 1024 * 1024  # of one answer; a page of 200 full prospects has a few
MAX_TRIES = 6
MAX_WAIT_S = 300.0  # of one call, in all
TOKEN_SPARE_S = 60.0

_TRANSIENT = (500, 502, 503, 504)
_WORD = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_CHUNK = 64 * 1024


class CursorExpiredError(ContractError):
    """A listing took longer than its cursor lives: begin again from the last prospect seen."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Header(AuthBase):
    """Signs a request. As an auth object, because requests would else let a .netrc entry replace the header."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._name] = self._value
        return request


class CaptelloTransport:
    """One account's connection. `on_token` is told every access token, for whoever keeps secrets out of logs."""

    def __init__(
        self, account: CaptelloAccount, session: requests.Session, clock: Clock, on_token: Callable[[str], None]
    ) -> None:
        self._account = account
        self._session = session
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._clock = clock
        self._on_token = on_token
        self._token: str | None = None
        self._token_until = 0.0

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    def get(self, operation: str, path: str, params: Mapping[str, str] | None = None) -> JsonObject:
        return self._read(operation, "GET", path, params=params)

    def post(self, operation: str, path: str, body: Mapping[str, Any]) -> JsonObject:
        """A read whose question is too private or too long for an address."""
        return self._read(operation, "POST", path, json=body)

    # ------------------------------------------------------------ one call

    def _read(self, operation: str, method: str, path: str, **content: Any) -> JsonObject:
        """Ask until there is an answer.

        Raises:
            AccountError: we are not let in. ContractError: the answer is none of the contract's.
            TransientError: still not served after `MAX_TRIES`, or the pause asked for is too long, or to be stopped.
        """
        answer = self._repeated(operation, lambda: self._send(operation, method, path, self.auth(), **content))
        if answer.status == 401 and self._account.auth is Auth.CLIENT_CREDENTIALS:
            self._token = None  # taken back before its time: one fresh one is worth a try
            answer = self._repeated(operation, lambda: self._send(operation, method, path, self.auth(), **content))
        _refuse(operation, path, answer)
        return _json_object(operation, path, answer)

    def _repeated(self, operation: str, send: Callable[[], _Answer]) -> _Answer:
        waited, tries = 0.0, 0
        while True:
            tries += 1
            try:
                answer = send()
                fault = _transient(operation, answer, self._clock.now())
                if fault is None:
                    return answer
            except TransientError as lost:
                fault = lost
            pause = fault.retry_after_s if fault.retry_after_s is not None else min(0.5 * 2**tries, 30.0)
            if tries == MAX_TRIES or waited + pause > MAX_WAIT_S:
                raise fault
            self._clock.sleep(pause)
            if self._clock.stopping:
                raise StoppedError(operation, "captello", detail="this process was asked to stop") from fault
            waited += pause

    def _send(self, operation: str, method: str, path: str, auth: AuthBase | None, **content: Any) -> _Answer:
        timeout_s = self._account.timeout_s
        try:
            with self._session.request(
                method,
                f"{self._account.origin}{path}",
                auth=auth,
                headers={"Accept": "application/json"},
                timeout=(timeout_s, timeout_s),
                verify=self._account.ca_bundle or True,  # said here, or REQUESTS_CA_BUNDLE would win
                allow_redirects=False,
                stream=True,
                **content,
            ) as response:
                return _Answer(response.status_code, response.headers, _capped(operation, path, response))
        except requests.exceptions.SSLError as wrong:
            detail = f"the certificate of {self._account.origin} is not trusted: check 'API address' and 'CA bundle'"
            raise AccountError(operation, "captello", detail=detail) from wrong
        except (
            requests.exceptions.ConnectionError,
            requests.exceptions.Timeout,
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError,
        ) as lost:
            detail = f"no answer from {self._account.origin}: {type(lost).__name__}"
            raise ServiceUnavailableError(operation, "captello", detail=detail) from lost

    # ------------------------------------------------------------ signing

    def auth(self) -> AuthBase:
        """What signs a request now; asks for a token when there is none that will do. Raises as every call."""
        if self._account.auth is Auth.API_KEY:
            return _Header("X-Api-Key", self._account.secret.get_secret_value())
        if self._token is None or self._clock.monotonic() >= self._token_until:
            self._token, lifetime_s = self._new_token()
            self._token_until = self._clock.monotonic() + max(lifetime_s - TOKEN_SPARE_S, 0.0)
            self._on_token(self._token)
        return _Header("Authorization", f"Bearer {self._token}")

    def _new_token(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._account.client_id or "",
            "client_secret": self._account.secret.get_secret_value(),
            "scope": SCOPES,
        }
        answer = self._repeated("sign in", lambda: self._send("sign in", "POST", TOKEN_PATH, _NO_AUTH, data=form))
        if answer.status in (400, 401, 403):
            detail = "client id or client secret is not accepted: correct them in the connection"
            raise AccountError("sign in", "captello", detail=detail, status=answer.status)
        _refuse("sign in", TOKEN_PATH, answer)
        content = _json_object("sign in", TOKEN_PATH, answer)
        token, lifetime_s = content.get("access_token"), content.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(lifetime_s, int | float):
            raise ContractError("sign in", "captello", detail="the answer holds no access token")
        return token, float(lifetime_s)


class _NoAuth(AuthBase):
    """Signs nothing, and keeps .netrc out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


_NO_AUTH = _NoAuth()


def _capped(operation: str, path: str, response: requests.Response) -> bytes:
    body = bytearray()
    for part in response.iter_content(_CHUNK):
        body += part
        if len(body) > MAX_BYTES:
            raise ContractError(operation, path, detail=f"the answer has more than {MAX_BYTES} bytes")
    return bytes(body)


# ---------------------------------------------------------------- what an answer means


def _transient(operation: str, answer: _Answer, now: datetime) -> TransientError | None:
    kind = RateLimitedError if answer.status == 429 else ServiceUnavailableError
    if answer.status != 429 and answer.status not in _TRANSIENT:
        return None
    return kind(
        operation,
        "captello",
        status=answer.status,
        request_id=_request_id(answer),
        retry_after_s=_pause_s(answer.headers.get("Retry-After"), now),
    )


def _refuse(operation: str, path: str, answer: _Answer) -> None:
    """Raise what a refusal means; the service's own texts are left out, they may name a person."""
    status = answer.status
    if status == 200:
        return
    codes = _codes(answer)
    facts: dict[str, Any] = {
        "status": status,
        "code": codes[0] if codes else None,
        "request_id": _request_id(answer),
    }
    if status == 401:
        detail = "the API key is not accepted: enter a valid one in 'API key or client secret' of the connection"
        raise AccountError(operation, "captello", detail=detail, **facts)
    if status == 403:
        detail = f"the key may not do this: it needs the scopes {SCOPES}"
        raise AccountError(operation, "captello", detail=detail, **facts)
    if status == 410 and "cursor_expired" in codes:
        raise CursorExpiredError(operation, path, **facts)
    if 300 <= status < 400:
        raise ContractError(operation, path, detail="it redirects, which is not followed: check 'API address'", **facts)
    detail = "there is no Capture Source API: check 'API address'" if status == 404 else "the answer was not expected"
    raise ContractError(operation, path, detail=detail, **facts)


def _json_object(operation: str, path: str, answer: _Answer) -> JsonObject:
    try:
        content = parse_json(answer.body)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise ContractError(operation, path, detail="the answer is no JSON object", status=answer.status)
    return content


def _problem(answer: _Answer) -> JsonObject:
    try:
        content = parse_json(answer.body)
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _codes(answer: _Answer) -> list[str]:
    """The words by which a problem names itself: its code, the end of its type, its errors' codes."""
    problem = _problem(answer)
    errors = problem.get("errors")
    named = [problem.get("code"), re.split(r"[/:#]", str(problem.get("type") or ""))[-1]]
    named += [entry.get("code") for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    return [word for word in named if isinstance(word, str) and _WORD.fullmatch(word)]


def _request_id(answer: _Answer) -> str | None:
    said = _problem(answer).get("request_id") or answer.headers.get("X-Request-Id")
    return said if isinstance(said, str) and _WORD.fullmatch(said) else None


def _pause_s(text: str | None, now: datetime) -> float | None:
    """Retry-After in seconds, given as seconds or as a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment - now).total_seconds(), 0.0) if moment.tzinfo else None
