"""Gets access tokens for one account from Entra ID, and says in one sentence what a person must do if there is none.

msal speaks the protocol, and nothing more: each token comes from a fresh msal application, because msal remembers
refusals for a minute and will not keep tokens of a short life; lost connections and an overloaded service never reach
it. When a token is needed is decided in `transport`.

Source: Microsoft Learn, "Microsoft Entra authentication and authorization error codes"; msal-python.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal  # type: ignore[import-untyped]
import orjson
import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS  # type: ignore[import-untyped]
from pydantic import SecretStr

from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.session import Answer, BodyTooLargeError, Session, retry_after_s
from dynamics.errors import (
    AccessError,
    AccountError,
    DynamicsError,
    RateLimitedError,
    ServiceUnavailableError,
    StoppedError,
    TransientError,
)
from dynamics.sync.ports import Clock

OPERATION = "sign in to"
EARLY_S = 300.0  # a token is replaced so long before its end, or in the last tenth of a short life
MAX_TRIES = 4
MAX_WAIT_S = 60.0
FAILURE_MEMORY_S = 2.0  # threads that wait for the token of a caller who got none do not each ask again

REMEDIES = {
    7000215: "the client secret is wrong: put the secret's value, not its id, into the connection",
    7000222: "the client secret has expired: create a new one in the app registration and put it into the connection",
    7000112: "the application is disabled: enable it in Entra ID, under Enterprise applications",
    7000216: "the app registration has no secret or certificate: add one and put it into the connection",
    7000229: "the application has no service principal in this tenant: have an administrator consent to it",
    700016: "the client id is not known in this tenant: check client id and tenant id of the connection",
    700027: "the certificate does not belong to the app registration: upload it there, or correct the connection",
    700024: "the signature's time is out of range: set this machine's clock",
    700030: "the certificate does not belong to the app registration: upload it there, or correct the connection",
    90002: "the tenant is not known: check the tenant id of the connection",
    900023: "the tenant id is neither an id nor a domain: correct the connection",
    50034: "the application's identity does not exist in this tenant: check client id and tenant id",
    500011: "the environment address is not known in this tenant: check environment address and tenant id",
    500341: "the application's identity was deleted from this tenant: register it anew",
    53003: "a conditional access policy keeps the application out: ask the tenant's administrator",
    1002012: "the environment address makes no valid scope: correct the connection",
    70011: "the environment address makes no valid scope: correct the connection",
}
_AADSTS = re.compile(r"AADSTS(\d{4,8})")
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class TokenSource:
    """Access tokens of one account for its environment; any number of threads may ask, one at a time is served.

    Args:
        on_token: hears every token, for whoever keeps secrets out of logs.
    """

    def __init__(
        self, account: DataverseAccount, clock: Clock, on_token: Callable[[str], None] = lambda _: None
    ) -> None:
        self._account = account
        self._clock = clock
        self._on_token = on_token
        self._session = Session(account)
        self._endpoints: dict[str, _MsalAnswer] = {}
        self._lock = threading.Lock()
        self._token: str | None = None
        self._use_until = 0.0
        self._failure: DynamicsError | None = None
        self._failed_at = 0.0

    def token(self) -> str:
        """A token that is good for a while.

        Raises:
            AccountError: there will be none until a person acts. TransientError: not now.
        """
        with self._lock:
            if self._token is None or self._clock.monotonic() >= self._use_until:
                return self._renew()
            return self._token

    def replace(self, refused: str) -> str:
        """Another token than one the organisation has refused. Raises as `token`."""
        with self._lock:
            return self._renew() if self._token in (None, refused) else str(self._token)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _renew(self) -> str:
        if self._failure is not None and self._clock.monotonic() - self._failed_at < FAILURE_MEMORY_S:
            raise copy.copy(self._failure)  # each caller its own, or their tracebacks pile up in one
        self._token = None
        try:
            token, lifetime_s = self._acquire_in_the_end()
        except DynamicsError as failure:
            self._failure, self._failed_at = failure, self._clock.monotonic()
            raise
        self._failure, self._token = None, token
        self._use_until = self._clock.monotonic() + lifetime_s - min(EARLY_S, lifetime_s / 10)
        self._on_token(token)
        return token

    def _acquire_in_the_end(self) -> tuple[str, float]:
        """Ask, and ask again while Entra ID is busy. The other callers wait: none of them would fare better."""
        waited_s = 0.0
        for tries in range(1, MAX_TRIES):
            try:
                return self._acquire()
            except TransientError as busy:
                pause_s = float(2**tries) if busy.retry_after_s is None else busy.retry_after_s
                if waited_s + pause_s > MAX_WAIT_S:
                    raise
            self._clock.sleep(pause_s)
            if self._clock.stopping:
                raise StoppedError(OPERATION, self._account.title, detail="this process was asked to stop")
            waited_s += pause_s
        return self._acquire()

    def _acquire(self) -> tuple[str, float]:
        authority = self._account.authority_url
        client = _MsalHttpClient(self._session, authority, self._account.title, self._clock, self._endpoints)
        try:
            application = msal.ConfidentialClientApplication(
                self._account.client_id,
                authority=authority,
                client_credential=_credential(self._account),
                instance_discovery=False,  # would ask Microsoft about hosts, ours among them
                http_client=client,
            )
            result = application.acquire_token_for_client([f"{self._account.environment_url}/.default"])
        except ValueError as refused:  # msal's word for an unknown tenant, a bad authority or an unreadable key
            raise _refusal(client) from refused
        if not isinstance(result.get("access_token"), str):
            raise _refusal(client)
        return result["access_token"], float(result.get("expires_in") or 0)

    def __repr__(self) -> str:
        return f"TokenSource({self._account.environment_url})"


class _MsalHttpClient:
    """The HTTP client msal is given. Stays with the authority's host; keeps faults of the service out of msal.

    `endpoints` remembers what the authority says of itself, or each sign-in would ask for it anew.
    """

    def __init__(
        self, session: Session, authority: str, title: str, clock: Clock, endpoints: dict[str, _MsalAnswer]
    ) -> None:
        self._session = session
        self.title = title  # of the account, for messages
        self._host = urlsplit(authority).netloc.lower()
        self._clock = clock
        self._endpoints = endpoints
        self.refusal = ""  # msal words a refusal anew and drops its code
        self.status: int | None = None

    def get(self, url: str, **content: Any) -> _MsalAnswer:
        if url not in self._endpoints:
            given = self._send("GET", url, content)
            if given.status_code != 200:
                return given
            self._endpoints[url] = given
        return self._endpoints[url]

    def post(self, url: str, **content: Any) -> _MsalAnswer:
        return self._send("POST", url, content)

    def close(self) -> None:
        """The session belongs to the token source."""

    def _send(self, method: str, url: str, content: dict[str, Any]) -> _MsalAnswer:
        if not self._may_ask(url):
            detail = "the authority sends us to another host: check the authority"
            raise AccountError("", self.title, detail=detail)
        try:
            answer = self._session.send(method, url, **content)
        except requests.exceptions.SSLError as wrong:
            detail = "the sign-in host's certificate is not trusted: check the authority and the CA bundle"
            raise AccountError("", self.title, detail=detail) from wrong
        except (requests.RequestException, BodyTooLargeError) as lost:
            raise ServiceUnavailableError(OPERATION, self.title, detail=f"no answer: {type(lost).__name__}") from lost
        if 300 <= answer.status < 400:
            raise AccountError("", self.title, detail="the sign-in host redirects: check the authority")
        fault = _fault_of_service(answer, self.title, self._clock)
        if fault is not None:
            raise fault
        given = _MsalAnswer(answer)
        if answer.status >= 400:
            self.refusal, self.status = given.text, answer.status
        return given

    def _may_ask(self, url: str) -> bool:
        parts = urlsplit(url)
        both_known = {parts.netloc.lower(), self._host} <= WELL_KNOWN_AUTHORITY_HOSTS
        return parts.scheme == "https" and (both_known or parts.netloc.lower() == self._host)


class _MsalAnswer:
    """An answer in the shape msal reads."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.headers = answer.headers
        self.text = answer.body.decode(errors="replace")

    def raise_for_status(self) -> None:
        """Statuses that would raise never come this far."""


def _fault_of_service(answer: Answer, title: str, clock: Clock) -> TransientError | None:
    """What is not Entra's word on our credentials: it is busy, down, or something in between answered for it."""
    wait_s = retry_after_s(answer.headers, clock.now())
    if answer.status == 429:
        return RateLimitedError(OPERATION, title, retry_after_s=wait_s, status=429)
    if answer.status < 500 and _is_json(answer.body):
        return None
    return ServiceUnavailableError(OPERATION, title, retry_after_s=wait_s, status=answer.status)


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def _refusal(client: _MsalHttpClient) -> AccessError:
    """An error in our own words: Entra's text names ids, and may change any day."""
    found = _AADSTS.search(client.refusal)
    if found is None:
        detail = "no token: check tenant id, client id and authority of the connection"
        return AccessError("", client.title, detail=detail, status=client.status)
    detail = REMEDIES.get(int(found[1]), "no token: look up the code, and check the connection")
    return AccessError("", client.title, detail=detail, status=client.status, code=found[0])


def _credential(account: DataverseAccount) -> str | dict[str, str]:
    """What msal wants: the secret, or the parts of the certificate file. Raises AccountError for an unusable file."""
    title = account.title
    if account.certificate is None:
        return account.client_secret.get_secret_value() if account.client_secret else ""
    blocks = {block[1].rpartition(" ")[2]: block[0] for block in _PEM_BLOCK.finditer(_pem(account.certificate, title))}
    if not {"KEY", "CERTIFICATE"} <= blocks.keys():
        raise _unusable(title, "must hold the certificate and its private key, both as PEM")
    password = account.certificate_password.get_secret_value() if account.certificate_password else None
    try:
        load_pem_private_key(blocks["KEY"].encode(), password.encode() if password is not None else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise _unusable(title, "has a private key that cannot be opened: check the key and its password") from wrong
    credential = {"private_key": blocks["KEY"], "public_certificate": blocks["CERTIFICATE"]}
    return credential | {"passphrase": password} if password is not None else credential


def _pem(certificate: SecretStr, title: str) -> str:
    text = certificate.get_secret_value()
    if _PEM_BLOCK.search(text):
        return text
    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, ValueError) as unreadable:
        raise _unusable(title, "is neither PEM text nor a file that can be read") from unreadable


def _unusable(title: str, what: str) -> AccountError:
    return AccountError("", title, detail=f"the certificate of the connection {what}")
