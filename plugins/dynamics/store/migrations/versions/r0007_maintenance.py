"""What maintenance and notices keep: whose personal data is gone, how far links were checked, who was told what."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE sync.prospect ADD COLUMN removed_at TIMESTAMP WITH TIME ZONE",
    """
    CREATE TABLE sync.link_check (
        organization_id UUID NOT NULL,
        prospect_key BIGINT NOT NULL,
        table_name TEXT NOT NULL,
        checked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_link_check PRIMARY KEY (organization_id)
    )
    """,
    """
    CREATE TABLE sync.notice_state (
        action TEXT NOT NULL,
        trigger TEXT NOT NULL,
        health TEXT NOT NULL,
        waiting TEXT[] DEFAULT '{}'::text[] NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        teller UUID,
        telling_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_notice_state PRIMARY KEY (action, trigger),
        CONSTRAINT ck_notice_state_health CHECK (health IN ('good', 'failed'))
    )
    """,
    # A time that nobody can read says nothing. Rows without one are read and not written.
    """
    UPDATE sync.prospect SET retain_until = CAST(payload #>> '{privacy,retain_until}' AS timestamptz)
     WHERE retain_until IS NULL AND pg_input_is_valid(payload #>> '{privacy,retain_until}', 'timestamptz')
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
