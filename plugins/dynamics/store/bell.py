"""Wakes whoever waits for a delivery: PostgreSQL's LISTEN and NOTIFY, with a look from time to time all the same.

A notice may be missed: behind a pooler that hands each transaction another session nobody is listened for, and a
connection may be cut. So a wait ends by itself, and whoever waits looks then. Source: PostgreSQL documentation, NOTIFY;
PgBouncer documentation, features by pooling mode.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

log = logging.getLogger("dynamics.store")


class Bell:
    """Listens on a channel by a connection of its own. For one thread; close it."""

    def __init__(self, engine: sa.Engine, channel: str, sleep: Callable[[float], None]) -> None:
        self._engine = engine
        self._channel = channel
        self._sleep = sleep
        self._listening: psycopg.Connection | None = None
        self._told = False

    def wait(self, seconds: float) -> bool:
        """Wait for a notice, so long at most. Whether one came; there is no saying that none was missed."""
        try:
            if self._listening is None:
                self._listening = self._connect()
                return True  # what came before that was not heard
            return any(True for _ in self._listening.notifies(timeout=seconds, stop_after=1))
        except (DBAPIError, PoolTimeoutError, psycopg.Error) as error:
            if not self._told:
                log.warning("not listening for webhooks, looking from time to time (%s)", type(error).__name__)
            self._told = True
            self.close()
            self._sleep(seconds)
            return False

    def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _connect(self) -> psycopg.Connection:
        pooled = self._engine.raw_connection()
        driver = pooled.driver_connection
        pooled.detach()  # it is not the pool's any more
        if not isinstance(driver, psycopg.Connection):
            raise psycopg.InterfaceError("not a connection of psycopg")
        driver.autocommit = True
        driver.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        self._told = False
        return driver
