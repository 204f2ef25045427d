"""Translates what PostgreSQL and its driver raise, once, into our tree: by what to do next.

Only the SQLSTATE is passed on, never the driver's text: it may quote a value, and a value may be a person.

Source: PostgreSQL documentation, appendix "PostgreSQL Error Codes".
"""

from __future__ import annotations

import re
from enum import Enum

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dynamics.errors import AccountError, ConfigurationError, ContractError, DynamicsError, Fault, TransientError

SUBJECT = "audit database"
RETRY_AFTER_S = 5.0


class Trouble(Enum):
    """What an error of the database asks for."""

    CONFLICT = "conflict"  # serialization, deadlock, lock timeout: the same transaction again, at once
    UNREACHABLE = "unreachable"  # cut off, restarting, full: the same transaction again, later
    NO_DATABASE = "no database"
    NO_SCHEMA = "no schema"
    NO_ACCESS = "no access"
    OTHER = "other"


_BY_STATE = {
    "40001": Trouble.CONFLICT,
    "40P01": Trouble.CONFLICT,
    "55P03": Trouble.CONFLICT,
    "3D000": Trouble.NO_DATABASE,
    "3F000": Trouble.NO_SCHEMA,
    "42P01": Trouble.NO_SCHEMA,
    "42703": Trouble.NO_SCHEMA,
    "42501": Trouble.NO_ACCESS,
    "25P03": Trouble.UNREACHABLE,
    "25006": Trouble.UNREACHABLE,  # read-only: a standby, or a server without space
    "57P04": Trouble.NO_DATABASE,
}
_BY_CLASS = {
    "08": Trouble.UNREACHABLE,
    "28": Trouble.NO_ACCESS,
    "53": Trouble.UNREACHABLE,
    "57": Trouble.UNREACHABLE,
    "58": Trouble.UNREACHABLE,
}

# A connection that never came about has no SQLSTATE, only the server's words.
_NO_DATABASE = re.compile(r'database "[^"]*" does not exist')
_NO_ACCESS = re.compile(r"authentication failed|no password supplied|role \"[^\"]*\" does not exist|pg_hba\.conf")


def classify(error: DBAPIError) -> Trouble:
    """Say what an error asks for."""
    state = sqlstate(error)
    if state is not None:
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], Trouble.OTHER)
    if error.connection_invalidated or isinstance(error.orig, (psycopg.OperationalError, psycopg.InterfaceError)):
        text = str(error.orig)
        if _NO_DATABASE.search(text):
            return Trouble.NO_DATABASE
        return Trouble.NO_ACCESS if _NO_ACCESS.search(text) else Trouble.UNREACHABLE
    return Trouble.OTHER


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters by which PostgreSQL names the error, if it came from the server."""
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None


def translate(error: DBAPIError, operation: str, url: sa.URL) -> DynamicsError:
    """The error of our tree that stands for this one. To be raised `from None`: the original quotes values."""
    trouble, state = classify(error), sqlstate(error)
    match trouble:
        case Trouble.CONFLICT:
            return TransientError(operation, SUBJECT, detail="other sessions are in the way", code=state)
        case Trouble.UNREACHABLE:
            return TransientError(
                operation, SUBJECT, detail="cannot be reached now", code=state, retry_after_s=RETRY_AFTER_S
            )
        case Trouble.NO_DATABASE:
            return configuration_error(
                url, "does not exist.", "Create the database, then run `dynamics-sync db upgrade`."
            )
        case Trouble.NO_SCHEMA:
            return configuration_error(url, "has no tables of this release.", "Run `dynamics-sync db upgrade`.")
        case Trouble.NO_ACCESS:
            detail = f"{place(url)} refuses the login or the right: check user, password and grants"
            return AccountError(operation, SUBJECT, detail=detail, code=state)
        case _:
            return ContractError(operation, SUBJECT, detail="refused a statement of ours", code=state)


def configuration_error(url: sa.URL, what: str, remedy: str) -> ConfigurationError:
    """One fault of the audit database as a ConfigurationError."""
    return ConfigurationError([Fault(place(url), None, what, remedy)])


def place(url: sa.URL) -> str:
    """The database's name and host. No user, no password, no options."""
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"{SUBJECT} {url.database} at {host}{port}"
