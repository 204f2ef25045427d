"""Entra ID over HTTP: the discovery document and the token endpoint, with answers shaped as Entra shapes them.

What is granted or refused is `authority`'s decision.

Source: OpenID Connect Discovery 1.0; Microsoft identity platform, OAuth 2.0 client credentials flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import orjson
from aiohttp import web

from sandbox.server.authority import Authority, EntraError
from sandbox.server.exchange import ENTRY


class EntraRoutes:
    """Handlers of one tenant."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def add_to(self, app: web.Application) -> None:
        """Mount the two routes a client of the credentials flow calls."""
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self.discover)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self.issue_token)

    async def discover(self, request: web.Request) -> web.Response:
        """GET openid-configuration; 400 for a tenant that is not ours."""
        tenant = request.match_info["tenant"]
        try:
            self._authority.check_tenant(tenant)
        except EntraError as error:
            return refusal(error)
        base = f"{origin(request)}/{tenant}"
        document = {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        }
        return answer(200, document)

    async def issue_token(self, request: web.Request) -> web.Response:
        """POST token: form-encoded in, JSON out."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        entry = request[ENTRY]
        entry.operation, entry.caller = "Token", form.get("client_id")
        tenant = request.match_info["tenant"]
        try:
            self._authority.check_tenant(tenant)
            token, lifetime_s = self._authority.issue(form, f"{origin(request)}/{tenant}/oauth2/v2.0/token")
        except EntraError as error:
            entry.code = f"AADSTS{error.code}"
            return refusal(error)
        return answer(
            200,
            {
                "token_type": "Bearer",
                "expires_in": lifetime_s,
                "ext_expires_in": lifetime_s,
                "access_token": token,
            },
        )


def origin(request: web.Request) -> str:
    """Scheme, host and port the client itself used."""
    return f"https://{request.host}"


def refusal(error: EntraError) -> web.Response:
    """An Entra error body: number, text and three values for support in the description."""
    trace, correlation = str(uuid4()), str(uuid4())
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"
    return answer(
        error.status,
        {
            "error": error.error,
            "error_description": f"AADSTS{error.code}: {error.text} Trace ID: {trace} "
            f"Correlation ID: {correlation} Timestamp: {at}",
            "error_codes": [error.code],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.code}",
        },
    )


def answer(status: int, body: Mapping[str, object]) -> web.Response:
    """JSON that no cache may keep."""
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"},
    )
