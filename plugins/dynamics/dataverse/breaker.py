"""Notices that a rule of the organisation refuses whatever we write, and not this row or that one.

Counts refusals in a row, by table and operation, over all threads of a client. Only those count that a rule may be to
blame for: a text that is too long says nothing about the next row, and a lost answer nothing at all. While refusals
come in a row, requests of one table and operation go one after the other, or many would be under way before the first
is judged. Where a refused message is taken apart this begins with the first refusal, and until a row has had another
fate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from dynamics.core.crm import WriteResult, WriteState
from dynamics.dataverse.faults import RULE_CODES
from dynamics.errors import AccountError

LIMIT = 20  # refusals in a row, none landed since
SUSPICIOUS = 5
REMEDY = "change the rule or what it asks for, or map what it wants to see, then run again"


def blames_a_rule(result: WriteResult) -> bool:
    """Whether a row's fate may be due to a rule of the organisation rather than to the row's value."""
    if result.state is WriteState.UNCLASSIFIED:
        return True
    return result.state is WriteState.REFUSED and result.code in RULE_CODES


@dataclass
class Breaker:
    """The count of one table and operation. `title` names the account, for messages. For any number of threads."""

    title: str
    table: str
    operation: str
    refusals: int = 0
    trusted: bool = False
    fault: AccountError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _one_by_one: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def watched(self, isolating: bool = False) -> Iterator[None]:
        """Send one request, alone while there is a suspicion.

        Args:
            isolating: it is part of a refused message, taken apart: suspicious until a row has had another fate, and
                whenever the last one was refused.

        Raises:
            AccountError: the breaker is open.
        """
        with ExitStack() as alone:
            if self._suspicious(isolating):
                alone.enter_context(self._one_by_one)
                if self.fault is not None:
                    raise self.fault
                if not self._suspicious(isolating):  # the request we have waited for has told
                    alone.close()
            yield

    def _suspicious(self, isolating: bool) -> bool:
        if isolating and (self.refusals or not self.trusted):
            return True
        return self.refusals >= SUSPICIOUS

    def count(self, result: WriteResult) -> None:
        """Take note of a row's fate. `fault` is there while the breaker is open."""
        with self._lock:
            if result.state is WriteState.DONE:
                self.refusals, self.trusted, self.fault = 0, True, None
            elif result.state is WriteState.UNKNOWN:
                return
            elif not blames_a_rule(result):
                self.trusted = True
            else:
                self.refusals += 1
                if self.refusals == LIMIT:
                    self.fault = self._opened_by(result)

    def _opened_by(self, last: WriteResult) -> AccountError:
        detail = f"{self.refusals} rows in a row were refused and none landed: {last.message}: {REMEDY}"
        subject = f"{self.table} of {self.title}"
        return AccountError(self.operation, subject, detail=detail, code=last.code, request_id=last.request_id)


class Breakers:
    """The breakers of one client."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lock = threading.Lock()
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def of(self, table: str, operation: str) -> Breaker:
        """The breaker of a table and an operation."""
        with self._lock:
            return self._breakers.setdefault((table, operation), Breaker(self._title, table, operation))
