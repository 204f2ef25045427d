"""Remembers the accounts behind webhook addresses for some seconds, so that calls do not ask Airflow each time.

Looking a connection up reads Airflow's database. One that is known is looked up again every `KEEP_S`, by one call while
the others wait; names that nobody knows may be asked for so many times a second, and no oftener.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from dynamics.captello.account import CaptelloAccount
from dynamics.errors import ConfigurationError

log = logging.getLogger("dynamics.web")

KEEP_S = 5.0
STRANGERS_A_SECOND = 5.0
MOST_REMEMBERED = 256
_SOURCE = re.compile(r"[A-Za-z0-9_.-]{1,250}")


class TooManyStrangersError(Exception):
    """It is not known now whether there is such a source: the caller may come again."""


@dataclass(frozen=True)
class _Seen:
    account: CaptelloAccount | None
    until: float


class Sources:
    """Connection id -> account."""

    def __init__(
        self, account_of: Callable[[str], CaptelloAccount], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._account_of = account_of
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}
        self._asking = anyio.Lock()
        self._allowance = STRANGERS_A_SECOND
        self._allowed_at = monotonic()

    async def find(self, source: str) -> CaptelloAccount | None:
        """The account of a source; None where there is none.

        Raises:
            TooManyStrangersError: too many unknown ones were asked for just now, or Airflow's database is away.
        """
        if not _SOURCE.fullmatch(source):
            return None
        known = self._fresh(source)
        if known is not None:
            return known.account
        old = self._seen.get(source)
        if (old is None or old.account is None) and not self._may_ask():
            raise TooManyStrangersError
        async with self._asking:
            known = self._fresh(source)  # the one before may have asked for the same
            if known is None:
                account = await anyio.to_thread.run_sync(self._ask, source)
                self._remember(source, account)
                return account
        return known.account

    def _ask(self, source: str) -> CaptelloAccount | None:
        try:
            return self._account_of(source)
        except ConfigurationError as error:
            log.warning("no webhooks for %s: %s", source, "; ".join(fault.what for fault in error.faults))
            return None
        except SQLAlchemyError as error:
            log.error("connection %s cannot be looked up now: %s", source, type(error).__name__)
            raise TooManyStrangersError from None

    def _fresh(self, source: str) -> _Seen | None:
        known = self._seen.get(source)
        return known if known is not None and self._monotonic() < known.until else None

    def _remember(self, source: str, account: CaptelloAccount | None) -> None:
        """Strangers are forgotten first, the oldest of them."""
        self._seen.pop(source, None)
        self._seen[source] = _Seen(account, self._monotonic() + KEEP_S)
        if len(self._seen) > MOST_REMEMBERED:
            strangers = [name for name, seen in self._seen.items() if seen.account is None]
            del self._seen[strangers[0] if strangers else next(iter(self._seen))]

    def _may_ask(self) -> bool:
        now = self._monotonic()
        earned = (now - self._allowed_at) * STRANGERS_A_SECOND
        self._allowance, self._allowed_at = min(STRANGERS_A_SECOND, self._allowance + earned), now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
