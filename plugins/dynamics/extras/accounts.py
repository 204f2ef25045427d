"""Finds the account of each company, or creates it: any number of workers come to one account for a company.

Accounts of the organisation are matched first. One that nobody has is created under an id minted from the company, so
that whoever else creates it meets the same id. An account of ours that a person deleted or closed is left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import pandas as pd

from dynamics import killpoints
from dynamics.core.companies import ACCOUNT, CompanyKey, account_queries, accounts_by_key
from dynamics.core.crm import JsonObject, RecordWrite, WriteReport, WriteResult, WriteState
from dynamics.core.extras import MadeExtra
from dynamics.core.identity import mint_extra_id
from dynamics.core.ledger import LinkState
from dynamics.core.lifecycle import record_state
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import apply_mapping, missing_required, wanted_lookups
from dynamics.core.prospect import source_values
from dynamics.sync.ports import Clock, Crm, Ledger
from dynamics.sync.records import read_current

FRESH_S = 600.0
MOST_KEPT = 50_000


@dataclass(frozen=True)
class Company:
    """The account of a company; None when there is none, `problem` saying why. `pending`: nobody knows yet."""

    account_id: UUID | None
    problem: str | None = None
    pending: bool = False


@dataclass
class Accounts:
    """The accounts of one run's companies. Remembers them for a while; for any number of threads."""

    organization_id: UUID
    by: CompanyKey
    mapping: MappingTable
    ledger: Ledger
    crm: Crm
    clock: Clock
    dry_run: bool
    _known: dict[str, tuple[float, Company]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # lanes would ask for, and create, the same ones

    def find(self, keys: Mapping[int, str], frame: pd.DataFrame, anew: Collection[str] = ()) -> dict[str, Company]:
        """Company key -> its account.

        Args:
            keys: prospect key -> company key.
            frame: of these prospects and perhaps others.
            anew: company keys for which nothing is taken from memory.
        Raises:
            AccountError, TransientError: the organisation or the database could not be asked.
        """
        with self._lock:
            now = self.clock.monotonic()
            fresh = ((key, *self._known.get(key, (-FRESH_S, None))) for key in set(keys.values()).difference(anew))
            known = {key: company for key, at, company in fresh if company is not None and now - at < FRESH_S}
            unknown = {label: key for label, key in keys.items() if key not in known}
            if unknown:
                found = self._look_up(unknown, frame)
                self._remember({key: (now, company) for key, company in found.items() if not company.pending})
                known |= found
            return known

    def _remember(self, found: Mapping[str, tuple[float, Company]]) -> None:
        """The newest stand last, the oldest go."""
        self._known = {key: kept for key, kept in self._known.items() if key not in found} | dict(found)
        for key in list(self._known)[: max(len(self._known) - MOST_KEPT, 0)]:
            del self._known[key]

    def _look_up(self, keys: Mapping[int, str], frame: pd.DataFrame) -> dict[str, Company]:
        matched = accounts_by_key(self.crm.find(account_queries(self.by, self._spellings(keys, frame))), self.by)
        found = {key: _matched(*matched[key]) for key in keys.values() if key in matched}
        # An account that a query does not show may be there: just made, or renamed by a person since.
        minted = {key: self._minted(key) for key in keys.values() if key not in found}
        found |= self._by_id(minted)
        absent = {key: account_id for key, account_id in minted.items() if key not in found}
        made = self.ledger.extras_made(self.organization_id, list(absent.values())) if absent else set()
        found |= {key: Company(None, "its account was deleted") for key, each in absent.items() if each in made}
        # Also those that were made and not remembered, because their worker died.
        self._keep([found[key].account_id for key in found if found[key].account_id == self._minted(key)])
        makers = {key: label for label, key in reversed(list(keys.items())) if key in absent and key not in found}
        return found | self._create({key: absent[key] for key in makers}, makers, frame)

    def _spellings(self, keys: Mapping[int, str], frame: pd.DataFrame) -> dict[str, set[str]]:
        spellings: dict[str, set[str]] = {key: set() for key in keys.values()}
        if self.by is CompanyKey.NAME:
            names = source_values(frame.loc[list(keys)], self.by.paths)
            for label, name in zip(keys, names[self.by.paths[0]], strict=True):
                spellings[keys[label]].add(name)
        return spellings

    def _minted(self, key: str) -> UUID:
        return mint_extra_id(self.organization_id, ACCOUNT, self.by, key)

    def _by_id(self, minted: Mapping[str, UUID]) -> dict[str, Company]:
        """Accounts under the ids minted for these companies, or those into which people have merged them."""
        records = read_current(self.crm, ACCOUNT, set(minted.values()), ())
        return {key: _read(records[each]) for key, each in minted.items() if each in records}

    def _create(self, minted: Mapping[str, UUID], makers: Mapping[str, int], frame: pd.DataFrame) -> dict[str, Company]:
        """Create accounts from what the first prospect of each company says."""
        if not minted or self.dry_run:
            return {key: Company(each) for key, each in minted.items()}
        metadata, people = self.crm.metadata(ACCOUNT), frame.loc[sorted(makers.values())]
        answers = self.crm.look_up(wanted_lookups(self.mapping, people)) if self.mapping.lookups else {}
        mapped = apply_mapping(self.mapping, people, metadata, answers)
        found: dict[str, Company] = {}
        writes: dict[str, RecordWrite] = {}
        for key, account_id in minted.items():
            said = {name: value for name, value in mapped.by_label[makers[key]].items() if value is not None}
            values: JsonObject = mapped.defaults | said
            reject = mapped.rejects.get(makers[key])
            missing = missing_required(metadata, values)
            if reject is not None or missing:
                found[key] = Company(None, f"account.{reject.message if reject else f'{missing[0]}: has no value'}")
            else:
                writes[key] = RecordWrite(account_id, values)
        report = self.crm.create(ACCOUNT, list(writes.values())) if writes else WriteReport({})
        killpoints.reach("K5")
        taken = {key: w.record_id for key, w in writes.items() if _state(report.results, w) is WriteState.EXISTS}
        there = self._by_id(taken) if taken else {}
        for key, write in writes.items():
            found[key] = there.get(key) or _created(write.record_id, report.results.get(write.record_id))
        made = [write.record_id for key, write in writes.items() if key in taken or found[key].account_id]
        self._keep(made)
        if report.stopped_by is not None:
            raise report.stopped_by
        return found

    def _keep(self, account_ids: Collection[UUID | None]) -> None:
        made = [MadeExtra(each, ACCOUNT) for each in account_ids if each is not None]
        if made and not self.dry_run:
            self.ledger.keep_extras(self.organization_id, made)


def _matched(account_id: UUID, count: int) -> Company:
    several = f"{count} accounts match its company: it was given the one created first" if count > 1 else None
    return Company(account_id, several)


def _read(record: JsonObject) -> Company:
    if record_state(ACCOUNT, record) is LinkState.LIVE:
        return Company(UUID(record["@id"]))
    return Company(None, "its account is inactive")


def _state(results: Mapping[UUID, WriteResult], write: RecordWrite) -> WriteState:
    result = results.get(write.record_id)
    return result.state if result is not None else WriteState.NOT_SENT


def _created(account_id: UUID, result: WriteResult | None) -> Company:
    if result is None or result.state in (WriteState.UNKNOWN, WriteState.NOT_SENT, WriteState.EXISTS):
        return Company(None, pending=True)
    if result.state is WriteState.DONE:
        return Company(account_id)
    return Company(None, f"the account was refused: {result.message} ({result.code})")
