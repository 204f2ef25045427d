"""From a connection id to the address of the audit database."""

from __future__ import annotations

import sqlalchemy as sa

from dynamics import config
from dynamics.hooks.connections import connection_fields

AUDIT_CONN_ID = "dynamics_audit"


def audit_url(conn_id: str = AUDIT_CONN_ID) -> sa.URL:
    """The audit database's address for SQLAlchemy. Raises ConfigurationError."""
    return config.audit_url(connection_fields(conn_id))
