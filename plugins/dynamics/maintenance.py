"""What is done to the audit database at night, page by page: personal data and old runs removed, silent runs closed,
links held against the CRM. Nothing is ever deleted in the CRM, and open work is never touched.

Each part can be stopped at any page and goes on where it ended; how a page is done is told in `store`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

from dynamics.assembly import SyncService
from dynamics.config import Links, Retention, load_settings
from dynamics.core.ledger import LinkState
from dynamics.core.lifecycle import checked_state, too_many_gone
from dynamics.dataverse.client import DataverseClient
from dynamics.errors import AccountError, DynamicsError, NoConnectionError, StoppedError
from dynamics.process import STALE_AFTER_LEASES, lease_seconds
from dynamics.store.link_checks import START, LinkedRecord, Mark
from dynamics.store.retention import FIRST_PERSON, Person

log = logging.getLogger("dynamics.maintenance")

PROSPECTS_A_PAGE = 2_000
ROWS_A_PAGE = 5_000
LINKS_A_PAGE = 2_000


@dataclass
class LinkReport:
    """What became of the links of all organisations. `troubles`: organisations that could not be checked, and why."""

    checked: int = 0
    marked: Counter[LinkState] = field(default_factory=Counter)
    troubles: list[DynamicsError] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """For a log or a metric."""
        return {"checked": self.checked, **{state.value: count for state, count in sorted(self.marked.items())}}


@dataclass(frozen=True)
class Maintenance:
    """The parts of the nightly maintenance.

    Raises, whichever part: TransientError when the audit database was in the way, StoppedError between two pages when
    this process is to stop, ConfigurationError when include/settings.yaml cannot be read.
    """

    service: SyncService

    def remove_personal_data(self) -> dict[str, int]:
        """Empty the prospects that have been kept long enough, and forget by which keys they were recognised."""
        days = self._retention().personal_data_days
        ledger, counts, after = self.service.ledger, Counter[str](), 0
        while True:
            page = ledger.remove_personal_data(after, PROSPECTS_A_PAGE, days)
            counts += Counter(looked_at=page.looked_at, removed=page.removed, still_in_work=page.working)
            if page.last is None:
                break
            after = page.last
            self._go_on()
        person: Person | None = FIRST_PERSON
        while person is not None:
            forgotten, person = ledger.forget_persons(person, ROWS_A_PAGE)
            counts["keys_forgotten"] += forgotten
            self._go_on()
        return {name: counts[name] for name in ("looked_at", "removed", "still_in_work", "keys_forgotten")}

    def remove_old_audit(self) -> dict[str, int]:
        """Delete runs that ended long ago with all that belongs to them, and forget old webhook deliveries."""
        retention, ledger = self._retention(), self.service.ledger
        counts = Counter[str]()
        while retention.audit_days is not None:
            trimmed = ledger.trim_oldest_run(retention.audit_days, ROWS_A_PAGE)
            if trimmed is None:
                break
            items, gone = trimmed
            counts += Counter(runs=int(gone), outcomes=items)
            self._go_on()
        while deleted := ledger.trim_deliveries(retention.webhook_delivery_days, ROWS_A_PAGE):
            counts["deliveries"] += deleted
            self._go_on()
        return {name: counts[name] for name in ("runs", "outcomes", "deliveries")}

    def close_silent_runs(self) -> dict[UUID, int]:
        """Close runs of every account that no worker has touched for long: what is open there becomes `deferred`.
        Returns run -> how many prospects that were."""
        closed: dict[UUID, int] = {}
        silent_s = STALE_AFTER_LEASES * lease_seconds()
        while found := self.service.ledger.abandon_stalest_run(silent_s, list(closed)):
            run_id, items = found
            closed[run_id] = items
            log.warning("run %s: nobody works on it any more, %d prospects deferred", run_id, items)
            self._go_on()
        return closed

    def check_links(self) -> LinkReport:
        """Ask every organisation for the next of its linked records, and mark the links whose record is gone, merged or
        inactive. One organisation that cannot be asked does not keep the others from it."""
        settings = load_settings(self.service.include).links
        report = LinkReport()
        for organization_id, accounts in self.service.ledger.linked_organizations():
            try:
                with ExitStack() as clients:
                    account, crm = self._reached(organization_id, accounts, clients)
                    self._check_organization(organization_id, account, crm, settings, report)
            except StoppedError:
                raise
            except NoConnectionError:
                names = ", ".join(accounts)
                log.warning(
                    "organisation %s: its links are not checked, it has no connection: %s", organization_id, names
                )
            except DynamicsError as error:
                report.troubles.append(error)
        return report

    # ------------------------------------------------------------ parts

    def _reached(
        self, organization_id: UUID, accounts: Sequence[str], clients: ExitStack
    ) -> tuple[str, DataverseClient]:
        """The first of the accounts by which the organisation answers, with its client.

        Raises:
            NoConnectionError: none of them has a connection any more. DynamicsError: what keeps the first that has one.
        """
        troubles: list[DynamicsError] = []
        for account in accounts:
            try:
                crm = clients.enter_context(self.service.connect(account, organization_id))
                if crm.organization().organization_id == organization_id:
                    return account, crm
            except StoppedError:
                raise
            except DynamicsError as error:
                troubles.append(error)
            else:
                detail = f"it does not lead to organisation {organization_id}"
                troubles.append(AccountError("check links", account, detail=detail))
        raise next((trouble for trouble in troubles if not isinstance(trouble, NoConnectionError)), troubles[0])

    def _check_organization(
        self, organization_id: UUID, account: str, crm: DataverseClient, settings: Links, report: LinkReport
    ) -> None:
        for page in self._links_due(organization_id, settings.checked_a_night):
            states = {link: state for link, state in _states(page, crm) if state is not LinkState.LIVE}
            gone = Counter(states.values())[LinkState.DELETED]
            if too_many_gone(gone, len(page), settings.gone_at_most_percent):
                detail = (
                    f"{gone} of {len(page)} linked records cannot be found. Does the application user still see them? "
                    "Nothing was marked. If they were really deleted, raise links.gone_at_most_percent for a night"
                )
                raise AccountError("check links", account, detail=detail)
            marks = [Mark(each.prospect_key, each.table_name, each.record_id, state) for each, state in states.items()]
            self.service.ledger.mark_links(organization_id, marks, page[-1].position)
            report.checked += len(page)
            report.marked.update(states.values())
            self._go_on()

    def _links_due(self, organization_id: UUID, most: int) -> Iterator[list[LinkedRecord]]:
        """Pages of links from where the last night has ended, once round at most."""
        ledger = self.service.ledger
        began = position = ledger.checked_up_to(organization_id)
        around = began == START
        while most > 0:
            page = ledger.next_links(organization_id, position, min(most, LINKS_A_PAGE))
            if around and began != START:
                page = [link for link in page if link.position <= began]
            if page:
                yield page
                most -= len(page)
                position = page[-1].position
            elif around:
                return
            else:
                around, position = True, START

    def _retention(self) -> Retention:
        return load_settings(self.service.include).retention

    def _go_on(self) -> None:
        if self.service.clock.stopping:
            raise StoppedError("maintain", "the audit database", detail="this process was asked to stop")


def _states(page: list[LinkedRecord], crm: DataverseClient) -> Iterator[tuple[LinkedRecord, LinkState]]:
    for table, group in groupby(sorted(page, key=lambda link: link.table_name), key=lambda link: link.table_name):
        links = list(group)
        records = {record["@id"]: record for record in crm.read(table, [link.record_id for link in links], ())}
        for link in links:
            yield link, checked_state(table, records.get(str(link.record_id)))
