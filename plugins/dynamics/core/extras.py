"""Decides what an action makes beside a person's record: a campaign response, a list membership, a note.

Each has an id minted from what it is made for, which is remembered once it is made: a retry makes nothing twice, and
what a person removes stays removed. Making them is left to `dynamics.extras`, accounts to `companies`.
Source: Dataverse pages "CampaignResponse", "AddListMembersList Action", "Annotation".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import pandas as pd

from dynamics.core.companies import COMPANY_COLUMNS, CompanyKey
from dynamics.core.crm import JsonObject
from dynamics.core.identity import mint_extra_id
from dynamics.core.ledger import Outcome, Settlement
from dynamics.core.lookup import lookup_value
from dynamics.core.mapping import Blank, Rule, WriteMode, apply_mapping, parse_mapping
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping.rules import Constant, Later, Lookup, OnMissing, Origin, Path
from dynamics.core.mapping.transforms import Step
from dynamics.core.metadata import TableMetadata

RESPONSE, MEMBER, NOTE = "campaignresponse", "listmember", "annotation"
OWNER, SOURCE_CAMPAIGN = "ownerid", "campaignid"
WORDS: Mapping[str, str] = {RESPONSE: "campaign response", MEMBER: "list membership", NOTE: "note"}

_RESPONSE_TABLE = r"""target,source,transform,default
subject,{event.name},truncate,Response
description,answers.all,truncate,
receivedon,submission.captured_at,,
responsecode,=1,,
channeltypecode,=6,,
firstname,first_name,trim|truncate,
lastname,last_name,trim|truncate,
companyname,company.name,trim|truncate,
emailaddress,email,trim|truncate,
telephone,phones.work,truncate,
"""
_NOTE_TABLE = r"""target,source,transform,default
subject,{event.name},truncate,Badge scan
notetext,{notes.all}\n\n{answers.all},truncate,
"""
TABLES: Mapping[str, MappingTable] = {
    RESPONSE: parse_mapping(RESPONSE, _RESPONSE_TABLE, "campaign response", {}),
    NOTE: parse_mapping(NOTE, _NOTE_TABLE, "note", {}),
}


@dataclass(frozen=True)
class OwnerRule:
    """The user whose e-mail address stands at `source`, after `steps`; else `fallback`."""

    source: str
    steps: tuple[Step, ...] = ()
    fallback: str | None = None
    write: WriteMode = WriteMode.CREATE_ONLY


@dataclass(frozen=True)
class ExtrasWish:
    """An action's extras as they are written, names and all.

    `by`: how a person's account is found or created. `source_campaign`, `response_campaign`: codes of campaigns, one
    the source of new leads, of the other each prospect is a response. `marketing_list`: the name of a static list.
    """

    owner: OwnerRule | None = None
    by: CompanyKey | None = None
    source_campaign: str | None = None
    response_campaign: str | None = None
    marketing_list: str | None = None
    note: bool = False


@dataclass(frozen=True)
class MarketingList:
    """A static list. `member_table`: what it holds."""

    list_id: UUID
    name: str
    member_table: str


@dataclass(frozen=True)
class ExtrasPlan:
    """What an action makes beside the record, its names resolved in the organisation.

    `by`: how accounts are found or created, `campaign_id`: of which each prospect is a response.
    """

    organization_id: UUID
    by: CompanyKey | None = None
    campaign_id: UUID | None = None
    marketing_list: MarketingList | None = None
    note: bool = False

    @property
    def makes(self) -> tuple[str, ...]:
        """The tables it makes rows of for prospects."""
        wanted = {RESPONSE: self.campaign_id, MEMBER: self.marketing_list, NOTE: self.note}
        return tuple(table for table, asked in wanted.items() if asked)


@dataclass(frozen=True)
class Extra:
    """One thing to be made. `extra_id` is its record's id, but of a membership, whose record the CRM numbers itself."""

    extra_id: UUID
    table: str
    prospect_key: int
    person_table: str
    person_id: UUID


@dataclass(frozen=True)
class MadeExtra:
    """One that is there, as the ledger remembers it. An account belongs to no prospect."""

    extra_id: UUID
    table: str
    prospect_key: int | None = None


def wanted_extras(
    plan: ExtrasPlan, settlements: Iterable[Settlement], identity: Callable[[int], tuple[str, str]]
) -> list[Extra]:
    """All that belongs to prospects whose record is known to be there, made already or not.

    Campaign response and note are a prospect's own, a membership is the person's.

    Args:
        identity: prospect key -> source and id there.
    """
    return [
        Extra(_extra_id(plan, table, settlement, identity), table, settlement.prospect_key, *_person(settlement))
        for settlement in settlements
        if stands(settlement)
        for table in plan.makes
        if table != MEMBER or plan.marketing_list is None or settlement.table == plan.marketing_list.member_table
    ]


def off_the_list(plan: ExtrasPlan, settlements: Iterable[Settlement]) -> dict[int, list[str]]:
    """Prospect -> a warning, for those whose record the marketing list cannot hold."""
    listed = plan.marketing_list
    if listed is None:
        return {}
    return {
        each.prospect_key: [
            f"{WORDS[MEMBER]}: '{listed.name}' holds {listed.member_table}s, and this is a {each.table}"
        ]
        for each in settlements
        if stands(each) and each.table != listed.member_table
    }


def stands(settlement: Settlement) -> bool:
    """Whether the prospect has a record that this run has written or left as it is."""
    made = settlement.outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED)
    return made and settlement.table is not None and settlement.record_id is not None


def _extra_id(plan: ExtrasPlan, table: str, settlement: Settlement, identity: Callable[[int], tuple[str, str]]) -> UUID:
    about: tuple[str, ...] = identity(settlement.prospect_key)
    if table == MEMBER and plan.marketing_list is not None:
        about = (str(plan.marketing_list.list_id), lookup_value(*_person(settlement)))
    elif table == RESPONSE:
        about = (str(plan.campaign_id), *about)
    return mint_extra_id(plan.organization_id, table, *about)


def _person(settlement: Settlement) -> tuple[str, UUID]:
    if settlement.table is None or settlement.record_id is None:
        raise ValueError("the prospect has no record")
    return settlement.table, settlement.record_id


@dataclass(frozen=True)
class ExtraValues:
    """The rows to make, by extra id; those with nothing to say are absent. `problems`: prospect -> why not."""

    rows: dict[UUID, JsonObject]
    problems: dict[int, str]


def extra_values(
    plan: ExtrasPlan, extras: Iterable[Extra], frame: pd.DataFrame, metadata: TableMetadata
) -> ExtraValues:
    """What campaign responses or notes say.

    Args:
        extras: all of one table.
        frame: of the chunk, indexed by prospect key.
        metadata: of the extras' table.
    """
    by_key = {extra.prospect_key: extra for extra in extras}
    if not by_key:
        return ExtraValues({}, {})
    table = metadata.logical_name
    mapped = apply_mapping(TABLES[table], frame.loc[list(by_key)], metadata)
    found = ExtraValues({}, {})
    for key, extra in by_key.items():
        said = mapped.defaults | {name: value for name, value in mapped.by_label[key].items() if value is not None}
        if key in mapped.rejects:
            found.problems[key] = mapped.rejects[key].message
        elif table == RESPONSE:
            person = lookup_value(extra.person_table, extra.person_id)
            regarding = lookup_value("campaign", plan.campaign_id or "")
            found.rows[extra.extra_id] = said | {"regardingobjectid": regarding, "customer": [person]}
        elif "notetext" in said:
            found.rows[extra.extra_id] = said | {"objectid": lookup_value(extra.person_table, extra.person_id)}
    return found


def warned(settlement: Settlement, *texts: str) -> Settlement:
    """The settlement with warnings added, each once."""
    return replace(settlement, warnings=tuple(dict.fromkeys((*settlement.warnings, *texts))))


def with_columns(mapping: MappingTable, wish: ExtrasWish) -> MappingTable:
    """A person's mapping with the columns that extras set. One that the table maps already stays as it is."""
    rules = []
    if (owner := wish.owner) is not None:
        user = Lookup("systemuser", "internalemailaddress", OnMissing.BLANK)
        rules.append(_rule(OWNER, Path(owner.source), owner.write, owner.steps, owner.fallback, user))
    if wish.source_campaign is not None and mapping.table == "lead":
        campaign = Lookup("campaign", "codename", OnMissing.REJECT)
        rules.append(_rule(SOURCE_CAMPAIGN, Constant(wish.source_campaign), WriteMode.CREATE_ONLY, lookup=campaign))
    if wish.by is not None and mapping.table in COMPANY_COLUMNS:
        rules.append(_rule(COMPANY_COLUMNS[mapping.table], Later(), WriteMode.IF_EMPTY))
    return replace(mapping, rows=(*mapping.rows, *(rule for rule in rules if rule.target not in mapping.targets)))


def _rule(
    target: str,
    origin: Origin,
    write: WriteMode,
    steps: tuple[Step, ...] = (),
    default: str | None = None,
    lookup: Lookup | None = None,
) -> Rule:
    return Rule(0, target, origin, steps, False, default, write, Blank.KEEP, lookup)
