"""Opens the audit database, brings its schema up to date when asked to, and checks that it is.

Nothing migrates on import or in a worker: `upgrade` is run by `dynamics-sync db upgrade`, workers call `check_schema`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from dynamics.core.json_text import parse_json
from dynamics.errors import ConfigurationError, Fault, TransientError
from dynamics.store.faults import SUBJECT, Trouble, classify, configuration_error, sqlstate, translate

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x64796E616D696373  # any number that nobody else in this database uses: "dynamics"
LOCK_TIMEOUT = "4s"
UPGRADE = "Run `dynamics-sync db upgrade`."
_CONNECT = {
    "application_name": "dynamics-sync",
    "keepalives_idle": 30,
    "prepare_threshold": None,  # a transaction pooler hands each transaction another session
}


def create_store(url: str | sa.URL, connections: int = 16, patience_s: int = 30) -> sa.Engine:
    """An engine on the audit database. Does not connect yet.

    Args:
        url: `postgresql://...`, with any driver named or none; psycopg is used.
        connections: the most it opens. The default is for a worker: eight lanes, its dispatcher, the keeper of places.
        patience_s: how long to wait for a connection, of the pool's or a new one.
    Raises:
        ConfigurationError: no PostgreSQL URL.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise _no_url("cannot be read as a database URL.") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise _no_url(f"is a {parsed.get_backend_name()} database; only PostgreSQL 16 or later will do.")
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=min(connections, 6),
        max_overflow=max(connections - 6, 0),
        pool_timeout=patience_s,
        hide_parameters=True,  # an error must not quote a person
        json_deserializer=parse_json,
        connect_args=_CONNECT | {"connect_timeout": min(patience_s, 10)},
    )


def upgrade(engine: sa.Engine) -> str:
    """Create the schema or bring it up to date. Returns the revision it is at.

    One transaction under a lock of its own: of two starters the second one waits and finds nothing left to do, and one
    that is killed half-way leaves nothing behind.

    Raises:
        TransientError: another session holds a table for too long; nothing was changed.
        ConfigurationError, AccountError: no such database, or no right to change it.
    """
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            # Writers of a running release wait behind us: rather give up than hold them up.
            connection.execute(sa.text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": LOCK_TIMEOUT})
            if _revision(connection) not in (None, head_revision()):
                # Waits for transactions that have seen the old revision; later ones see the new one, and refuse.
                connection.execute(sa.text("LOCK TABLE sync.alembic_version IN ACCESS EXCLUSIVE MODE"))
            _migrate(connection)
    except DBAPIError as error:
        if classify(error) is Trouble.CONFLICT:
            detail = "another session holds a table for too long; nothing was changed, run it again when that has ended"
            raise TransientError("upgrade", SUBJECT, detail=detail, code=sqlstate(error)) from None
        raise translate(error, "upgrade", engine.url) from None
    return head_revision()


def check_schema(engine: sa.Engine) -> None:
    """Make sure that the database is there and at the revision of this release.

    Raises:
        ConfigurationError: missing, unreachable, not upgraded, or upgraded by a newer release.
        AccountError: it does not let us in.
    """
    try:
        with engine.connect() as connection:
            found = connection.scalar(sa.text("SELECT version_num FROM sync.alembic_version"))
    except DBAPIError as error:
        if classify(error) is Trouble.UNREACHABLE:
            remedy = "Start the server, or correct the connection dynamics_audit."
            raise configuration_error(engine.url, "cannot be reached.", remedy) from None
        raise translate(error, "check", engine.url) from None
    require_revision(engine.url, found)


def require_revision(url: sa.URL, found: str | None) -> None:
    """Raises ConfigurationError unless `found` is the revision of this release."""
    if found == head_revision():
        return
    if found is None or found in _known_revisions():
        raise configuration_error(url, f"is at revision {found}, not {head_revision()}.", UPGRADE)
    remedy = "Install that release here, and restart the worker with it."
    raise configuration_error(url, f"was upgraded to {found} by a newer release.", remedy)


@cache
def head_revision() -> str:
    """The revision this release needs."""
    return max(_known_revisions())


def _known_revisions() -> set[str]:
    """By the names of the migrations, `r<revision>_<words>.py`: Alembic takes long to load, so it is not asked."""
    return {path.name[1:].partition("_")[0] for path in (MIGRATIONS / "versions").glob("r*_*.py")}


def _revision(connection: sa.Connection) -> str | None:
    """The revision the database is at; None before the first upgrade."""
    if connection.scalar(sa.text("SELECT to_regclass('sync.alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM sync.alembic_version"))
    return found


def _migrate(connection: sa.Connection, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    configuration = Config(attributes={"connection": connection})
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    command.upgrade(configuration, revision)


def _no_url(what: str) -> ConfigurationError:
    return ConfigurationError(
        [Fault("connection dynamics_audit", None, what, "Write it like postgresql://user@host/name.")]
    )
