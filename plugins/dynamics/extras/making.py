"""Makes what belongs to persons' records, once they are known to be there and before their prospects are settled.

What is refused for good becomes a warning on the outcome: the person's record is right without it. After a fault that
passes, the prospect is taken back from the settlement: it stays pending, and recovery finds its record by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dynamics import killpoints
from dynamics.core.chunk import Chunk, Target
from dynamics.core.companies import ACCOUNT, COMPANY_COLUMNS, company_keys
from dynamics.core.crm import RecordWrite, WriteReport, WriteResult, WriteState
from dynamics.core.extras import (
    MEMBER,
    WORDS,
    Extra,
    ExtrasPlan,
    MadeExtra,
    extra_values,
    off_the_list,
    wanted_extras,
    warned,
)
from dynamics.core.lookup import lookup_value
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.errors import DynamicsError, ServiceUnavailableError
from dynamics.extras.accounts import Accounts
from dynamics.sync.ports import Clock, Crm, Ledger

PENDING_RETRY_S = 2.0
_MADE = (WriteState.DONE, WriteState.EXISTS)
_MAYBE = (WriteState.UNKNOWN, WriteState.NOT_SENT)


@dataclass(frozen=True)
class ExtrasMaker:
    """The extras of one run. See `dynamics.sync.ports.Extras`."""

    plan: ExtrasPlan
    accounts: Accounts | None
    ledger: Ledger
    crm: Crm
    dry_run: bool

    def companies(self, frame: pd.DataFrame) -> Mapping[int, str]:
        """See `Extras.companies`."""
        return company_keys(frame, self.plan.by) if self.plan.by is not None else {}

    def give_accounts(self, chunk: Chunk, targets: Sequence[Target]) -> None:
        """See `Extras.give_accounts`."""
        lacking = [target for target in targets if _lacks_company(target)]
        if self.accounts is None or not lacking:
            return
        keys = self.companies(chunk.frame.loc[[key for target in lacking for key in target.members]])
        tried = {keys[key] for key in keys if chunk.attempts(key)}  # what was found then may be gone
        companies = self.accounts.find(keys, chunk.frame, tried)
        for target in lacking:
            for key in [key for key in target.members if key in keys]:
                company = companies[keys[key]]
                if company.pending:
                    target.members.remove(key)
                    chunk.release([key], PENDING_RETRY_S, "account_pending")
                    continue
                column = COMPANY_COLUMNS[target.table]
                account = lookup_value(ACCOUNT, company.account_id) if company.account_id else None
                problem = f"{column}: {company.problem}" if company.problem else None
                target.contents[key] = target.contents[key].with_company(column, account, problem)

    def make(self, chunk: Chunk, stopped_by: DynamicsError | None) -> DynamicsError | None:
        """See `Extras.make`."""
        wanted = {each.extra_id: each for each in wanted_extras(self.plan, chunk.settlements, chunk.identity)}
        made = self.ledger.extras_made(self.plan.organization_id, list(wanted)) if wanted else set()
        missing = [extra for extra_id, extra in wanted.items() if extra_id not in made]
        warnings = off_the_list(self.plan, chunk.settlements)
        fault = stopped_by
        if self.dry_run:
            for extra in missing:
                warnings.setdefault(extra.prospect_key, []).append(f"{WORDS[extra.table]}: would be made")
        else:
            fault = self._make(chunk, missing, warnings, stopped_by)
        chunk.settlements = [warned(each, *warnings.get(each.prospect_key, ())) for each in chunk.settlements]
        return fault

    def _make(
        self, chunk: Chunk, missing: Sequence[Extra], warnings: dict[int, list[str]], stopped_by: DynamicsError | None
    ) -> DynamicsError | None:
        """Make what is missing, table by table. Prospects of which something is still missing then are taken back."""
        pending: set[int] = set()
        for table in self.plan.makes:
            extras = [extra for extra in missing if extra.table == table]
            if not extras:
                continue
            report = WriteReport({}, stopped_by) if stopped_by else self._send(chunk, table, extras, warnings)
            stopped_by = stopped_by or report.stopped_by
            done = []
            for extra in extras:
                result = report.results.get(extra.extra_id)
                if result is None and stopped_by is None:
                    continue  # it has nothing to say
                if result is None or result.state in _MAYBE:
                    pending.add(extra.prospect_key)
                elif result.state in _MADE:
                    done.append(MadeExtra(extra.extra_id, table, extra.prospect_key))
                else:
                    warnings.setdefault(extra.prospect_key, []).append(_refusal(table, result))
            if done:
                killpoints.reach("K5")
                self.ledger.keep_extras(self.plan.organization_id, done)
        chunk.take_back(pending, PENDING_RETRY_S, "extras_pending")
        if pending and stopped_by is None:  # answers were lost: a fault like any other that may pass
            return ServiceUnavailableError("create", "extras", detail="no answer came", retry_after_s=PENDING_RETRY_S)
        return stopped_by

    def _send(self, chunk: Chunk, table: str, extras: Sequence[Extra], warnings: dict[int, list[str]]) -> WriteReport:
        """Write all extras of one table. Results by extra id."""
        if table == MEMBER and self.plan.marketing_list is not None:
            members = {extra.person_id: extra.extra_id for extra in extras}
            marketing_list = self.plan.marketing_list
            report = self.crm.add_members(marketing_list.list_id, marketing_list.member_table, list(members))
            return WriteReport({members[each]: result for each, result in report.results.items()}, report.stopped_by)
        values = extra_values(self.plan, extras, chunk.frame, self.crm.metadata(table))
        for key, problem in values.problems.items():
            warnings.setdefault(key, []).append(f"{WORDS[table]}: {problem}")
        retried = {s.prospect_key for s in chunk.settlements if s.recovered or chunk.attempts(s.prospect_key)}
        writes = [
            RecordWrite(extra.extra_id, values.rows[extra.extra_id], isolated=extra.prospect_key in retried)
            for extra in extras
            if extra.extra_id in values.rows
        ]
        return self.crm.create(table, writes) if writes else WriteReport({})


def maker_of(
    plan: ExtrasPlan, tables: Mapping[str, MappingTable], ledger: Ledger, crm: Crm, clock: Clock, dry_run: bool
) -> ExtrasMaker | None:
    """What makes the extras of a run; None when none are wanted. `tables`: the mapping set, by table."""
    if plan.by is None:
        return ExtrasMaker(plan, None, ledger, crm, dry_run) if plan.makes else None
    accounts = Accounts(plan.organization_id, plan.by, tables[ACCOUNT], ledger, crm, clock, dry_run)
    return ExtrasMaker(plan, accounts, ledger, crm, dry_run)


def _lacks_company(target: Target) -> bool:
    """Whether the record is to get its company: one that stands there already stays, and needs no account."""
    return target.table in COMPANY_COLUMNS and not (target.record or {}).get(COMPANY_COLUMNS[target.table])


def _refusal(table: str, result: WriteResult) -> str:
    return f"{WORDS[table]}: {result.message or 'refused'} ({result.code})"
