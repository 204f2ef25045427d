"""Tables of the first release, and the public views."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE sync.account_binding (
    account TEXT NOT NULL,
    organization_id UUID NOT NULL,
    url TEXT NOT NULL,
    bound_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_account_binding PRIMARY KEY (account)
);

CREATE TABLE sync.budget (
    organization_id UUID NOT NULL,
    application_user TEXT NOT NULL,
    paused_until TIMESTAMP WITH TIME ZONE,
    dop_hint BIGINT,
    CONSTRAINT pk_budget PRIMARY KEY (organization_id, application_user)
);

CREATE TABLE sync.cursor (
    name TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    id TEXT NOT NULL,
    CONSTRAINT pk_cursor PRIMARY KEY (name)
);

CREATE TABLE sync.webhook_delivery (
    source TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    handled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_delivery PRIMARY KEY (source, delivery_id)
);

CREATE TABLE sync.sync_run (
    run_id UUID NOT NULL,
    action TEXT NOT NULL,
    account TEXT NOT NULL,
    trigger TEXT NOT NULL,
    dag_id TEXT,
    dag_run_id TEXT,
    dry_run BOOLEAN NOT NULL,
    settings JSONB NOT NULL,
    mapping_hash TEXT NOT NULL,
    organization_id UUID NOT NULL,
    state TEXT DEFAULT 'running' NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    touched_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    discovered_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    requests BIGINT DEFAULT 0 NOT NULL,
    selected BIGINT DEFAULT 0 NOT NULL,
    created BIGINT DEFAULT 0 NOT NULL,
    updated BIGINT DEFAULT 0 NOT NULL,
    unchanged BIGINT DEFAULT 0 NOT NULL,
    skipped BIGINT DEFAULT 0 NOT NULL,
    rejected BIGINT DEFAULT 0 NOT NULL,
    deferred BIGINT DEFAULT 0 NOT NULL,
    open_items BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_sync_run PRIMARY KEY (run_id),
    CONSTRAINT uq_sync_run_dag_id_dag_run_id UNIQUE (dag_id, dag_run_id),
    CONSTRAINT ck_sync_run_state CHECK (state IN ('running', 'succeeded', 'failed'))
);
CREATE INDEX ix_sync_run_started_at ON sync.sync_run (started_at DESC);
CREATE INDEX ix_sync_run_unfinished ON sync.sync_run (account, touched_at) WHERE state = 'running' OR open_items > 0;

CREATE TABLE sync.prospect (
    prospect_key BIGINT GENERATED ALWAYS AS IDENTITY,
    source TEXT NOT NULL,
    prospect_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    payload JSONB NOT NULL,
    email_key TEXT,
    name_key TEXT,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    stored_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    retain_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_prospect PRIMARY KEY (prospect_key),
    CONSTRAINT uq_prospect_source_prospect_id UNIQUE (source, prospect_id)
);

CREATE TABLE sync.work_item (
    run_id UUID NOT NULL,
    prospect_key BIGINT NOT NULL,
    group_key BIGINT NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    worker TEXT,
    fence BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    available_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts BIGINT DEFAULT 0 NOT NULL,
    release_reason TEXT,
    CONSTRAINT pk_work_item PRIMARY KEY (run_id, prospect_key),
    CONSTRAINT ck_work_item_state CHECK (state IN ('pending', 'claimed', 'sent', 'settled')),
    CONSTRAINT ck_work_item_leased CHECK (
        state NOT IN ('claimed', 'sent') OR (worker IS NOT NULL AND lease_until IS NOT NULL)
    ),
    CONSTRAINT fk_work_item_run_id FOREIGN KEY (run_id) REFERENCES sync.sync_run (run_id),
    CONSTRAINT fk_work_item_prospect_key FOREIGN KEY (prospect_key) REFERENCES sync.prospect (prospect_key)
) WITH (fillfactor = 80);
CREATE INDEX ix_work_item_open ON sync.work_item (run_id, group_key, prospect_key) WHERE state <> 'settled';

CREATE TABLE sync.attempt (
    attempt_id BIGINT GENERATED ALWAYS AS IDENTITY,
    run_id UUID NOT NULL,
    prospect_key BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    organization_id UUID NOT NULL,
    operation TEXT NOT NULL,
    table_name TEXT NOT NULL,
    record_id UUID NOT NULL,
    etag TEXT,
    content_hash TEXT NOT NULL,
    column_hashes JSONB NOT NULL,
    changed_columns TEXT[] NOT NULL,
    matched_by TEXT,
    duplicates_found BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    result TEXT,
    code TEXT,
    request_id TEXT,
    CONSTRAINT pk_attempt PRIMARY KEY (attempt_id),
    CONSTRAINT fk_attempt_run_id FOREIGN KEY (run_id, prospect_key) REFERENCES sync.work_item (run_id, prospect_key),
    CONSTRAINT uq_attempt_run_id_prospect_key_fence UNIQUE (run_id, prospect_key, fence),
    CONSTRAINT ck_attempt_operation CHECK (operation IN ('create', 'update')),
    CONSTRAINT ck_attempt_matched_by CHECK (matched_by IN ('link', 'email', 'name')),
    CONSTRAINT ck_attempt_result CHECK (result IN ('landed', 'not_landed', 'refused'))
);
CREATE INDEX ix_attempt_open ON sync.attempt (prospect_key) WHERE result IS NULL;
CREATE INDEX ix_attempt_created ON sync.attempt (record_id) WHERE operation = 'create' AND result = 'landed';

CREATE TABLE sync.outcome (
    run_id UUID NOT NULL,
    prospect_key BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    table_name TEXT,
    record_id UUID,
    matched_by TEXT,
    duplicates_found BIGINT DEFAULT 0 NOT NULL,
    error_code TEXT,
    error_message TEXT,
    error_column TEXT,
    changed_columns TEXT[] DEFAULT '{}'::text[] NOT NULL,
    warnings TEXT[] DEFAULT '{}'::text[] NOT NULL,
    request_id TEXT,
    attempts BIGINT DEFAULT 0 NOT NULL,
    recovered BOOLEAN DEFAULT false NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_outcome PRIMARY KEY (run_id, prospect_key),
    CONSTRAINT fk_outcome_run_id FOREIGN KEY (run_id, prospect_key) REFERENCES sync.work_item (run_id, prospect_key),
    CONSTRAINT ck_outcome_outcome CHECK (
        outcome IN ('created', 'updated', 'unchanged', 'skipped', 'rejected', 'deferred')
    ),
    CONSTRAINT ck_outcome_matched_by CHECK (matched_by IN ('link', 'email', 'name'))
);

CREATE TABLE sync.record_link (
    organization_id UUID NOT NULL,
    prospect_key BIGINT NOT NULL,
    table_name TEXT NOT NULL,
    account TEXT NOT NULL,
    record_id UUID NOT NULL,
    state TEXT NOT NULL,
    generation BIGINT NOT NULL,
    content_hash TEXT,
    column_hashes JSONB DEFAULT '{}'::jsonb NOT NULL,
    linked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_record_link PRIMARY KEY (organization_id, prospect_key, table_name),
    CONSTRAINT ck_record_link_state CHECK (state IN ('live', 'deleted', 'merged', 'deactivated', 'qualified')),
    CONSTRAINT fk_record_link_prospect_key FOREIGN KEY (prospect_key) REFERENCES sync.prospect (prospect_key)
);

CREATE TABLE sync.person_lock (
    match_key TEXT NOT NULL,
    organization_id UUID NOT NULL,
    table_name TEXT NOT NULL,
    record_id UUID NOT NULL,
    prospect_key BIGINT NOT NULL,
    holder_run_id UUID,
    holder_key BIGINT,
    settled BOOLEAN DEFAULT false NOT NULL,
    taken_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_person_lock PRIMARY KEY (match_key, organization_id, table_name),
    CONSTRAINT fk_person_lock_prospect_key FOREIGN KEY (prospect_key) REFERENCES sync.prospect (prospect_key)
);
CREATE INDEX ix_person_lock_unsettled ON sync.person_lock (record_id) WHERE NOT settled;
"""

# Of a running run the counts are taken live; of a closed one they stand in the run.
AUDIT_RUN = """
CREATE VIEW sync.audit_run AS
SELECT r.run_id, r.action, r.account, r.trigger, r.dag_id, r.dag_run_id, r.dry_run, r.state,
       CASE r.state WHEN 'running' THEN items.selected ELSE r.selected END AS selected,
       CASE r.state WHEN 'running' THEN live.created ELSE r.created END AS created,
       CASE r.state WHEN 'running' THEN live.updated ELSE r.updated END AS updated,
       CASE r.state WHEN 'running' THEN live.unchanged ELSE r.unchanged END AS unchanged,
       CASE r.state WHEN 'running' THEN live.skipped ELSE r.skipped END AS skipped,
       CASE r.state WHEN 'running' THEN live.rejected ELSE r.rejected END AS rejected,
       CASE r.state WHEN 'running' THEN live.deferred ELSE r.deferred END AS deferred,
       r.started_at, r.finished_at, r.requests,
       coalesce(r.settings -> 'action', r.settings) AS policy,
       r.mapping_hash
  FROM sync.sync_run r
  LEFT JOIN LATERAL (
       SELECT count(*) AS selected FROM sync.work_item i WHERE i.run_id = r.run_id AND r.state = 'running'
  ) items ON true
  LEFT JOIN LATERAL (
       SELECT count(*) FILTER (WHERE o.outcome = 'created') AS created,
              count(*) FILTER (WHERE o.outcome = 'updated') AS updated,
              count(*) FILTER (WHERE o.outcome = 'unchanged') AS unchanged,
              count(*) FILTER (WHERE o.outcome = 'skipped') AS skipped,
              count(*) FILTER (WHERE o.outcome = 'rejected') AS rejected,
              count(*) FILTER (WHERE o.outcome = 'deferred') AS deferred
         FROM sync.outcome o WHERE o.run_id = r.run_id AND r.state = 'running'
  ) live ON true
"""

# A dry run's "created" names the id that the record would have had: there is nothing to open.
AUDIT_OUTCOME = """
CREATE VIEW sync.audit_outcome AS
SELECT o.run_id, r.action, r.account, r.trigger, p.source, p.prospect_id, o.revision, o.outcome, o.reason,
       o.table_name, o.record_id,
       CASE WHEN NOT (r.dry_run AND o.outcome = 'created') THEN
            rtrim(b.url, '/') || '/main.aspx?pagetype=entityrecord&etn=' || o.table_name || '&id=' || o.record_id
       END AS record_url,
       o.matched_by, o.duplicates_found, o.error_code, o.error_message, o.error_column, o.changed_columns,
       o.request_id, o.attempts, o.recovered, o.settled_at
  FROM sync.outcome o
  JOIN sync.sync_run r ON r.run_id = o.run_id
  JOIN sync.prospect p ON p.prospect_key = o.prospect_key
  LEFT JOIN sync.account_binding b ON b.account = r.account AND b.organization_id = r.organization_id
"""

AUDIT_LINK = """
CREATE VIEW sync.audit_link AS
SELECT l.account, l.organization_id, l.table_name, p.source, p.prospect_id, l.record_id, l.state, l.content_hash,
       l.linked_at, l.settled_at
  FROM sync.record_link l
  JOIN sync.prospect p ON p.prospect_key = l.prospect_key
"""


def upgrade() -> None:
    for statement in (*filter(str.strip, TABLES.split(";")), AUDIT_RUN, AUDIT_OUTCOME, AUDIT_LINK):
        op.execute(statement)
