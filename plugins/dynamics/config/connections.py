"""Connections as Airflow's form holds them, and how they are read from the environment without Airflow.

Says nothing about what the fields mean: see `accounts`. Source: Airflow documentation, "Managing
Connections", storing connections in environment variables, JSON and URI form.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from dynamics.errors import ConfigurationError, Fault, NoConnectionError

_CONN_ID = re.compile(r"[A-Za-z0-9_.-]{1,250}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")
_TEXTS = ("conn_type", "host", "login", "password", "schema")


@dataclass(frozen=True)
class ConnectionFields:
    """The fields of one connection. Empty fields are None; neither password nor extra shows in a repr."""

    conn_id: str
    conn_type: str
    host: str | None = None
    login: str | None = None
    password: SecretStr | None = None
    port: int | None = None
    schema: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def file(self) -> str:
        """How faults name it."""
        return f"connection {self.conn_id}"


def connection_from_environment(conn_id: str, environment: Mapping[str, str] = os.environ) -> ConnectionFields:
    """Read AIRFLOW_CONN_<CONN_ID>, as JSON or as a URI.

    Raises:
        NoConnectionError: it is not set.
        ConfigurationError: it cannot be read. The text never repeats what stands there.
    """
    if not _CONN_ID.fullmatch(conn_id):
        raise _fault(conn_id, "is no connection id.", "Use letters, digits, '_', '-' and '.'.")
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    text = environment.get(variable, "").strip()
    if not text:
        what = f"is not set: there is no environment variable {variable}."
        remedy = f"Set it to what `airflow connections get {conn_id} -o json` shows as get_uri."
        raise NoConnectionError([Fault(f"connection {conn_id}", None, what, remedy)])
    return connection_from_json(conn_id, text) if text.startswith("{") else connection_from_uri(conn_id, text)


def connection_from_json(conn_id: str, text: str) -> ConnectionFields:
    """Read the JSON form. Raises ConfigurationError."""
    try:
        content = json.loads(text)
    except ValueError as wrong:
        where = f" (column {wrong.colno})" if isinstance(wrong, json.JSONDecodeError) else ""
        raise _fault(conn_id, f"is not JSON{where}.", 'Write it as {"conn_type": "...", "host": "..."}.') from None
    wrong_type = [name for name in _TEXTS if not isinstance(content.get(name) or "", str)]
    if wrong_type:
        raise _fault(conn_id, f"holds something else than text in {', '.join(wrong_type)}.", "Put it in quotes.")
    return connection_from_parts(
        conn_id,
        conn_type=content.get("conn_type"),
        host=content.get("host"),
        login=content.get("login"),
        password=content.get("password"),
        port=content.get("port"),
        schema=content.get("schema"),
        extra=content.get("extra"),
    )


def connection_from_uri(conn_id: str, uri: str) -> ConnectionFields:
    """Read Airflow's URI form: type://login:password@host:port/schema?key=value, or type://scheme://host. Raises
    ConfigurationError."""
    conn_type, found, rest = uri.partition("://")
    protocol, nested, remainder = rest.partition("://")
    if nested and not any(mark in protocol for mark in "@:/?"):
        rest = remainder
    else:
        protocol = ""
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
        conn_type = ""
    if not found or not _SCHEME.fullmatch(conn_type):
        remedy = "Percent-encode what is special in its parts, or use the JSON form."
        raise _fault(conn_id, "is neither JSON nor a URI.", remedy)
    host = unquote(parts.netloc.rpartition("@")[2].rpartition(":")[0] if port else parts.netloc.rpartition("@")[2])
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return connection_from_parts(
        conn_id,
        conn_type=conn_type,
        host=f"{protocol}://{host}" if protocol and host else host.removesuffix(":"),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=port,
        schema=unquote(parts.path[1:]),
        extra=query["__extra__"] if "__extra__" in query else {name: _typed(text) for name, text in query.items()},
    )


def connection_from_parts(
    conn_id: str,
    *,
    conn_type: str | None,
    host: str | None,
    login: str | None,
    password: str | None,
    port: int | str | None,
    schema: str | None,
    extra: str | Mapping[str, Any] | None,
) -> ConnectionFields:
    """Bring fields from wherever into one form. Raises ConfigurationError."""
    try:
        number = int(port or 0) or None  # the form sends 0 where none was entered
    except ValueError:
        raise _fault(conn_id, "has a port that is no number.", "Correct the field 'Port'.") from None
    kind = (conn_type or "").replace("-", "_")
    return ConnectionFields(
        conn_id=conn_id,
        conn_type="postgres" if kind.partition("+")[0] == "postgresql" else kind,
        host=host or None,
        login=login or None,
        password=SecretStr(password) if password else None,
        port=number,
        schema=schema or None,
        extra=_extra(conn_id, extra),
    )


def _extra(conn_id: str, extra: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not extra:
        return {}
    try:
        content = json.loads(extra) if isinstance(extra, str) else extra
    except ValueError:
        content = None
    if not isinstance(content, Mapping):
        raise _fault(conn_id, "has extra fields that are no JSON object.", 'Write them as {"name": "value"}.')
    return dict(content)


def _typed(text: str) -> Any:
    """A query value: JSON where it reads as JSON, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fault(conn_id: str, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Fault(f"connection {conn_id}", None, what, remedy)])
