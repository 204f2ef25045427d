"""From a connection id to its fields, through Airflow's own look-up: secrets back end, environment, database.

Every secret among them is masked in logs from then on; Airflow itself does so for passwords and for some extra fields.
"""

from __future__ import annotations

import json

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from dynamics.config import ConnectionFields
from dynamics.config.connections import connection_from_parts
from dynamics.errors import ConfigurationError, DynamicsError, Fault, NoConnectionError

SECRET_EXTRA = (
    "certificate",
    "certificate_password",
    "webhook_secret",
    "webhook_template",
    "url",
)  # `url`: an address with a password


def connection_fields(conn_id: str) -> ConnectionFields:
    """The fields of a connection. Raises NoConnectionError; ConfigurationError: it cannot be read."""
    try:
        return fields_of(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        what, remedy = "does not exist.", "Add it in Airflow under Admin, Connections."
        raise NoConnectionError([Fault(f"connection {conn_id}", None, what, remedy)]) from None


def fields_of(connection: Connection) -> ConnectionFields:
    """Airflow's connection in our form, its secrets masked. Raises ConfigurationError: a field cannot be read."""
    fields = connection_from_parts(
        connection.conn_id,
        conn_type=connection.conn_type,
        host=connection.host,
        login=connection.login,
        password=connection.password,
        port=connection.port,
        schema=connection.schema,
        extra=connection.extra,
    )
    if fields.password is not None:
        mask_secret(fields.password.get_secret_value())
    for name in SECRET_EXTRA:
        if isinstance(fields.extra.get(name), str):
            for text in dict.fromkeys((fields.extra[name], *_parts(name, fields.extra[name]))):
                mask_secret(text)
    for text in _template_secrets(fields.extra.get("webhook_template")):
        mask_secret(text)
    return fields


def _template_secrets(value: object) -> list[str]:
    """The token of an unsigned webhook, wherever the field holds it."""
    try:
        content = json.loads(value) if isinstance(value, str) else value
    except ValueError:  # who reads the account says so; what stands there may still be a secret
        return [str(value)]
    token = content.get("token") if isinstance(content, dict) else None
    return [token] if isinstance(token, str) and token else []


def _parts(name: str, value: str) -> list[str]:
    """There may be two webhook secrets in the field."""
    return value.split() if name == "webhook_secret" else []


def told(error: DynamicsError) -> str:
    """An error in the words for a form: what is wrong and what to do, without the list's frame."""
    if isinstance(error, ConfigurationError):
        return " ".join(f"{fault.what} {fault.remedy}".strip() for fault in error.faults)
    return str(error)
