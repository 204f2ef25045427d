"""From Airflow's connections to a ready `SyncService`."""

from __future__ import annotations

from dynamics.assembly import SyncService
from dynamics.config import audit_url, include_directory
from dynamics.hooks.connections import connection_fields
from dynamics.store.database import check_schema, create_store


def sync_service(audit_conn_id: str = "dynamics_audit") -> SyncService:
    """The service on the audit database of `audit_conn_id`, its accounts resolved by Airflow.

    Raises:
        ConfigurationError: the audit database is missing, unreachable or not upgraded, or include/ is not found.
    """
    engine = create_store(audit_url(connection_fields(audit_conn_id)))
    check_schema(engine)
    return SyncService(engine, connection_fields, include_directory())
