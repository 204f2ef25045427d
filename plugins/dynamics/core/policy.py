"""Decides what happens to a prospect: create a record, update one, leave it alone, or hold it for a person.

Takes matches as found by `matching` and the prospect's live link; knows nothing of columns. Source: design part 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID


class Check(StrEnum):
    """Where existing records are looked for, in order; the first table with a match decides."""

    NONE = "none"
    LEADS = "leads"
    CONTACTS = "contacts"
    LEADS_THEN_CONTACTS = "leads_then_contacts"
    CONTACTS_THEN_LEADS = "contacts_then_leads"

    @property
    def tables(self) -> tuple[str, ...]:
        """Logical names, in the order in which they are asked."""
        return _TABLES[self]


_TABLES: dict[Check, tuple[str, ...]] = {
    Check.NONE: (),
    Check.LEADS: ("lead",),
    Check.CONTACTS: ("contact",),
    Check.LEADS_THEN_CONTACTS: ("lead", "contact"),
    Check.CONTACTS_THEN_LEADS: ("contact", "lead"),
}


class MatchBy(StrEnum):
    """By what a record is recognised: e-mail alone, or, when that finds nothing in any table, first and last name."""

    EMAIL = "email"
    EMAIL_OR_NAME = "email_or_name"


class Several(StrEnum):
    """What to do with existing records: which of several to update, or none at all."""

    UPDATE_MOST_RECENTLY_CREATED = "update_most_recently_created"
    UPDATE_MOST_RECENTLY_UPDATED = "update_most_recently_updated"
    UPDATE_LEAST_RECENTLY_CREATED = "update_least_recently_created"
    UPDATE_LEAST_RECENTLY_UPDATED = "update_least_recently_updated"
    SKIP = "skip"  # leave what exists alone, one record as well as several
    HOLD = "hold_for_review"

    @property
    def order(self) -> tuple[str, bool]:
        """Column by which several matches are ordered, and whether the oldest comes first."""
        return _ORDERS.get(self, ("modifiedon", False))


_ORDERS: dict[Several, tuple[str, bool]] = {
    Several.UPDATE_MOST_RECENTLY_CREATED: ("createdon", False),
    Several.UPDATE_LEAST_RECENTLY_CREATED: ("createdon", True),
    Several.UPDATE_LEAST_RECENTLY_UPDATED: ("modifiedon", True),
}


class CreateRule(StrEnum):
    """What becomes of a prospect that nobody knows yet."""

    LEAD = "lead"
    CONTACT = "contact"
    NONE = "none"


@dataclass(frozen=True)
class Policy:
    """The duplicate policy and create rule of a sync action. `on_resync` counts only when nothing is checked."""

    check: Check
    match_by: MatchBy
    several: Several
    create: CreateRule
    include_inactive: bool = False
    email_columns: tuple[str, ...] = ("emailaddress1",)
    on_resync: Literal["update", "create"] = "update"

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it may write to, in a stable order."""
        created = {self.create.value} if self.create is not CreateRule.NONE else set()
        return tuple(sorted({*self.check.tables, *created, "lead", "contact"}))

    @property
    def privileges(self) -> list[str]:
        """What it takes, by Dataverse's names: "prvReadLead", ..."""
        needed = [f"prv{verb}{table.title()}" for table in self.tables for verb in ("Read", "Write")]
        return needed + ([f"prvCreate{self.create.value.title()}"] if self.create is not CreateRule.NONE else [])


@dataclass(frozen=True)
class Match:
    """All matches in the deciding table, the one to choose first."""

    table: str
    record_ids: tuple[UUID, ...]
    matched_by: str  # "email" | "name"


@dataclass(frozen=True)
class Create:
    """Make a new record."""

    table: str


@dataclass(frozen=True)
class Update:
    """Write to this record. `matched_by` is "link" (then no matches were looked for), "email" or "name"."""

    table: str
    record_id: UUID
    matched_by: str
    duplicates_found: int = 0


@dataclass(frozen=True)
class Skip:
    """Write nothing: `exists` names the record left alone, `no_action` had none and was to create none."""

    reason: Literal["exists", "no_action"]
    table: str | None = None
    record_id: UUID | None = None
    matched_by: str | None = None
    duplicates_found: int = 0


@dataclass(frozen=True)
class Hold:
    """Write nothing until a person has chosen; the record named is the first of the matches."""

    reason: Literal["several_matches"]
    table: str
    record_id: UUID
    matched_by: str
    duplicates_found: int


Decision = Create | Update | Skip | Hold


def decide(policy: Policy, match: Match | None, linked: tuple[str, UUID] | None) -> Decision:
    """Say what to do with one prospect.

    Args:
        policy: the sync action's.
        match: what `matching.find_matches` found under the same policy; None when nothing.
        linked: table and record id of the prospect's live link. It names the record before any match.
    """
    checks = policy.check is not Check.NONE
    if linked is not None and (checks or policy.on_resync == "update"):
        return _existing(policy, *linked, "link", 0)
    if match is None or not checks:
        return Skip("no_action") if policy.create is CreateRule.NONE else Create(policy.create.value)
    found = len(match.record_ids)
    if found > 1 and policy.several is Several.HOLD:
        return Hold("several_matches", match.table, match.record_ids[0], match.matched_by, found)
    return _existing(policy, match.table, match.record_ids[0], match.matched_by, found)


def _existing(policy: Policy, table: str, record_id: UUID, matched_by: str, found: int) -> Update | Skip:
    if policy.several is Several.SKIP:
        return Skip("exists", table, record_id, matched_by, found)
    return Update(table, record_id, matched_by, found)
