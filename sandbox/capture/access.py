"""Who may call: API keys, OAuth client credentials, scopes. Never by anything in a URL.

Source: Capture Source API v1, transport; RFC 6749 part 4.4 for the token endpoint.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from urllib.parse import unquote_plus

from aiohttp import web

from sandbox.capture.wire import Problem, answer

SCOPES = frozenset(
    {
        "prospects:read",
        "prospects:write",
        "submissions:read",
        "attachments:read",
        "metadata:read",
        "webhooks:manage",
    }
)
_IN_QUERY = frozenset({"api_key", "apikey", "access_token", "token", "key"})


@dataclass(frozen=True)
class Grant:
    """What a caller may do. `caller` keeps callers' idempotency keys apart; it is no secret."""

    caller: str
    scopes: frozenset[str]
    expires_at: datetime | None = None


class Access:
    """Keys and clients; both may be changed at any time. Tokens of a removed client end with it."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        keys: Iterable[str],
        clients: Mapping[str, str],
        token_lifetime_s: float,
    ) -> None:
        self._clock = clock
        self.keys: dict[str, frozenset[str]] = dict.fromkeys(keys, SCOPES)
        self.clients: dict[str, str] = dict(clients)
        self.token_lifetime_s = token_lifetime_s
        self._tokens: dict[str, Grant] = {}

    def require(self, request: web.Request, scope: str) -> Grant:
        """Let the caller in.

        Raises:
            Problem: 400 with credentials in the query, 401 without valid ones, 403 without the scope.
        """
        if _IN_QUERY & {name.lower() for name in request.query}:
            raise Problem(400, "credentials_in_query", "Send credentials in a header; URLs end up in logs.")
        grant = self._grant(request)
        if grant is None:
            raise Problem(
                401,
                "unauthorized",
                "Send a valid X-Api-Key or Bearer token.",
                headers={"WWW-Authenticate": 'Bearer realm="capture"'},
            )
        if scope not in grant.scopes:
            challenge = f'Bearer realm="capture", error="insufficient_scope", scope="{scope}"'
            raise Problem(
                403, "insufficient_scope", f"Needs the scope {scope}.", headers={"WWW-Authenticate": challenge}
            )
        return grant

    def _grant(self, request: web.Request) -> Grant | None:
        given = request.headers.get("X-Api-Key")
        if given is not None:
            found = [scopes for key, scopes in self.keys.items() if compare_digest(key.encode(), given.encode())]
            return Grant("api key", found[0]) if found else None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        grant = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if grant is None or grant.caller not in self.clients:
            return None
        return grant if grant.expires_at is None or self._clock() < grant.expires_at else None

    async def token(self, request: web.Request) -> web.Response:
        """`POST /capture/oauth2/token`: client credentials, by Basic authentication or in the form."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type")
        client, secret = _client(request, form)
        known = self.clients.get(client)
        if known is None or not compare_digest(known.encode(), secret.encode()):
            return _refusal(401, "invalid_client")
        scopes = frozenset(form.get("scope", "").split()) or SCOPES
        if not scopes <= SCOPES:
            return _refusal(400, "invalid_scope")
        token = secrets.token_urlsafe(32)
        self._tokens[token] = Grant(client, scopes, self._clock() + timedelta(seconds=self.token_lifetime_s))
        content = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.token_lifetime_s),
            "scope": " ".join(sorted(scopes)),
        }
        return answer(content, headers={"Cache-Control": "no-store"})


def _client(request: web.Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret; of an unreadable header nothing, which no client is called."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(client), unquote_plus(secret)


def _refusal(status: int, error: str) -> web.Response:
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Basic"} if status == 401 else {})
    return answer({"error": error}, status, headers)
