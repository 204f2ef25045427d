"""How automation runs find work, and whether they keep up: by cursor, never by a schedule's interval.

A run reads its source from the cursor, less an overlap for what the source brings in late, stores what the action's
`where` takes and moves the cursor page by page, each page in one transaction. Prospects that are due become work; so
do those that earlier runs have found and not settled. A backfill run selects by time of capture instead and leaves the
cursor alone. What is due is decided in `store.due`, what `where` means in `core.where`.

Of what `where` leaves out a newer revision of a prospect that is kept already is kept too, without any work: whoever
takes the prospect up again, an automation or a retry, must not go by what it said before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dynamics.config import Automation, SyncAction
from dynamics.core.capture import DiscoveredProspect, Selection, SourcedProspect
from dynamics.core.ledger import Run
from dynamics.core.matching import with_match_keys
from dynamics.core.where import Where, chosen
from dynamics.errors import ConfigurationError, Fault
from dynamics.store.due import CursorState
from dynamics.store.ledger import PostgresLedger
from dynamics.sync.discovery import conclude, store_pages
from dynamics.sync.ports import Clock, Source

log = logging.getLogger("dynamics.sync")

MISSED_RUNS = 3  # so many runs that the schedule asked for and that did not read: somebody is told
SILENT_LEASES = 5  # an automation run that nobody has touched for so many leases has no worker left
BATCH = 500
NOBODY = UUID(int=0)
Place = tuple[datetime, str]
Page = Sequence[SourcedProspect]


@dataclass(frozen=True)
class _Read:
    """A page as it was read. `place`: of its last row of all."""

    taken: Sequence[DiscoveredProspect]
    left_out: Page
    place: Place


@dataclass(frozen=True)
class Backlog:
    """How far one automation is behind.

    `read_until` is in the source's time, the others in the database's. `unsettled`: prospects that were found, are due,
    and are not settled. `missed`: runs that the schedule has asked for since the last complete reading.
    """

    action: str
    cursor: str
    read_until: datetime | None
    read_at: datetime | None
    age: timedelta | None
    missed: int
    unsettled: int
    before: int  # `unsettled` when the last reading began

    @property
    def is_late(self) -> bool:
        """It has read once, and then not when it should have."""
        return self.missed >= MISSED_RUNS

    @property
    def grows(self) -> bool:
        return self.unsettled > self.before

    def __str__(self) -> str:
        if self.read_at is None:
            read = "has never read its source to the end"
        else:
            hours, minutes = divmod(int((self.age or timedelta()).total_seconds()) // 60, 60)
            read = f"last read its source {hours} h {minutes:02} min ago, {self.missed} scheduled runs since"
        return f"{read}; {self.unsettled} prospects are found and not settled, {self.before} were before"


def automation_of(action: SyncAction) -> Automation:
    """The action's automation. Raises ConfigurationError: it has none."""
    if action.triggers.automation is None:
        file = f"include/actions/{action.name}.yaml"
        remedy = 'Give it one: `triggers: {automation: {schedule: "*/5 * * * *"}}`.'
        raise ConfigurationError([Fault(file, None, "has no automation.", remedy)])
    return action.triggers.automation


def cursor_name(action: SyncAction, automation: Automation) -> str:
    """Source, action and account: another account, or another source, is read from the beginning."""
    return f"{automation.source}/{action.name}/{action.account}"


def parted(page: Page, where: Where) -> tuple[list[SourcedProspect], list[SourcedProspect]]:
    """The prospects of a page that an automation takes, and those that it leaves out."""
    passed = chosen([found.payload for found in page], where)
    taken = [found for found, is_taken in zip(page, passed, strict=True) if is_taken]
    return taken, [found for found, is_taken in zip(page, passed, strict=True) if not is_taken]


def captured_between(where: Where, start: datetime, end: datetime) -> Selection:
    """What a backfill asks the source for. The listings of several ids come one after the other, which is all right
    where no cursor is moved."""
    return Selection(
        captured_from=start,
        captured_to=end,
        event_ids=where.event_ids,
        form_ids=where.form_ids,
        owner_ids=where.owner_ids,
    )


def backlog(action: SyncAction, organization_id: UUID, ledger: PostgresLedger, lease_s: float) -> Backlog:
    """How far the action's automation is behind now."""
    automation = automation_of(action)
    name = cursor_name(action, automation)
    left_over = ledger.left_over(action.name, organization_id, SILENT_LEASES * lease_s, NOBODY)
    left_over = _still_taken(left_over, automation.where.rule(), ledger)
    return _measured(action, automation, ledger.cursor(name), len(left_over))


def read_by_cursor(
    run: Run,
    action: SyncAction,
    source: Source,
    ledger: PostgresLedger,
    clock: Clock,
    lease_s: float,
    on_stored: Callable[[int], None] = lambda _: None,
) -> int:
    """Bring what is due into an automation run. Returns how many work items it has gained; safe to repeat.

    Raises:
        StoppedError: this process is to stop. What was stored stays, the cursor behind it.
    """
    automation = automation_of(action)
    where, name = automation.where.rule(), cursor_name(action, automation)
    state = ledger.cursor(name)
    left_over = ledger.left_over(action.name, run.organization_id, SILENT_LEASES * lease_s, run.run_id)
    left_over = _still_taken(left_over, where, ledger)
    _warn(_measured(action, automation, state, len(left_over)))
    selection = _since(where, automation, state)
    moved = None if run.dry_run else name

    def store(page: _Read) -> int:
        beside = _with_keys(ledger.newer_than_kept(source.name, page.left_out))
        return ledger.store_due(run, source.name, page.taken, moved, page.place, beside)

    added = store_pages(source.name, _pages(source, selection, where), store, clock, on_stored)
    if selection.event_ids or selection.form_ids:
        _look_up(left_over, source, ledger, clock)
    left_over = _still_taken(left_over, where, ledger)
    taken_up = sum(ledger.add_items(run.run_id, some) for some in _batches(left_over))
    conclude(run, action.policy(), ledger)
    if moved is not None:
        ledger.note_reading(moved, state.now, len(left_over))
    log.info("%d prospects are due in %s, %d more were left over by earlier runs", added, source.name, taken_up)
    return added + taken_up


def read_by_capture(
    run: Run,
    action: SyncAction,
    source: Source,
    selection: Selection,
    ledger: PostgresLedger,
    clock: Clock,
    on_stored: Callable[[int], None] = lambda _: None,
) -> int:
    """Bring what is selected and taken into a backfill run, due or not. Returns and raises as `read_by_cursor`."""
    where = automation_of(action).where.rule()

    def store(page: _Read) -> int:
        added = ledger.store_prospects(run.run_id, source.name, page.taken)
        ledger.keep_prospects(source.name, _with_keys(ledger.newer_than_kept(source.name, page.left_out)))
        return added

    added = store_pages(source.name, _pages(source, selection, where), store, clock, on_stored)
    conclude(run, action.policy(), ledger)
    log.info("discovered %d prospects in %s", added, source.name)
    return added


def _since(where: Where, automation: Automation, state: CursorState) -> Selection:
    """What to ask the source for. It is asked for an id where one alone is wanted: the listings of several would each
    begin anew, and a cursor moved by the first would pass over what the second has still to bring. Nor is it asked for
    an owner: a prospect that has changed hands would be listed no more, and would stay as it was before."""

    def one(ids: tuple[str, ...]) -> tuple[str, ...]:
        return ids if len(ids) == 1 else ()

    begin = [automation.since] if automation.since is not None else []
    begin += [state.at - automation.overlap] if state.at is not None else []
    return Selection(
        event_ids=one(where.event_ids),
        form_ids=one(where.form_ids),
        updated_from=max(begin, default=None),
    )


def _pages(source: Source, selection: Selection, where: Where) -> Iterator[_Read]:
    """Pages with what is taken of them, which may be nothing."""
    for page in source.pages(selection):
        taken, left_out = parted(page, where)
        yield _Read(_with_keys(taken), left_out, (page[-1].updated_at, page[-1].prospect_id))


def _with_keys(page: Page) -> list[DiscoveredProspect]:
    return with_match_keys(page) if page else []


def _look_up(keys: Sequence[int], source: Source, ledger: PostgresLedger, clock: Clock) -> None:
    """Keep the newest revision of prospects that the listing of an event or a form may not show any more."""

    def store(page: Page) -> int:
        ledger.keep_prospects(source.name, _with_keys(ledger.newer_than_kept(source.name, page)))
        return 0

    for some in _batches(keys):
        ids = tuple(prospect.prospect_id for _, prospect in ledger.prospects_by_key(some))
        store_pages(source.name, source.pages(Selection(prospect_ids=ids)), store, clock)


def _still_taken(keys: Sequence[int], where: Where, ledger: PostgresLedger) -> list[int]:
    """Of what earlier runs have left over, that which the action takes as it is today, by what is kept of it."""
    if where.asks_nothing:
        return list(keys)
    still: list[int] = []
    for some in _batches(keys):
        stored = ledger.prospects_by_key(some)
        passed = chosen([prospect.payload for _, prospect in stored], where)
        still += [key for (key, _), is_taken in zip(stored, passed, strict=True) if is_taken]
    return still


def _batches(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _measured(action: SyncAction, automation: Automation, state: CursorState, unsettled: int) -> Backlog:
    read_at = state.read_at
    return Backlog(
        action=action.name,
        cursor=cursor_name(action, automation),
        read_until=state.at,
        read_at=read_at,
        age=state.now - read_at if read_at is not None else None,
        missed=automation.missed(read_at, state.now) if read_at is not None else 0,
        unsettled=unsettled,
        before=state.backlog,
    )


def _warn(found: Backlog) -> None:
    if found.is_late or found.grows:
        log.warning("backlog: automation of %s %s", found.action, found)
