"""What automations keep: when they have read their source, and how to find what is due; runs cleared and run again."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

AUDIT_AUTOMATION = """
CREATE VIEW sync.audit_automation AS
SELECT name, at AS read_until, read_at, backlog FROM sync.cursor
"""

STATEMENTS = (
    "ALTER TABLE sync.cursor ALTER COLUMN at DROP NOT NULL, ALTER COLUMN id DROP NOT NULL",
    "ALTER TABLE sync.cursor ADD COLUMN read_at TIMESTAMP WITH TIME ZONE, ADD COLUMN backlog BIGINT DEFAULT 0 NOT NULL",
    AUDIT_AUTOMATION,
    "ALTER TABLE sync.sync_run ADD COLUMN clear_number BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE sync.sync_run DROP CONSTRAINT uq_sync_run_dag_id_dag_run_id",
    """
    ALTER TABLE sync.sync_run
        ADD CONSTRAINT uq_sync_run_dag_id_dag_run_id_clear_number UNIQUE (dag_id, dag_run_id, clear_number)
    """,
    # Of a million outcomes about a second. Outcomes are written once and never again.
    "CREATE INDEX ix_outcome_of_prospect ON sync.outcome (prospect_key, settled_at)",
    "CREATE INDEX ix_outcome_deferred ON sync.outcome (run_id, prospect_key) WHERE outcome = 'deferred'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
