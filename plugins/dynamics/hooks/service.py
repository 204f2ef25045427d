"""From Airflow's connections to a ready `SyncService`."""

from __future__ import annotations

from airflow.sdk.log import mask_secret

from dynamics.assembly import SyncService
from dynamics.config import include_directory
from dynamics.hooks.audit import AUDIT_CONN_ID, audit_url
from dynamics.hooks.connections import connection_fields
from dynamics.store.database import check_schema, create_store


def sync_service(audit_conn_id: str = AUDIT_CONN_ID) -> SyncService:
    """The service on the audit database of `audit_conn_id`, its accounts resolved by Airflow.

    Raises:
        ConfigurationError: the audit database is missing, unreachable or not upgraded, or include/ is not found.
    """
    engine = create_store(audit_url(audit_conn_id))
    check_schema(engine)
    return SyncService(engine, connection_fields, include_directory(), on_token=mask_secret)
