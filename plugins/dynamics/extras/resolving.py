"""Finds in an organisation what an action's extras name, and everything about them that would fail there.

Leaves what can be seen in the action's file alone to `config`. A fault names the setting; in which file and line it
stands is for whoever has read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from dynamics.core.companies import ACCOUNT, COMPANY_COLUMNS
from dynamics.core.crm import CandidateQuery
from dynamics.core.extras import (
    NOTE,
    OWNER,
    RESPONSE,
    SOURCE_CAMPAIGN,
    TABLES,
    ExtrasPlan,
    ExtrasWish,
    MarketingList,
)
from dynamics.core.lookup import LookupKey, LookupMiss, parse_lookup
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import check_mapping, fixed_lookups, looked_up_tables, lookup_faults
from dynamics.core.normalize import collapse
from dynamics.core.policy import Policy
from dynamics.errors import Fault
from dynamics.sync.ports import Crm

MEMBER_TABLES: Mapping[int, str] = {1: "account", 2: "contact", 4: "lead"}  # of list.createdfromcode


class Problem(NamedTuple):
    """What is wrong with one setting of the extras, and what to do."""

    setting: str  # "campaign"
    what: str
    remedy: str


@dataclass
class Resolved:
    """The plan, good if there are no problems. `faults` are of mapping tables and privileges."""

    plan: ExtrasPlan
    problems: list[Problem] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def resolve(wish: ExtrasWish, crm: Crm) -> Resolved:
    """Look up what the extras name. A few requests, none when nothing is named.

    Raises:
        AccountError, TransientError: the organisation could not be asked.
    """
    problems: list[Problem] = []
    named = {
        "owner": (wish.owner.fallback if wish.owner else None, "systemuser", "internalemailaddress"),
        "campaign": (wish.source_campaign or wish.response_campaign, "campaign", "codename"),
    }
    keys = {name: LookupKey.of(table, column, text) for name, (text, table, column) in named.items() if text}
    answers = crm.look_up(list(keys.values())) if keys else {}
    ids: dict[str, UUID] = {}
    for name, key in keys.items():
        answer = answers[key]
        if isinstance(answer, LookupMiss):
            what = f"'{key.text}' {answer.value} in {key.table}.{key.column}."
            problems.append(Problem(name, what, "Correct the text, or the record in Dynamics."))
        else:
            ids[name] = parse_lookup(answer)[1]
    plan = ExtrasPlan(
        organization_id=crm.organization().organization_id,
        by=wish.by,
        campaign_id=ids.get("campaign") if wish.response_campaign else None,
        marketing_list=_marketing_list(wish.marketing_list, crm, problems) if wish.marketing_list else None,
        note=wish.note,
    )
    return Resolved(plan, problems)


def check(wish: ExtrasWish, policy: Policy, mappings: Mapping[str, MappingTable], account: str, crm: Crm) -> Resolved:
    """As `resolve`, and whatever else would keep the extras from being made.

    Args:
        mappings: the tables as they are written, by name.
        account: the connection's id, for messages.
    """
    resolved = resolve(wish, crm)
    resolved.problems += [*_mapped_twice(wish, mappings), *_misfits(wish, policy, resolved.plan, mappings)]
    remedy = "Add them to a security role of that user."
    resolved.faults += [
        Fault(f"connection {account}", None, f"application user {user} lacks {', '.join(missing)}.", remedy)
        for user, missing in crm.missing_privileges(_privileges(wish)).items()
    ]
    if wish.by is not None and ACCOUNT in mappings:
        resolved.faults += _account_faults(mappings[ACCOUNT], crm)
    for table in {RESPONSE, NOTE} & set(resolved.plan.makes):
        resolved.faults += check_mapping(TABLES[table], crm.metadata(table), creates=False)
    return resolved


def _marketing_list(name: str, crm: Crm, problems: list[Problem]) -> MarketingList | None:
    select = ("listname", "type", "createdfromcode", "lockstatus")
    found = crm.find([CandidateQuery("list", (("listname", (collapse(name),)),), select)])
    same = [each for each in found if collapse(str(each["listname"])).casefold() == collapse(name).casefold()]
    if len(same) != 1:
        what = f"There {'is no' if not same else 'are several'} active list{'s' if same else ''} '{name}'."
        problems.append(Problem("marketing_list", what, "Write the name of one list as it stands in Dynamics."))
        return None
    if same[0].get("type"):
        what = f"'{name}' is a dynamic list: its members are found by a query."
        problems.append(Problem("marketing_list", what, "Name a static list."))
    if same[0].get("lockstatus"):
        problems.append(Problem("marketing_list", f"'{name}' is locked.", "Unlock it in Dynamics."))
    kind = MEMBER_TABLES.get(same[0]["createdfromcode"], "")
    return MarketingList(UUID(same[0]["@id"]), name, kind)


def _mapped_twice(wish: ExtrasWish, mappings: Mapping[str, MappingTable]) -> Iterator[Problem]:
    """An extra sets a column that a table maps, too."""
    for table, company in COMPANY_COLUMNS.items():
        columns = {
            "owner": OWNER if wish.owner else None,
            "campaign": SOURCE_CAMPAIGN if wish.source_campaign and table == "lead" else None,
            "account": company if wish.by else None,
        }
        for setting, column in columns.items():
            if column is not None and column in mappings[table].targets:
                what = f"'{column}' is mapped in {mappings[table].file} already."
                yield Problem(setting, what, "Remove the row there, or the setting here.")


def _misfits(
    wish: ExtrasWish, policy: Policy, plan: ExtrasPlan, mappings: Mapping[str, MappingTable]
) -> Iterator[Problem]:
    if wish.by is not None and ACCOUNT not in mappings:
        yield Problem("account", "The mapping set has no account.csv.", "Copy it from include/mappings/default.")
    listed = plan.marketing_list
    if listed is not None and listed.member_table not in policy.tables:
        what = f"'{listed.name}' holds {listed.member_table or 'unknown record'}s, and the action writes none."
        yield Problem("marketing_list", what, f"Name a list of {'s or '.join(policy.tables)}s.")


def _account_faults(mapping: MappingTable, crm: Crm) -> list[Fault]:
    metadata = crm.metadata(ACCOUNT)
    others = {table: crm.metadata(table) for table in looked_up_tables(mapping, metadata)}
    wrong = check_mapping(mapping, metadata, True, others)
    return wrong or lookup_faults(mapping, crm.look_up(fixed_lookups(mapping)))


def _privileges(wish: ExtrasWish) -> list[str]:
    needed = {
        "prvReadUser": wish.owner,
        "prvReadAccount prvCreateAccount": wish.by,
        "prvReadCampaign": wish.source_campaign or wish.response_campaign,
        "prvReadActivity prvCreateActivity": wish.response_campaign,
        "prvReadList prvWriteList": wish.marketing_list,
        "prvReadNote prvCreateNote": wish.note,
    }
    return [name for names, asked in needed.items() if asked for name in names.split()]
