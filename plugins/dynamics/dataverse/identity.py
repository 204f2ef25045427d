"""Asks an organisation who we are there, and tells a person what they need to know of a connection.

Source: Microsoft Learn, "WhoAmI Function", "RetrieveUserPrivileges Function", "systemuser table reference".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from dynamics.core.crm import Organization
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.batch import Part, read_batch
from dynamics.dataverse.faults import read_fault, safe_message
from dynamics.dataverse.session import Answer
from dynamics.dataverse.transport import SERVICE_PATH, Call, Transport
from dynamics.errors import AccessError, ContractError

OPERATION = "sign in"
TABLES = {"Lead": "leads", "Contact": "contacts", "Account": "accounts"}
NEEDED = tuple(f"prv{verb}{table}" for table in TABLES for verb in ("Create", "Read", "Write"))


@dataclass(frozen=True)
class Identity:
    """Our ids, as the organisation knows them."""

    user_id: UUID
    organization_id: UUID
    business_unit_id: UUID


def who_am_i(transport: Transport) -> Identity:
    """Raises: AccountError, TransientError, ContractError."""
    answer = transport.send(Call(OPERATION, "organisation", "GET", "WhoAmI"))
    try:
        ids = orjson.loads(answer.body)
        return Identity(UUID(ids["UserId"]), UUID(ids["OrganizationId"]), UUID(ids["BusinessUnitId"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as odd:
        detail = "what answers at this address is no Dataverse organisation: check the environment address"
        raise ContractError(OPERATION, "organisation", detail=detail, status=answer.status) from odd


def organization(transport: Transport, account: DataverseAccount) -> Organization:
    """Who we are, with all application users of the account. Raises as `who_am_i`."""
    identity = who_am_i(transport)
    users = {identity.user_id, *_application_users(transport, account.users if account.application_users else ())}
    return Organization(identity.organization_id, frozenset(users), account.environment_url)


def describe(transport: Transport, account: DataverseAccount) -> str:
    """Who we are, where, with which roles, and what is missing for leads, contacts and accounts; one line each.

    Nothing is written to find out. What the organisation does not tell is said to be unknown.
    Raises: as `who_am_i`.
    """
    identity = who_am_i(transport)
    user = f"systemusers({identity.user_id})"
    paths = [
        f"{user}?$select=fullname",
        f"organizations({identity.organization_id})?$select=name",
        f"{user}/systemuserroles_association?$select=name",
        f"{user}/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()",
        *(f"{entity_set}?$top=1&$select=createdon" for entity_set in TABLES.values()),
    ]
    parts = [_get(path) for path in paths]
    named, org, roles, privileges, *reads = read_batch(transport, OPERATION, "organisation", parts, judged=False)
    names = sorted(str(role.get("name")) for role in _rows(roles))
    return "\n".join(
        [
            f"Signed in as {_value(named, 'fullname') or 'an application user'} ({identity.user_id}).",
            f"Organisation {_value(org, 'name') or ''} ({identity.organization_id}) at {account.environment_url}.",
            f"Roles: {', '.join(names) or ('none' if roles.status == 200 else 'unknown')}.",
            _rights(privileges, reads),
        ]
    )


def missing_privileges(transport: Transport, user_ids: Iterable[UUID], needed: Sequence[str]) -> dict[UUID, list[str]]:
    """User -> which of the needed privileges ("prvCreateLead") the user lacks; whom the organisation does not tell of,
    or who lacks none, is absent. Raises: AccountError, TransientError."""
    users = sorted(user_ids)
    parts = [_get(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()") for user in users]
    answers = zip(users, read_batch(transport, OPERATION, "organisation", parts, judged=False), strict=True)
    found = {user: _missing(answer, needed) for user, answer in answers}
    return {user: missing for user, missing in found.items() if missing}


def _missing(privileges: Answer, needed: Sequence[str]) -> list[str]:
    held = {str(privilege.get("PrivilegeName")).lower() for privilege in _rows(privileges, "RolePrivileges")}
    return [name for name in needed if name.lower() not in held] if held - {"none"} else []


def _application_users(transport: Transport, client_ids: Sequence[str]) -> Iterable[UUID]:
    if not client_ids:
        return []
    condition = " or ".join(f"applicationid eq {client_id}" for client_id in client_ids)
    part = _get(f"systemusers?$select=systemuserid,applicationid&$filter={quote(condition, safe='')}")
    (answer,) = read_batch(transport, OPERATION, "systemuser", [part])
    if answer.status != 200:
        detail = f"the application users cannot be looked up: {safe_message(read_fault(answer))}"
        raise ContractError(OPERATION, "systemuser", detail=detail, status=answer.status)
    found = {str(row["applicationid"]).lower(): UUID(row["systemuserid"]) for row in _rows(answer)}
    unknown = [client_id for client_id in client_ids if client_id.lower() not in found]
    if unknown:
        detail = f"{', '.join(unknown)}: no application user of the organisation; create one, or correct the connection"
        raise AccessError(OPERATION, "organisation", detail=detail)
    return found.values()


def _rights(privileges: Answer, reads: Sequence[Answer]) -> str:
    held = {str(privilege.get("PrivilegeName")).lower() for privilege in _rows(privileges, "RolePrivileges")}
    refused = [safe_message(read_fault(read)) for read in reads if read.status >= 400]
    if missing := _missing(privileges, NEEDED):
        return f"Missing: {', '.join(missing)}. Add them to a security role of the application user."
    if refused:
        return f"Missing: {'; '.join(dict.fromkeys(refused))}."
    if held - {"none"}:
        return "Nothing is missing: leads, contacts and accounts can be created, read and written."
    return "Leads, contacts and accounts can be read; whether they can be written, the organisation does not tell."


def _get(path: str) -> Part:
    return Part("GET", SERVICE_PATH + path, {"Accept": "application/json"})


def _value(answer: Answer, column: str) -> str | None:
    return _content(answer).get(column)


def _rows(answer: Answer, name: str = "value") -> list[dict[str, Any]]:
    return _content(answer).get(name) or []


def _content(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        return {}
    content: dict[str, Any] = orjson.loads(answer.body)
    return content
