"""What the mapping of each action saw of an organisation, to tell what has changed there since."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLE = """
CREATE TABLE sync.schema_snapshot (
    action TEXT NOT NULL,
    organization_id UUID NOT NULL,
    content JSONB NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_schema_snapshot PRIMARY KEY (action, organization_id)
)
"""


def upgrade() -> None:
    op.execute(TABLE)
