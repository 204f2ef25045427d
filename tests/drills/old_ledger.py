"""A ledger as the release before this one left it: rows by the hundred thousand, and work that a killed run left open.

It is made by this release's own migrations, up to an earlier revision: as a rule the last release's. Where there is one
revision only, the old database is an empty one, and the open work is put in after the upgrade. `released_ledger` is
made by the last release's own code, out of the repository's history.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from dynamics.store.database import MIGRATIONS, create_store
from tests.drills.people import prospects
from tests.drills.world import ROOT, World

# Synced before, and as many again whose creation was about to be sent: all of them one claim, since a worker that is
# killed has other lanes' claims in any state.
PEOPLE = 30
# The last release: where its code is, and the revision that it brings a database to. To be moved on at each release.
RELEASE, RELEASED_REVISION = "7194588", "0004"
VIEWS = ("audit_run", "audit_outcome", "audit_link")
Columns = Mapping[str, Sequence[str]]  # of each table or view
Contents = Mapping[str, tuple[int, str]]  # rows and checksum of each

# Two runs of an account that no drill uses: one that ended, and one that has pending work.
_FILL = """
INSERT INTO sync.sync_run (run_id, action, account, trigger, dry_run, settings, mapping_hash, organization_id, state,
                           discovered_at, finished_at, selected, unchanged)
VALUES (md5('ended')::uuid, 'old', 'old', 'bulk', false, '{"action": {}}', 'old', md5('old')::uuid, 'succeeded',
        now(), now(), :count, :count),
       (md5('open')::uuid, 'old', 'old', 'bulk', false, '{"action": {}}', 'old', md5('old')::uuid, 'running',
        now(), NULL, 0, 0);
INSERT INTO sync.prospect (source, prospect_id, revision, payload, email_key, name_key, updated_at)
SELECT 'file', 'old_' || n, 1, jsonb_build_object('id', 'old_' || n, 'email', 'old' || n || '@drill.example'),
       md5('email' || n), md5('name' || n), timestamptz '2026-01-01' + n * interval '1 second'
  FROM generate_series(1, :count) n;
INSERT INTO sync.work_item (run_id, prospect_key, group_key, state, worker, fence)
SELECT md5('ended')::uuid, prospect_key, prospect_key, 'settled', 'old', 1 FROM sync.prospect;
INSERT INTO sync.work_item (run_id, prospect_key, group_key)
SELECT md5('open')::uuid, prospect_key, prospect_key FROM sync.prospect WHERE prospect_key % 100 = 0;
INSERT INTO sync.attempt (run_id, prospect_key, fence, organization_id, operation, table_name, record_id, content_hash,
                          column_hashes, changed_columns, duplicates_found, revision, generation, finished_at, result)
SELECT md5('ended')::uuid, prospect_key, 1, md5('old')::uuid, 'create', 'lead', md5(prospect_id)::uuid, md5('content'),
       '{"lastname": "0123456789abcdef"}', '{lastname}', 0, 1, 0, now(), 'landed'
  FROM sync.prospect;
INSERT INTO sync.outcome (run_id, prospect_key, revision, outcome, table_name, record_id, matched_by, attempts)
SELECT md5('ended')::uuid, prospect_key, 1, 'unchanged', 'lead', md5(prospect_id)::uuid, 'link', 1 FROM sync.prospect;
INSERT INTO sync.record_link (organization_id, prospect_key, table_name, account, record_id, state, generation,
                              content_hash, column_hashes)
SELECT md5('old')::uuid, prospect_key, 'lead', 'old', md5(prospect_id)::uuid, 'live', 0, md5('content'),
       '{"lastname": "0123456789abcdef"}'
  FROM sync.prospect;
INSERT INTO sync.person_lock (match_key, organization_id, table_name, record_id, prospect_key, settled)
SELECT email_key, md5('old')::uuid, 'lead', md5(prospect_id)::uuid, prospect_key, true FROM sync.prospect;
"""

# Columns, indexes, constraints and views, one line each.
_SCHEMA = """
SELECT concat_ws(' ', 'column', table_name, column_name, data_type, is_nullable, column_default) AS line
  FROM information_schema.columns WHERE table_schema = 'sync'
 UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'sync'
 UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
  WHERE connamespace = to_regnamespace('sync')
 UNION ALL SELECT concat_ws(' ', viewname, definition) FROM pg_views WHERE schemaname = 'sync'
"""


@dataclass(frozen=True)
class OldLedger:
    """`world` is on the old database, `revision` the one it is at, None for an empty database.

    Attributes:
        file: prospects of the open work: half of them known and changed, half of them new.
        minted: prospect id -> the id under which its record was, or was about to be, created.
        copied: the open work, for `take_open_work` where it could not be put in before the upgrade.
    """

    world: World
    revision: str | None
    file: Path
    emails: Sequence[str]
    minted: Mapping[str, str]
    copied: Mapping[str, Sequence[Mapping[str, Any]]]

    def take_open_work(self) -> None:
        """Put the open work into the database."""
        _paste(self.world, self.copied)


@contextmanager
def old_ledger(world: World, count: int, revision: str | None = None) -> Iterator[OldLedger]:
    """A database of an earlier revision with `count` rows in each large table; unless named, the last release's."""
    people = [p["email"] for p in prospects(2 * PEOPLE)]
    file, minted = _leave_work_open(world, {})
    copied = _copy(world)
    revision = revision or _last_revision()
    name = f"old_{uuid.uuid4().hex[:12]}"
    if revision is None:
        url = world.server.url_for(name)
    else:
        _database_from(world, name, _template(world, revision, count))
        url = world.server.url_for(name)
    engine = create_store(url)
    ledger = OldLedger(replace(world, engine=engine, audit_url=url), revision, file, people, minted, copied)
    if revision is not None:
        ledger.take_open_work()
    try:
        yield ledger
    finally:
        engine.dispose()
        with world.server.administrator() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def schema_of(world: World) -> Sequence[str]:
    """Everything the schema is made of, as lines in order."""
    return sorted(row["line"] for row in world.sql(_SCHEMA))


def columns_of(world: World) -> Columns:
    """The columns of every table but Alembic's, and of the public views."""
    found: dict[str, list[str]] = {}
    for row in world.sql(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'sync' AND table_name <> 'alembic_version' ORDER BY table_name, ordinal_position"
    ):
        found.setdefault(row["table_name"], []).append(row["column_name"])
    return found


def contents_of(world: World, columns: Columns) -> Contents:
    """Rows and checksum of each table or view over these columns, whatever the order of the rows."""
    contents = {}
    for table, names in columns.items():
        listed = ", ".join(f'"{name}"' for name in names)
        row = world.sql(
            f"SELECT count(*) AS rows, coalesce(sum(hashtextextended(ROW({listed})::text, 0)), 0)::text AS checksum"
            f" FROM sync.{table}"
        )[0]
        contents[table] = (row["rows"], row["checksum"])
    return contents


@contextmanager
def released_ledger(world: World) -> Iterator[tuple[OldLedger, Mapping[str, str]]]:
    """A database that the last release has made, synced into and left with open work; and what makes a command run that
    release's code. Raises RuntimeError: the history does not hold that release."""
    with TemporaryDirectory(prefix="release-") as folder:
        environment = _release_in(Path(folder))
        url = world.server.url_for(f"released_{uuid.uuid4().hex[:12]}")
        engine = create_store(url)
        old = replace(world, engine=engine, audit_url=url)
        made = old.command("db", "upgrade", environment=environment)
        if made.returncode != 0:
            raise RuntimeError(f"the last release made no database: {made.stderr[-300:]}")
        file, minted = _leave_work_open(old, environment)
        emails = [p["email"] for p in prospects(2 * PEOPLE)]
        try:
            yield OldLedger(old, RELEASED_REVISION, file, emails, minted, {}), environment
        finally:
            engine.dispose()


def earlier_revisions() -> list[str]:
    """All but the newest, oldest first."""
    script = ScriptDirectory(str(MIGRATIONS))
    return [each.revision for each in script.walk_revisions() if each.revision != script.get_current_head()][::-1]


def _release_in(folder: Path) -> dict[str, str]:
    """Put the last release's code there; what it takes to run it."""
    found = subprocess.run(["git", "archive", RELEASE, "plugins"], cwd=ROOT, capture_output=True)
    if found.returncode != 0:
        raise RuntimeError(f"the history does not hold {RELEASE}: {found.stderr.decode()[-200:]}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=found.stdout, check=True)
    return {"PYTHONPATH": str(folder / "plugins")}


def _leave_work_open(world: World, environment: Mapping[str, str]) -> tuple[Path, Mapping[str, str]]:
    """Sync some people; then change them, add as many, and kill the worker when it has committed what it will send."""
    first = world.sync(world.write_prospects(prospects(PEOPLE), "first.jsonl"), environment=environment)
    if first.returncode != 0:
        raise RuntimeError(f"the run before the upgrade failed: {first.stderr[-300:]}")
    changed = prospects(2 * PEOPLE, revision=2, job_title="Manager")
    file = world.write_prospects(changed, "second.jsonl")
    world.sync(file, kill="K3:1", environment=environment)
    rows = world.sql(
        "SELECT DISTINCT p.prospect_id, a.record_id::text AS record_id FROM sync.attempt a"
        " JOIN sync.prospect p USING (prospect_key)"
    )
    open_work = world.sql("SELECT count(*) AS n FROM sync.attempt WHERE result IS NULL")[0]["n"]
    if open_work != 2 * PEOPLE:
        raise RuntimeError(f"{open_work} attempts were left open instead of {2 * PEOPLE}")
    return file, {row["prospect_id"]: row["record_id"] for row in rows}


def _last_revision() -> str | None:
    """The last release's, or the one before where it is still the newest; None where there is no earlier one."""
    earlier = earlier_revisions()
    if RELEASED_REVISION in earlier:
        return RELEASED_REVISION
    return earlier[-1] if earlier else None


def _template(world: World, revision: str, count: int) -> str:
    """The name of a filled database of this revision to copy from; made once on a server, it takes a while."""
    name, making = f"filled_{revision}_{count}", f"filling_{uuid.uuid4().hex[:12]}"
    with world.server.administrator() as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return name
    engine = create_store(world.server.url_for(making))
    with engine.begin() as connection:
        configuration = Config()
        configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        configuration.set_main_option("path_separator", "os")
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)
        for statement in filter(str.strip, _FILL.split(";\n")):
            connection.execute(sa.text(statement), {"count": count} if ":count" in statement else {})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
    engine.dispose()
    with world.server.administrator() as connection:
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(making), sql.Identifier(name)))
    return name


def _database_from(world: World, name: str, template: str) -> None:
    with world.server.administrator() as connection:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))


def _copy(world: World) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Every row of every table, as JSON values."""
    tables = [table for table in columns_of(world) if table not in VIEWS]
    return {
        table: [row["row"] for row in world.sql(f"SELECT to_jsonb(t) AS row FROM sync.{table} t")] for table in tables
    }


def _paste(world: World, copied: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Put rows of another revision in: columns that are not here are left out, missing ones get their defaults.

    Keys are moved behind those that are taken.
    """
    columns = columns_of(world)
    behind = {"prospect_key", "group_key", "holder_key", "attempt_id"}
    highest = 10_000_000
    with world.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))  # tables come in any order
        for table, rows in copied.items():
            moved = [
                {
                    name: value + highest if name in behind and value is not None else value
                    for name, value in row.items()
                }
                for row in rows
            ]
            names = [name for name in columns.get(table, ()) if rows and name in rows[0]]
            if not names:
                continue
            listed = ", ".join(f'"{name}"' for name in names)
            connection.execute(
                sa.text(
                    f"INSERT INTO sync.{table} ({listed}) OVERRIDING SYSTEM VALUE"
                    f" SELECT {listed} FROM jsonb_populate_recordset(NULL::sync.{table}, CAST(:rows AS jsonb))"
                ),
                {"rows": json.dumps(moved)},
            )
        for table, name in (("prospect", "prospect_key"), ("attempt", "attempt_id")):
            sequence = f"pg_get_serial_sequence('sync.{table}', '{name}')"
            connection.execute(sa.text(f"SELECT setval({sequence}, (SELECT max({name}) FROM sync.{table}))"))


def driver_url(world: World) -> str:
    """The URL of the world's database for the driver itself."""
    return world.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def connect(world: World, *, autocommit: bool) -> psycopg.Connection:
    """A session of the drill's own on the world's database."""
    return psycopg.connect(driver_url(world), autocommit=autocommit)
