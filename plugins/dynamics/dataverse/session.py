"""HTTP sessions that do what was asked and nothing else: no redirects, cookies, .netrc entries or repeats.

Source: requests documentation, "Session Objects" and "SSL Cert Verification".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from dynamics.dataverse.account import DataverseAccount

CONNECT_TIMEOUT_S = 10.0
MAX_BODY_BYTES = 256 * 1024 * 1024  # several full pages of 5,000 wide rows in one batch answer stay well below
_PIECE_BYTES = 256 * 1024
LONGEST_WAIT_S = 86_400.0


class BodyTooLargeError(Exception):
    """An answer is larger than anything that was asked for."""


class Bearer(AuthBase):
    """Signs a request. As an auth object, because requests would else let a .netrc entry replace the header."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end. Names in `headers` compare without case.

    `sent_as` is the application user that asked; empty means the account's own.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_as: str = ""


class Session:
    """A pool of connections for one account, to be shared by threads.

    A CA bundle of the account is the only one trusted, whatever `REQUESTS_CA_BUNDLE` says; proxies of the environment
    are used, except for a sandbox, which is on this machine.

    `connections`: threads that send at once. With fewer than these, connections would be dropped and made anew.
    """

    def __init__(self, account: DataverseAccount, connections: int = 1) -> None:
        self._timeout = (CONNECT_TIMEOUT_S, account.timeout_s)
        self._verify = account.ca_bundle
        self._session = requests.Session()
        self._session.trust_env = not account.sandbox
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # An affinity cookie would keep all requests on one of the environment's web servers.
        self._session.mount("https://", HTTPAdapter(pool_connections=2, pool_maxsize=connections, max_retries=0))

    def send(self, method: str, url: str, *, token: str | None = None, **content: Any) -> Answer:
        """Send one request. `content`: headers, params and data as requests takes them.

        Raises:
            requests.RequestException: no complete answer. BodyTooLargeError: far more than was asked for.
        """
        with self._session.request(
            method,
            url,
            auth=Bearer(token),
            timeout=self._timeout,
            verify=self._verify,  # said with each request, or the environment's bundle would win
            allow_redirects=False,
            stream=True,
            **content,
        ) as response:
            return Answer(response.status_code, response.headers, _read(response))

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_content(_PIECE_BYTES):
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError
    return bytes(body)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait as `Retry-After` asks, in seconds or as a date; None when it asks for nothing readable."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), LONGEST_WAIT_S)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):  # no date, or one without its zone
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
