"""Decides what Entra ID would: who gets a token for which organisation, and what each token is worth.

Client credentials only, with a secret or a certificate. Tokens are opaque and live in memory. The HTTP form of
all this is `entra`'s; whether a token's owner is known to an organisation is `access`'s.

Source: Microsoft identity platform, OAuth 2.0 client credentials flow; Entra authentication error codes.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from sandbox.server import assertion
from sandbox.server.credentials import Credentials
from sandbox.server.settings import Application, HubSettings

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEFAULT_SCOPE = "/.default"


class EntraError(Exception):
    """A refusal, as Entra words it: HTTP status, OAuth error and AADSTS number."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Grant:
    """What one access token stands for."""

    client_id: str
    audience: str
    expires_at: datetime


class Authority:
    """The token endpoint of one tenant."""

    def __init__(self, credentials: Credentials, certificate: x509.Certificate, clock: Callable[[], datetime]) -> None:
        self.settings = HubSettings()
        self.tenant_id = credentials.tenant_id
        self.audiences: Collection[str] = ()  # origins of the organisations, known once they listen
        self._credentials = credentials
        self._certificate = certificate
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    def configure(self, change: Mapping[str, object]) -> None:
        """Merge a change of settings.

        Raises:
            ValueError: an unknown name, or a value out of bounds; nothing has changed then.
        """
        self.settings = self.settings.merged(change)

    def application(self, client_id: str) -> Application:
        """The standing of an application."""
        return self.settings.applications.get(client_id, Application())

    def check_tenant(self, tenant: str) -> None:
        """Raise 90002 for any tenant but ours."""
        if tenant.lower() != self.tenant_id:
            raise EntraError(
                400,
                "invalid_request",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing "
                "into the correct cloud.",
            )

    def issue(self, form: Mapping[str, str], token_endpoint: str) -> tuple[str, int]:
        """Answer a token request: the access token and its lifetime in seconds.

        Raises:
            EntraError: the refusal.
        """
        if form.get("grant_type") != "client_credentials":
            raise EntraError(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        audience = self._audience(form.get("scope", ""))
        client_id = self._authenticate(form, token_endpoint)
        now = self._clock()
        self._grants = {token: grant for token, grant in self._grants.items() if grant.expires_at > now}
        token = self.settings.token_prefix + secrets.token_urlsafe(48)
        lifetime_s = self.settings.token_lifetime_s
        self._grants[token] = Grant(client_id, audience, now + timedelta(seconds=lifetime_s))
        return token, lifetime_s

    def grant(self, token: str, audience: str) -> Grant | None:
        """What a token allows at an organisation; None if it is unknown, expired, revoked or another's."""
        grant = self._grants.get(token)
        if grant is None or grant.audience != audience or grant.expires_at <= self._clock():
            return None
        return None if self.application(grant.client_id).tokens == "revoked" else grant

    def _audience(self, scope: str) -> str:
        resource, marker, rest = scope.partition(DEFAULT_SCOPE)
        if not marker or rest or " " in scope:
            raise EntraError(
                400,
                "invalid_scope",
                70011,
                f"The provided request must include a 'scope' input parameter. The provided value for the input "
                f"parameter 'scope' is not valid. The scope {scope} is not valid.",
            )
        audience = resource.rstrip("/").lower()
        if audience not in self.audiences:
            raise EntraError(
                400,
                "invalid_resource",
                500011,
                f"The resource principal named {resource} was not found in the tenant named {self.tenant_id}.",
            )
        return audience

    def _authenticate(self, form: Mapping[str, str], token_endpoint: str) -> str:
        if form.get("client_assertion_type") == JWT_BEARER:
            return self._by_certificate(form, token_endpoint)
        client_id = self._known(form.get("client_id", ""))
        self._check_secret(client_id, form.get("client_secret"))
        return client_id

    def _known(self, client_id: str) -> str:
        if not client_id:
            raise EntraError(
                400,
                "invalid_request",
                900144,
                "The request body must contain the following parameter: 'client_id'.",
            )
        if client_id.lower() not in self._credentials.application_users:
            raise EntraError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory '{self.tenant_id}'.",
            )
        return client_id.lower()

    def _check_secret(self, client_id: str, presented: str | None) -> None:
        if not presented:
            raise EntraError(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        application = self.application(client_id)
        expected = application.rotated_secret or self._credentials.client_secret
        matches = hmac.compare_digest(presented.encode(), expected.encode())
        if not matches or application.secret == "revoked":  # noqa: S105 - a state, not a secret
            raise EntraError(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{client_id}'.",
            )
        if application.secret == "expired":  # noqa: S105 - a state, not a secret
            raise EntraError(
                401,
                "invalid_client",
                7000222,
                f"The provided client secret keys for app '{client_id}' are expired.",
            )

    def _by_certificate(self, form: Mapping[str, str], token_endpoint: str) -> str:
        presented = form.get("client_assertion", "")
        try:
            client_id = self._known(form.get("client_id") or assertion.issuer(presented))
            valid = self.application(client_id).certificate == "valid"
            registered = [self._certificate] if valid and client_id == self._credentials.client_id else []
            assertion.verify(presented, registered, client_id=client_id, audience=token_endpoint, now=self._clock())
        except assertion.InvalidAssertionError as error:
            raise EntraError(401, "invalid_client", error.code, error.text) from error
        return client_id
