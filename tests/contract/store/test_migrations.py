"""The schema: from empty, by two at once, half-way, and the same as the models say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dynamics.errors import AccountError, ConfigurationError, TransientError
from dynamics.store import database
from dynamics.store.database import MIGRATION_LOCK, check_schema, create_store, head_revision, upgrade
from dynamics.store.models import Base
from sandbox.postgres import PostgresServer
from tests.contract.store.samples import rows

RUN_COLUMNS = (
    "run_id, action, account, trigger, dag_id, dag_run_id, dry_run, state, selected, created, updated, unchanged,"
    " skipped, rejected, deferred, started_at, finished_at, requests, policy, mapping_hash"
)
OUTCOME_COLUMNS = (
    "run_id, action, account, trigger, source, prospect_id, revision, outcome, reason, table_name, record_id,"
    " record_url, matched_by, duplicates_found, error_code, error_message, error_column, changed_columns, request_id,"
    " attempts, recovered, settled_at"
)
LINK_COLUMNS = (
    "account, organization_id, table_name, source, prospect_id, record_id, state, content_hash, linked_at, settled_at"
)
AUTOMATION_COLUMNS = "name, read_until, read_at, backlog"
CONSTRAINTS = """
SELECT c.conrelid::regclass::text AS owner, c.conname, pg_get_constraintdef(c.oid) AS definition
  FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = 'sync' ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'sync' ORDER BY 1"


@pytest.fixture
def empty(postgres: PostgresServer) -> sa.Engine:
    """A database with nothing in it."""
    with postgres.administrator() as connection:
        connection.execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
    return create_store(postgres.url_for("empty"))


def test_an_empty_database_is_brought_up_to_date_and_a_second_upgrade_finds_nothing_to_do(empty: sa.Engine) -> None:
    assert upgrade(empty) == head_revision()
    assert upgrade(empty) == head_revision()
    check_schema(empty)
    empty.dispose()


def test_of_two_starters_one_migrates_and_the_other_waits_for_it(empty: sa.Engine) -> None:
    with ThreadPoolExecutor(4) as starters:
        assert list(starters.map(lambda _: upgrade(empty), range(4))) == [head_revision()] * 4
    check_schema(empty)
    empty.dispose()


def test_a_starter_that_is_cut_off_half_way_leaves_nothing_and_the_next_one_succeeds(empty: sa.Engine) -> None:
    @sa.event.listens_for(empty, "before_cursor_execute")
    def cut(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE sync.outcome" in statement:
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(TransientError):
        upgrade(empty)
    sa.event.remove(empty, "before_cursor_execute", cut)
    assert rows(empty, "SELECT 1 FROM pg_namespace WHERE nspname = 'sync'") == []
    assert upgrade(empty) == head_revision()
    empty.dispose()


FIRST_RELEASE = """
INSERT INTO sync.sync_run (run_id, action, account, trigger, dry_run, settings, mapping_hash, organization_id)
VALUES (gen_random_uuid(), 'a', 'dynamics_default', 'bulk', false, '{}', 'm', gen_random_uuid());
INSERT INTO sync.prospect (source, prospect_id, revision, payload, updated_at)
SELECT 'file', n::text, 1, '{}', now() FROM generate_series(1, 2000) n;
INSERT INTO sync.work_item (run_id, prospect_key, group_key) SELECT run_id, prospect_key, 1
  FROM sync.sync_run, sync.prospect;
INSERT INTO sync.attempt (run_id, prospect_key, fence, organization_id, operation, table_name, record_id, content_hash,
                          column_hashes, changed_columns, duplicates_found, revision, generation, result)
SELECT run_id, prospect_key, 1, gen_random_uuid(), 'create', 'lead', gen_random_uuid(), 'h', '{}', '{}', 0, 1, 0,
       (ARRAY['landed', 'not_landed', 'refused', NULL])[1 + mod(prospect_key, 4)] FROM sync.work_item;
INSERT INTO sync.budget (organization_id, application_user, dop_hint) VALUES (gen_random_uuid(), 'app', 8)
"""
CONTENT = "SELECT count(*), md5(string_agg(a::text, '' ORDER BY attempt_id)) FROM sync.attempt a"


def at_first_release(empty: sa.Engine) -> None:
    """The database as the first release left it, with work in it."""
    with empty.begin() as connection:
        database._migrate(connection, "0001")
        for statement in FIRST_RELEASE.split(";"):
            connection.exec_driver_sql(statement)


def test_the_first_releases_database_is_upgraded_with_all_its_rows_and_none_is_rewritten(empty: sa.Engine) -> None:
    at_first_release(empty)
    filenode = "SELECT pg_relation_filenode('sync.attempt') AS node"
    before = rows(empty, CONTENT), rows(empty, filenode)
    assert upgrade(empty) == head_revision()
    assert (rows(empty, CONTENT), rows(empty, filenode)) == before
    with empty.begin() as connection:
        connection.execute(sa.text("UPDATE sync.attempt SET result = 'not_sent' WHERE result IS NULL"))
    assert rows(empty, "SELECT dop_hint, lowered_to FROM sync.budget") == [{"dop_hint": 8, "lowered_to": None}]
    empty.dispose()


def test_an_upgrade_behind_a_long_transaction_gives_up_and_leaves_nothing(
    empty: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "100ms")
    at_first_release(empty)
    with empty.begin() as worker:
        worker.execute(sa.text("SELECT version_num FROM sync.alembic_version"))
        with pytest.raises(TransientError):
            upgrade(empty)
    assert rows(empty, "SELECT version_num FROM sync.alembic_version") == [{"version_num": "0001"}]
    assert upgrade(empty) == head_revision()
    empty.dispose()


def test_a_starter_behind_a_long_transaction_gives_up_and_says_so(
    empty: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "50ms")
    with empty.connect() as long_transaction:
        long_transaction.execute(sa.text("CREATE SCHEMA sync"))
        with pytest.raises(TransientError, match="nothing was changed"):
            upgrade(empty)
        long_transaction.rollback()
    assert upgrade(empty) == head_revision()
    empty.dispose()


def test_the_lock_of_an_upgrade_ends_with_its_transaction(store: sa.Engine) -> None:
    upgrade(store)
    with store.begin() as connection:
        assert connection.scalar(sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK}) is True


def test_migrations_and_models_describe_the_same_database(store: sa.Engine, empty: sa.Engine) -> None:
    with store.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "version_table_schema": "sync", "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    with empty.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA sync"))
        Base.metadata.create_all(connection)
    migrated = [row for row in rows(store, CONSTRAINTS) if row["owner"] != "sync.alembic_version"]
    assert migrated == rows(empty, CONSTRAINTS)
    assert [row for row in rows(store, INDEXES) if "alembic" not in row["indexname"]] == rows(empty, INDEXES)
    empty.dispose()


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("audit_run", RUN_COLUMNS),
        ("audit_outcome", OUTCOME_COLUMNS),
        ("audit_link", LINK_COLUMNS),
        ("audit_automation", AUTOMATION_COLUMNS),
    ],
)
def test_the_public_views_have_exactly_the_columns_that_were_promised(
    store: sa.Engine, view: str, columns: str
) -> None:
    with store.connect() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM sync.{view}")).keys()
    assert ", ".join(found) == columns


class TestCheckSchema:
    def test_a_database_that_was_not_upgraded_is_told_with_the_remedy(self, empty: sa.Engine) -> None:
        with pytest.raises(ConfigurationError, match="Run `dynamics-sync db upgrade`"):
            check_schema(empty)
        empty.dispose()

    @pytest.mark.parametrize(
        ("revision", "text"), [("0000", "was upgraded to 0000 by a newer release"), (None, "is at revision None")]
    )
    def test_another_revision_is_refused(self, store: sa.Engine, revision: str | None, text: str) -> None:
        with store.begin() as connection:
            if revision is None:
                connection.execute(sa.text("DELETE FROM sync.alembic_version"))
            else:
                connection.execute(sa.text("UPDATE sync.alembic_version SET version_num = :r"), {"r": revision})
        with pytest.raises(ConfigurationError, match=text):
            check_schema(store)

    def test_a_database_that_does_not_exist(self, audit_url: str) -> None:
        with pytest.raises(ConfigurationError, match=r"audit database nowhere at .*does not exist") as caught:
            check_schema(create_store(sa.make_url(audit_url).set(database="nowhere")))
        assert caught.value.faults[0].remedy.startswith("Create the database")

    def test_a_server_that_does_not_answer_and_no_password_in_the_text(self) -> None:
        with pytest.raises(
            ConfigurationError, match=r"audit database audit at 127\.0\.0\.1:1: cannot be reached"
        ) as caught:
            check_schema(create_store("postgresql://clerk:s3cret@127.0.0.1:1/audit"))
        assert "s3cret" not in f"{caught.value!r}{caught.value.faults}"
        assert "clerk" not in str(caught.value)

    def test_a_login_that_is_refused(self, audit_url: str) -> None:
        with pytest.raises(AccountError, match="refuses the login") as caught:
            check_schema(create_store(sa.make_url(audit_url).set(username="stranger")))
        assert "stranger" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgresql+asyncpg", "postgres"])
def test_any_postgresql_url_will_do(scheme: str) -> None:
    engine = create_store(f"{scheme}://clerk:pw@db.example.org/audit")
    assert engine.url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("url", ["sqlite:///audit.db", "not a url", "mysql://clerk:s3cret@h/d"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="connection dynamics_audit") as caught:
        create_store(url)
    assert "s3cret" not in str(caught.value)
