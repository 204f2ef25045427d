"""What was made beside persons' records: accounts, campaign responses, list memberships, notes."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

EXTRA = """
CREATE TABLE sync.extra (
    organization_id UUID NOT NULL,
    extra_id UUID NOT NULL,
    table_name TEXT NOT NULL,
    prospect_key BIGINT,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_extra PRIMARY KEY (organization_id, extra_id),
    CONSTRAINT fk_extra_prospect_key FOREIGN KEY (prospect_key) REFERENCES sync.prospect (prospect_key)
)
"""


def upgrade() -> None:
    op.execute(EXTRA)
