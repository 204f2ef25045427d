"""Alembic's environment: runs on the connection it is handed, inside that connection's one transaction.

Locking, the transaction and its commit belong to `dynamics.store.database.upgrade`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from dynamics.store.models import SCHEMA, Base

connection = context.config.attributes["connection"]
connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
