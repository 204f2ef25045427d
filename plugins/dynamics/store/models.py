"""The tables of the audit database, and what each of them promises.

This is the map that migrations are compared with (`tests/contract/store/test_migrations.py`); statements are written in
SQL beside the methods that send them. Personal data stands in `prospect.payload` and nowhere else: keys are hashes,
outcomes hold ids, column names and messages without values. All times are the database's own clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dynamics.core.ledger import LinkState, Outcome
from dynamics.core.notices import Health

SCHEMA = "sync"
RUN_STATES = ("running", "succeeded", "failed")
ITEM_STATES = ("pending", "claimed", "sent", "settled")
OPERATIONS = ("create", "update")
ATTEMPT_RESULTS = ("landed", "not_landed", "refused", "not_sent")
MATCHES = ("link", "email", "name")
DELIVERY_STATES = ("due", "sorted", "done", "ignored")

NOW = sa.text("now()")
ZERO = sa.text("0")
FALSE = sa.text("false")
NO_WORDS = sa.text("'{}'::text[]")
EMPTY_OBJECT = sa.text("'{}'::jsonb")


class Base(DeclarativeBase):
    """Schema, names and column types that all tables share."""

    metadata = sa.MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: sa.Text(),
        int: sa.BigInteger(),
        datetime: sa.DateTime(timezone=True),
        UUID: sa.Uuid(),
        list[str]: ARRAY(sa.Text()),
        dict[str, Any]: JSONB(),
    }


def _one_of(column: str, words: Iterable[str]) -> sa.CheckConstraint:
    """The column holds one of these words, or null where it may be null."""
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


class AccountBinding(Base):
    """An account stands for one organisation, for ever: the first one met at its address. `url` is where it is now."""

    __tablename__ = "account_binding"
    account: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    url: Mapped[str]
    bound_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SyncRun(Base):
    """One execution of a sync action; one DAG run has one for each time it was cleared. Counts are filled in when it is
    closed.

    `touched_at` is when a worker or a discovery was last heard of, `discovered_at` when discovery had ended,
    `open_items` what was unsettled when it was closed.
    """

    __tablename__ = "sync_run"
    __table_args__ = (
        sa.UniqueConstraint("dag_id", "dag_run_id", "clear_number"),
        _one_of("state", RUN_STATES),
        sa.Index("ix_sync_run_started_at", sa.text("started_at DESC")),
        sa.Index(
            "ix_sync_run_unfinished",
            "account",
            "touched_at",
            postgresql_where=sa.text("state = 'running' OR open_items > 0"),
        ),
    )
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    action: Mapped[str]
    account: Mapped[str]
    trigger: Mapped[str]
    dag_id: Mapped[str | None]
    dag_run_id: Mapped[str | None]
    clear_number: Mapped[int] = mapped_column(server_default=ZERO)
    dry_run: Mapped[bool]
    settings: Mapped[dict[str, Any]]
    mapping_hash: Mapped[str]
    organization_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(server_default=sa.text("'running'"))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)
    discovered_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    requests: Mapped[int] = mapped_column(server_default=ZERO)
    selected: Mapped[int] = mapped_column(server_default=ZERO)
    created: Mapped[int] = mapped_column(server_default=ZERO)
    updated: Mapped[int] = mapped_column(server_default=ZERO)
    unchanged: Mapped[int] = mapped_column(server_default=ZERO)
    skipped: Mapped[int] = mapped_column(server_default=ZERO)
    rejected: Mapped[int] = mapped_column(server_default=ZERO)
    deferred: Mapped[int] = mapped_column(server_default=ZERO)
    open_items: Mapped[int] = mapped_column(server_default=ZERO)


class Prospect(Base):
    """The newest revision of a captured person, and the only place of personal data (`payload`, until `retain_until`).

    `email_key` and `name_key` are hashes by which the queue keeps the prospects of one person together. `removed_at`:
    since when its personal data is gone, `payload` being empty; the next delivery brings it back.
    """

    __tablename__ = "prospect"
    __table_args__ = (sa.UniqueConstraint("source", "prospect_id"),)
    prospect_key: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    source: Mapped[str]
    prospect_id: Mapped[str]
    revision: Mapped[int]
    payload: Mapped[dict[str, Any]]
    email_key: Mapped[str | None]
    name_key: Mapped[str | None]
    updated_at: Mapped[datetime]  # by the source's clock
    stored_at: Mapped[datetime] = mapped_column(server_default=NOW)
    retain_until: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]


class WorkItem(Base):
    """What a run still has to do, or has done, for a prospect: pending -> claimed -> sent -> settled.

    A claim is a lease: until `lease_until` the item is its worker's, and `fence`, raised by each change of hands, tells
    a worker that was too slow from the one that has it now. Items of one person share `group_key`.
    """

    __tablename__ = "work_item"
    __table_args__ = (
        _one_of("state", ITEM_STATES),
        sa.CheckConstraint(
            "state NOT IN ('claimed', 'sent') OR (worker IS NOT NULL AND lease_until IS NOT NULL)", name="leased"
        ),
        sa.Index(
            "ix_work_item_open", "run_id", "group_key", "prospect_key", postgresql_where=sa.text("state <> 'settled'")
        ),
        {"postgresql_with": {"fillfactor": "80"}},  # an item is updated three times in its life
    )
    run_id: Mapped[UUID] = mapped_column(sa.ForeignKey(SyncRun.run_id), primary_key=True)
    prospect_key: Mapped[int] = mapped_column(sa.ForeignKey(Prospect.prospect_key), primary_key=True)
    group_key: Mapped[int]
    state: Mapped[str] = mapped_column(server_default=sa.text("'pending'"))
    worker: Mapped[str | None]
    fence: Mapped[int] = mapped_column(server_default=ZERO)
    lease_until: Mapped[datetime | None]
    available_at: Mapped[datetime] = mapped_column(server_default=NOW)
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    release_reason: Mapped[str | None]


class Attempt(Base):
    """A write about to be sent, committed before the request leaves. No `result`: nobody knows yet if it landed."""

    __tablename__ = "attempt"
    __table_args__ = (
        sa.ForeignKeyConstraint(["run_id", "prospect_key"], [WorkItem.run_id, WorkItem.prospect_key]),
        sa.UniqueConstraint("run_id", "prospect_key", "fence"),
        _one_of("operation", OPERATIONS),
        _one_of("matched_by", MATCHES),
        _one_of("result", ATTEMPT_RESULTS),
        sa.Index("ix_attempt_open", "prospect_key", postgresql_where=sa.text("result IS NULL")),
        sa.Index(
            "ix_attempt_created",
            "record_id",
            postgresql_where=sa.text("operation = 'create' AND result = 'landed'"),
        ),
    )
    attempt_id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    run_id: Mapped[UUID]
    prospect_key: Mapped[int]
    fence: Mapped[int]
    organization_id: Mapped[UUID]
    operation: Mapped[str]
    table_name: Mapped[str]
    record_id: Mapped[UUID]
    etag: Mapped[str | None]
    content_hash: Mapped[str]
    column_hashes: Mapped[dict[str, Any]]
    changed_columns: Mapped[list[str]]
    matched_by: Mapped[str | None]
    duplicates_found: Mapped[int]
    revision: Mapped[int]
    generation: Mapped[int]
    sent_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
    result: Mapped[str | None]
    code: Mapped[str | None]
    request_id: Mapped[str | None]


class ProspectOutcome(Base):
    """The one terminal outcome of a prospect in a run. Written once, in the transaction that settles the work item."""

    __tablename__ = "outcome"
    __table_args__ = (
        sa.ForeignKeyConstraint(["run_id", "prospect_key"], [WorkItem.run_id, WorkItem.prospect_key]),
        _one_of("outcome", (outcome.value for outcome in Outcome)),
        _one_of("matched_by", MATCHES),
        sa.Index("ix_outcome_of_prospect", "prospect_key", "settled_at"),
        sa.Index("ix_outcome_deferred", "run_id", "prospect_key", postgresql_where=sa.text("outcome = 'deferred'")),
    )
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    prospect_key: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    table_name: Mapped[str | None]
    record_id: Mapped[UUID | None]
    matched_by: Mapped[str | None]
    duplicates_found: Mapped[int] = mapped_column(server_default=ZERO)
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    error_column: Mapped[str | None]
    changed_columns: Mapped[list[str]] = mapped_column(server_default=NO_WORDS)
    warnings: Mapped[list[str]] = mapped_column(server_default=NO_WORDS)
    request_id: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    recovered: Mapped[bool] = mapped_column(server_default=FALSE)
    settled_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RecordLink(Base):
    """A prospect's record of one table in one organisation, with the hashes of what we last settled there."""

    __tablename__ = "record_link"
    __table_args__ = (_one_of("state", (state.value for state in LinkState)),)
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    prospect_key: Mapped[int] = mapped_column(sa.ForeignKey(Prospect.prospect_key), primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    record_id: Mapped[UUID]
    state: Mapped[str]
    generation: Mapped[int]
    content_hash: Mapped[str | None]
    column_hashes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    revision: Mapped[int] = mapped_column(server_default=ZERO)  # of the prospect, that was settled there
    linked_at: Mapped[datetime] = mapped_column(server_default=NOW)
    settled_at: Mapped[datetime] = mapped_column(server_default=NOW)


class LinkCheck(Base):
    """How far the links of an organisation have been held against it: the next check begins after this one."""

    __tablename__ = "link_check"
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    prospect_key: Mapped[int]
    table_name: Mapped[str]
    checked_at: Mapped[datetime] = mapped_column(server_default=NOW)


class NoticeState(Base):
    """How the last run of an action by a trigger ended, and which notifiers (`waiting`) have still to hear of it.

    `teller` is who tells them, until `telling_until`.
    """

    __tablename__ = "notice_state"
    __table_args__ = (_one_of("health", (health.value for health in Health)),)
    action: Mapped[str] = mapped_column(primary_key=True)
    trigger: Mapped[str] = mapped_column(primary_key=True)
    health: Mapped[str]
    waiting: Mapped[list[str]] = mapped_column(server_default=NO_WORDS)
    changed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    teller: Mapped[UUID | None]
    telling_until: Mapped[datetime | None]


class PersonLock(Base):
    """Who creates a person: per organisation, table and hashed match key there is one record id, whoever comes first.

    `prospect_key` is the prospect the id was minted for. `holder_run_id` and `holder_key` name the work item that is
    creating the record; the hold is busy as long as that item is leased. `settled`: the record is known to exist.
    """

    __tablename__ = "person_lock"
    __table_args__ = (sa.Index("ix_person_lock_unsettled", "record_id", postgresql_where=sa.text("NOT settled")),)
    match_key: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    record_id: Mapped[UUID]
    prospect_key: Mapped[int] = mapped_column(sa.ForeignKey(Prospect.prospect_key))
    holder_run_id: Mapped[UUID | None]
    holder_key: Mapped[int | None]
    settled: Mapped[bool] = mapped_column(server_default=FALSE)
    taken_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Extra(Base):
    """Something made beside a person's record, known by its minted id; what a person removes since is not made again.

    `extra_id` is the record's id in the CRM, but of a list membership, whose record the CRM numbers itself.
    `prospect_key` is null for an account, which belongs to no prospect.
    """

    __tablename__ = "extra"
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    extra_id: Mapped[UUID] = mapped_column(primary_key=True)
    table_name: Mapped[str]
    prospect_key: Mapped[int | None] = mapped_column(sa.ForeignKey(Prospect.prospect_key))
    made_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RequestBudget(Base):
    """What the CRM allows one application user of an organisation at the moment, for all workers alike."""

    __tablename__ = "budget"
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    application_user: Mapped[str] = mapped_column(primary_key=True)
    paused_until: Mapped[datetime | None]
    dop_hint: Mapped[int | None]  # parallel requests the organisation recommends
    lowered_to: Mapped[int | None]  # places left when it last refused too much at once
    lowered_at: Mapped[datetime | None]


class BudgetPlace(Base):
    """A request that an application user may have on the way; taken while `lease_until` lies ahead."""

    __tablename__ = "budget_place"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)  # updated twice a request
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    application_user: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    holder: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]


class Outage(Base):
    """An organisation that fails: `failures` in a row; before `wait_until` nobody asks it, then one request does."""

    __tablename__ = "outage"
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    wait_until: Mapped[datetime | None]


class Cursor(Base):
    """How far an automation has read: the (time, id) of the last row it has found and stored in the same transaction.

    `read_at` is when the last reading that came to its end began, `backlog` how many prospects earlier readings had
    found that were still not synced then. A row without `at` was never given a prospect.
    """

    __tablename__ = "cursor"
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime | None]
    id: Mapped[str | None]
    read_at: Mapped[datetime | None]
    backlog: Mapped[int] = mapped_column(server_default=ZERO)


class SchemaSnapshot(Base):
    """What the mapping of an action saw of an organisation's tables, to compare with. Columns only, no record."""

    __tablename__ = "schema_snapshot"
    action: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WebhookDelivery(Base):
    """A delivery of a source that was accepted once; the same id again is a replay. Whom it is about, and no more.

    due: nobody has asked yet which actions answer it; sorted: each that does has an errand; done: all errands are run;
    ignored: it asks for nothing. `event_ids` and `form_ids` are null where only the prospects can tell.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        _one_of("state", DELIVERY_STATES),
        sa.Index("ix_webhook_delivery_due", "received_at", postgresql_where=sa.text("state = 'due'")),
    )
    source: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    handled_at: Mapped[datetime | None]
    type: Mapped[str | None]
    prospect_source: Mapped[str | None]
    prospect_ids: Mapped[list[str]] = mapped_column(server_default=NO_WORDS)
    event_ids: Mapped[list[str] | None]
    form_ids: Mapped[list[str] | None]
    action: Mapped[str | None]
    whole: Mapped[bool] = mapped_column(server_default=FALSE)
    state: Mapped[str] = mapped_column(server_default=sa.text("'done'"))


class WebhookErrand(Base):
    """What a delivery asks of one action. Leased while `lease_until` lies ahead; `code`: why it was put off."""

    __tablename__ = "webhook_errand"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["source", "delivery_id"], [WebhookDelivery.source, WebhookDelivery.delivery_id], ondelete="CASCADE"
        ),
        sa.Index("ix_webhook_errand_open", "action", "available_at", postgresql_where=sa.text("done_at IS NULL")),
    )
    source: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    available_at: Mapped[datetime] = mapped_column(server_default=NOW)
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    code: Mapped[str | None]
    done_at: Mapped[datetime | None]
