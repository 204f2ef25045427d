"""The inbox: what a delivered webhook is about, and what it asks of which sync action.

No release before this one has written a delivery, so the table is empty or all but that.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    """
    ALTER TABLE sync.webhook_delivery
        ADD COLUMN type TEXT,
        ADD COLUMN prospect_source TEXT,
        ADD COLUMN prospect_ids TEXT[] DEFAULT '{}'::text[] NOT NULL,
        ADD COLUMN event_ids TEXT[],
        ADD COLUMN form_ids TEXT[],
        ADD COLUMN action TEXT,
        ADD COLUMN whole BOOLEAN DEFAULT false NOT NULL,
        ADD COLUMN state TEXT DEFAULT 'done' NOT NULL,
        ADD CONSTRAINT ck_webhook_delivery_state CHECK (state IN ('due', 'sorted', 'done', 'ignored'))
    """,
    "CREATE INDEX ix_webhook_delivery_due ON sync.webhook_delivery (received_at) WHERE state = 'due'",
    """
    CREATE TABLE sync.webhook_errand (
        source TEXT NOT NULL,
        delivery_id TEXT NOT NULL,
        action TEXT NOT NULL,
        available_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        lease_until TIMESTAMP WITH TIME ZONE,
        attempts BIGINT DEFAULT 0 NOT NULL,
        code TEXT,
        done_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_webhook_errand PRIMARY KEY (source, delivery_id, action),
        CONSTRAINT fk_webhook_errand_source FOREIGN KEY (source, delivery_id)
            REFERENCES sync.webhook_delivery (source, delivery_id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_webhook_errand_open ON sync.webhook_errand (action, available_at) WHERE done_at IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
