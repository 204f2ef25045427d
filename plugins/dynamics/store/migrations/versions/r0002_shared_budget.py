"""Places and outages of the budget that all workers share; attempts that were never sent."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE sync.budget ADD COLUMN lowered_to BIGINT, ADD COLUMN lowered_at TIMESTAMP WITH TIME ZONE",
    """
    CREATE TABLE sync.budget_place (
        organization_id UUID NOT NULL,
        application_user TEXT NOT NULL,
        number BIGINT NOT NULL,
        holder UUID,
        lease_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_budget_place PRIMARY KEY (organization_id, application_user, number)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE sync.outage (
        organization_id UUID NOT NULL,
        failures BIGINT DEFAULT 0 NOT NULL,
        wait_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_outage PRIMARY KEY (organization_id)
    )
    """,
    "ALTER TABLE sync.record_link ADD COLUMN revision BIGINT DEFAULT 0 NOT NULL",
    # Last, because its lock stands until the end: one look at each row, none is rewritten.
    "ALTER TABLE sync.attempt DROP CONSTRAINT ck_attempt_result",
    """
    ALTER TABLE sync.attempt ADD CONSTRAINT ck_attempt_result
        CHECK (result IN ('landed', 'not_landed', 'refused', 'not_sent')) NOT VALID
    """,
    "ALTER TABLE sync.attempt VALIDATE CONSTRAINT ck_attempt_result",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
