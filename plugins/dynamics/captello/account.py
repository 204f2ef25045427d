"""What is needed to talk to one Captello account; made by `dynamics.config` from an Airflow connection.

Source: Capture Source API v1, transport.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import SecretStr

from dynamics.captello.template import WebhookTemplate


class Auth(StrEnum):
    """How we sign in: a key in a header, or OAuth client credentials."""

    API_KEY = "api_key"
    CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True)
class CaptelloAccount:
    """One connected account. `origin` is scheme, host and port; nothing is ever sent elsewhere.

    `secret` is the API key or the client secret; `webhook_secret` may be two, parted by a blank;
    `webhook_template` takes unsigned calls. `timeout_s` counts for connecting and for each wait on the answer.
    """

    origin: str
    auth: Auth
    secret: SecretStr
    client_id: str | None = None
    account_id: str | None = None
    webhook_secret: SecretStr | None = None
    webhook_template: WebhookTemplate | None = None
    ca_bundle: str | None = None
    timeout_s: float = 30.0


# A name, in which the last label begins with a letter: no number, in whatever notation, passes for one.
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_THIS_MACHINE = ("127.0.0.1", "::1")  # where a sandbox is


def parse_origin(text: str) -> str:
    """The origin of an API address: `https://capture.example.com`, with a port where it is not 443.

    Captello's addresses are not known, so any name is taken; of numbers only this machine's, since others are ways to
    reach what is not meant to be reached.

    Raises:
        ValueError: it is no plain https address; the text says why and never repeats the address, which may hold a key.
    """
    try:
        parts = urlsplit(text.strip() if "://" in text else f"https://{text.strip()}")
        port = parts.port
    except ValueError:
        raise ValueError("cannot be read as an address") from None
    if parts.scheme != "https":
        raise ValueError("does not begin with https://")
    if not parts.hostname:
        raise ValueError("names no host")
    if not _NAME.fullmatch(parts.hostname) and parts.hostname not in _THIS_MACHINE:
        raise ValueError("names a host by number, or in characters that no name has")
    if parts.username or parts.password:
        raise ValueError("has a user name or password in it")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("goes on after the host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" if port in (None, 443) else f"https://{host}:{port}"
