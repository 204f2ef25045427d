"""Tells people when an action begins to fail and when it works again. A notifier that fails changes nothing of the run.

`tellers` send: what stands behind them is made in `dynamics.hooks.notifiers`. When a notice is due, and its words, are
decided in `core.notices`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

from dynamics.core.balance import Verdict
from dynamics.core.ledger import Run
from dynamics.core.notices import Health, Notice, ended, not_begun
from dynamics.errors import DynamicsError
from dynamics.store.audit import AuditLog
from dynamics.store.notices import NoticeBoard

log = logging.getLogger("dynamics.notices")

CAUSES = 5
Teller = Callable[[Notice], None]


@dataclass(frozen=True)
class Notices:
    """What a task calls when a run has ended.

    Args:
        tellers: name -> sends a notice. Names are kept, so that whoever was not reached is told by a later run.
        page_of: the address of a run's page.
    """

    board: NoticeBoard
    audit: AuditLog
    tellers: Mapping[str, Teller]
    page_of: Callable[[UUID], str]

    def run_ended(self, run: Run, verdict: Verdict) -> None:
        """A run was judged. Dry runs are nobody's concern. Whatever goes wrong is logged."""
        if run.dry_run:
            return
        health = Health.GOOD if verdict.ok else Health.FAILED

        def words() -> Notice:
            causes = [str(cause) for cause in self.audit.causes(run.run_id, ("rejected", "deferred"))[:CAUSES]]
            about, page = (run.action, run.trigger), self.page_of(run.run_id)
            return ended(health, about, str(run.run_id), verdict.balance(), verdict.problems, causes, page)

        self._tell(run.action, run.trigger, health, words)

    def run_not_begun(self, action: str, trigger: str, faults: str, page: str) -> None:
        """A run failed before there was one. `faults`: sentences, one a line; `page`: where it is told in full."""
        self._tell(
            action,
            trigger,
            Health.FAILED,
            lambda: not_begun((action, trigger), [line for line in faults.splitlines() if line.strip()], page),
        )

    def _tell(self, action: str, trigger: str, health: Health, words: Callable[[], Notice]) -> None:
        teller = uuid4()
        try:
            waiting = self.board.to_tell(action, trigger, health, tuple(self.tellers), teller)
            if not waiting:
                return
            notice = words()
            reached = [name for name in waiting if _reach(name, self.tellers[name], notice)]
            self.board.told(action, trigger, reached, teller)
        except DynamicsError as error:
            log.error("nobody was told of %s (%s): %s", action, trigger, error)


def _reach(name: str, teller: Teller, notice: Notice) -> bool:
    """Whether it could be told. Of what went wrong only the kind is logged: its words may hold an address or a key."""
    try:
        teller(notice)
    except Exception as error:  # noqa: BLE001 - a notifier is anybody's code, and no reason for a run to fail
        log.error("notifier %s failed (%s); the next run that ends alike tries again", name, type(error).__name__)
        return False
    log.info("told by %s: %s", name, notice.subject)
    return True
