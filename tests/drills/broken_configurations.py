"""Configurations that cannot work, each with several faults, and what a run has to say of every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.drills.world import ACTION, LEAD, MAPPING

ACTION_FILE, LEAD_FILE, CONTACT_FILE = "actions/drill.yaml", "mappings/drill/lead.csv", "mappings/drill/contact.csv"
GOOD = ACTION.lstrip()


@dataclass(frozen=True)
class Broken:
    """`files`: below include/, written over the good ones. `told`: each must stand in what the run says."""

    files: Mapping[str, str]
    told: tuple[str, ...]


def _lead(*rows: str) -> Mapping[str, str]:
    return {LEAD_FILE: MAPPING + "".join(f"{row}\n" for row in rows)}


def _more(*rows: str) -> Mapping[str, str]:
    """Rows below the good ones, of which there are eight."""
    return {LEAD_FILE: LEAD + "".join(f"{row}\n" for row in rows)}


def _action(**lines: str) -> Mapping[str, str]:
    """The good action with lines of its own in place of some."""
    kept = [line for line in GOOD.splitlines() if line.partition(":")[0] not in lines]
    return {ACTION_FILE: "\n".join([*kept, *(f"{name}: {text}" for name, text in lines.items() if text)]) + "\n"}


CONFIGURATIONS: Mapping[str, Broken] = {
    "words that do not exist": Broken(
        _action(duplicates="{check: lead, match_by: mail, several: newest}", create="person"),
        ("'lead'", "'mail'", "'newest'", "'person'", "include/actions/drill.yaml"),
    ),
    "settings that do not exist": Broken(
        _action(acount="dynamics_default", dry_run="true"), ("'acount'", "'account'", "'dry_run'")
    ),
    "settings that are missing": Broken(
        _action(account="", create="", duplicates="{match_by: email}"), ("account", "create", "duplicates.check")
    ),
    "numbers out of bounds": Broken(
        _action(max_rejected_percent="101", include_inactive="sometimes"),
        ("max_rejected_percent", "include_inactive"),
    ),
    "a key twice": Broken(
        {ACTION_FILE: GOOD + "create: contact\naccount: other\n"},
        ("'create'", "'account'", "drill.yaml:7", "drill.yaml:8"),
    ),
    "no YAML": Broken({ACTION_FILE: "account: [dynamics_default\n"}, ("include/actions/drill.yaml", "YAML")),
    "a mapping set that does not exist": Broken(_action(mapping="dril"), ("'dril'", "'drill'")),
    "an account that does not exist": Broken(_action(account="dynamics_nowhere"), ("dynamics_nowhere",)),
    "another file's name, and extras that do not exist": Broken(
        _action(name="other", extras="{notes: true}"), ("'name'", "'extras.notes'", "drill.yaml")
    ),
    "extras that name nothing": Broken(
        _action(
            extras="{campaign: FLOW24, marketing_list: Nobody, account: find_or_create,"
            " owner: {source: owner.email, users: people, fallback: a@b.example}}"
        )
        | {LEAD_FILE: LEAD + "campaignid,=FLOW24,lookup(campaign.codename),,,,\n"},
        (
            "'FLOW24'",
            "'Nobody'",
            "no account.csv",
            "'a@b.example'",
            "people.csv",
            "'campaignid' is mapped",
            "drill.yaml:7",
        ),
    ),
    "columns that do not exist": Broken(
        _more("jobtitel,job_title,,,,,", "nowhere,email,,,,,"),
        ("'jobtitel'", "'jobtitle'", "'nowhere'", "lead.csv:10", "lead.csv:11"),
    ),
    "paths that do not exist": Broken(
        _more("fax,fone,,,,,", "sic,custom,,,,,", "salutation,{first_nam} {last_name},,,,,"),
        ("'fone'", "'custom'", "'first_nam'", "lead.csv:10", "lead.csv:11", "lead.csv:12"),
    ),
    "transforms that do not exist": Broken(
        _more("fax,phones.fax,fone,,,,", "sic,email,truncate|trim,,,,", "salutation,salutation,map(titles),,,,"),
        ("'fone'", "'trim' comes after 'truncate'", "'titles'", "lead.csv:10", "lead.csv:11", "lead.csv:12"),
    ),
    "modes that do not exist": Broken(
        _more("fax,phones.fax,,,sometimes,,", "sic,email,,,,wipe,", "salutation,salutation,,,if_empty,clear,"),
        ("'sometimes'", "'wipe'", "'clear' does not go with 'if_empty'"),
    ),
    "a column twice, cells too many": Broken(
        _more("jobtitle,email,,,,,", "fax,phones.fax,,,,,,,"), ("'jobtitle' is mapped in line 6", "lead.csv:11")
    ),
    "what the CRM fills, lookups": Broken(
        _more("createdon,=2026-01-01,,,,,", "parentaccountid,company.name,,,,,", "fullname,full_name,,,,,"),
        ("'createdon'", "'parentaccountid'", "'fullname'"),
    ),
    "constants and defaults that do not fit": Broken(
        _more("industrycode,=99,,,,,", "numberofemployees,custom.size,,many,,,", f"sic,=x{'y' * 40},,,,,"),
        ("industrycode", "numberofemployees", "sic", "lead.csv:10", "lead.csv:11", "lead.csv:12"),
    ),
    "what a new record needs is not mapped": Broken(
        _lead("emailaddress1,email,,,,,"), ("'lastname'", "'subject'", "lead.csv")
    ),
    "a header of another table": Broken(
        {
            LEAD_FILE: "column,source,transfrom\nlastname,last_name,\n",
            CONTACT_FILE: "target;source\nlastname;last_name\n",
        },
        ("'column'", "'transfrom'", "'target'", "semicolons", "lead.csv", "contact.csv"),
    ),
    "faults in every file at once": Broken(
        {
            LEAD_FILE: LEAD + "fax,fone,,,,,\n",
            CONTACT_FILE: MAPPING + "lastname,lastname,,,,,\n",
            "mappings/drill/values/titles.csv": "von,nach\nDr,Doctor\n",
            "mappings/drill/leads.csv": "",
        },
        ("'fone'", "'lastname'", "titles.csv", "from,to", "'leads'"),
    ),
    "text, numbers and required columns mixed up": Broken(
        _more("revenue,custom.revenue,truncate,,,,", "budgetamount,custom.budget,,,append,,")
        | {CONTACT_FILE: MAPPING + "lastname,last_name,,,always,clear,\n"},
        ("'revenue'", "'budgetamount'", "'lastname'", "contact.csv"),
    ),
}
