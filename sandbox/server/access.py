"""Decides who a request comes from, and whether that application may use this organisation at all.

Source: learn.microsoft.com, "Use single-tenant server-to-server authentication"; RFC 6750, part 3.
"""

from __future__ import annotations

from dataclasses import replace

from sandbox.dataverse import Caller
from sandbox.server.authority import Authority
from sandbox.server.environment import Environment


class UnauthorizedError(Exception):
    """No token, or one that is worth nothing here: 401."""


class ForbiddenError(Exception):
    """A good token of an application this organisation does not let in: 403."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def admit(authority: Authority, environment: Environment, authorization: str | None) -> Caller:
    """Give the application user behind an Authorization header.

    Raises:
        UnauthorizedError: the token is missing, unknown, expired, revoked or for another organisation.
        ForbiddenError: there is no such application user here, or it is disabled.
    """
    scheme, _, token = (authorization or "").partition(" ")
    grant = authority.grant(token.strip(), environment.url) if scheme.lower() == "bearer" else None
    if grant is None:
        raise UnauthorizedError
    application = authority.application(grant.client_id)
    caller = environment.organization.caller_for(grant.client_id)
    if caller is None or application.user == "removed":
        raise ForbiddenError("0x80072560", "The user is not a member of the organization.")
    if application.user == "disabled":
        raise ForbiddenError(
            "0x80040225",
            f"The user with SystemUserId={caller.user_id} in "
            f"OrganizationContext={environment.organization_id} is disabled",
        )
    if not application.missing_privileges:
        return caller
    return replace(caller, missing_privileges=caller.missing_privileges | application.missing_privileges)


def challenge(authority_url: str, environment: Environment) -> str:
    """The WWW-Authenticate header of a 401; its values stand unquoted, as the service sends them."""
    return f"Bearer authorization_uri={authority_url}/oauth2/authorize, resource_id={environment.url}/"
