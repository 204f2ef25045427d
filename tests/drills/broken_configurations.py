"""Configurations that cannot work, more than twenty of them mappings, and every word that is to be said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.drills.world import ACTION, LEAD, MAPPING

ACTION_FILE, LEAD_FILE, CONTACT_FILE = "actions/drill.yaml", "mappings/drill/lead.csv", "mappings/drill/contact.csv"
ACTION_AT, LEAD_AT, CONTACT_AT = (f"include/{path}" for path in (ACTION_FILE, LEAD_FILE, CONTACT_FILE))
GOOD = ACTION.lstrip()


@dataclass(frozen=True)
class Broken:
    """`files`: below include/, written over the good ones. `told`: every fault, word for word, in order."""

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
        (
            (
                f"{ACTION_AT}:5: 'lead' is no word for 'duplicates.check'. Did you mean 'leads'? Known: none, leads, "
                "contacts, leads_then_contacts, contacts_then_leads."
            ),
            (
                f"{ACTION_AT}:5: 'mail' is no word for 'duplicates.match_by'. Did you mean 'email'? Known: email, "
                "email_or_name."
            ),
            (
                f"{ACTION_AT}:5: 'newest' is no word for 'duplicates.several'. Known: update_most_recently_created, "
                "update_most_recently_updated, update_least_recently_created, update_least_recently_updated, "
                "skip, hold_for_review."
            ),
            f"{ACTION_AT}:6: 'person' is no word for 'create'. Known: lead, contact, none.",
        ),
    ),
    "settings that do not exist": Broken(
        _action(acount="dynamics_default", dry_run="true"),
        (
            (
                f"{ACTION_AT}:7: There is no setting 'acount'. Did you mean 'account'? Known: account, mapping, "
                "duplicates, create, triggers, extras, max_rejected_percent, include_inactive, "
                "email_columns, on_resync, update_existing."
            ),
            (
                f"{ACTION_AT}:8: There is no setting 'dry_run'. Known: account, mapping, duplicates, create, triggers, "
                "extras, max_rejected_percent, include_inactive, email_columns, on_resync, update_existing."
            ),
        ),
    ),
    "settings that are missing": Broken(
        _action(account="", create="", duplicates="{match_by: email}"),
        (
            f"{ACTION_AT}:1: 'account' is missing. Write it.",
            f"{ACTION_AT}:1: 'create' is missing. Write one of: lead, contact, none.",
            (
                f"{ACTION_AT}:4: 'duplicates.check' is missing. Write one of: none, leads, contacts, "
                "leads_then_contacts, contacts_then_leads."
            ),
        ),
    ),
    "numbers out of bounds": Broken(
        _action(max_rejected_percent="101", include_inactive="sometimes"),
        (
            f"{ACTION_AT}:6: 'max_rejected_percent' should be less than or equal to 100. Correct it.",
            f"{ACTION_AT}:7: 'include_inactive' is neither true nor false. Write true or false.",
        ),
    ),
    "a key twice": Broken(
        {ACTION_FILE: GOOD + "create: contact\naccount: other\n"},
        (
            f"{ACTION_AT}:7: 'create' stands in line 4 already. Keep one of the two.",
            f"{ACTION_AT}:8: 'account' stands in line 1 already. Keep one of the two.",
        ),
    ),
    "no YAML": Broken(
        {ACTION_FILE: "account: [dynamics_default\n"},
        (
            (
                f"{ACTION_AT}:2: The YAML cannot be read: expected ',' or ']', but got '<stream end>'. Check "
                "indentation, quotes and brackets."
            ),
        ),
    ),
    "a mapping set that does not exist": Broken(
        _action(mapping="dril"),
        ("include/mappings: There is no mapping set 'dril'. Did you mean 'drill'? Known: drill.",),
    ),
    "an account that does not exist": Broken(
        _action(account="dynamics_nowhere"),
        (
            (
                "connection dynamics_nowhere: is not set: there is no environment variable "
                "AIRFLOW_CONN_DYNAMICS_NOWHERE. Set it to what `airflow connections get dynamics_nowhere -o "
                "json` shows as get_uri."
            ),
        ),
    ),
    "another file's name, and extras that do not exist": Broken(
        _action(name="other", extras="{notes: true}"),
        (
            f"{ACTION_AT}:7: 'name' is not the file's name. Leave it out: an action is named by its file.",
            (
                f"{ACTION_AT}:8: There is no setting 'extras.notes'. Did you mean 'note'? Known: owner, account, "
                "campaign, marketing_list, note."
            ),
        ),
    ),
    "extras that name nothing": Broken(
        _action(
            extras="{campaign: FLOW24, marketing_list: Nobody, account: find_or_create,"
            " owner: {source: owner.email, users: people, fallback: a@b.example}}"
        )
        | {LEAD_FILE: LEAD + "campaignid,=FLOW24,lookup(campaign.codename),,,,\n"},
        (
            f"{ACTION_AT}:7: 'FLOW24' is not found in campaign.codename. Correct the text, or the record in Dynamics.",
            (
                f"{ACTION_AT}:7: 'a@b.example' is not found in systemuser.internalemailaddress. Correct the text, or "
                "the record in Dynamics."
            ),
            (f"{ACTION_AT}:7: 'campaignid' is mapped in {LEAD_AT} already. Remove the row there, or the setting here."),
            f"{ACTION_AT}:7: The mapping set has no account.csv. Copy it from include/mappings/default.",
            (f"{ACTION_AT}:7: There is no active list 'Nobody'. Write the name of one list as it stands in Dynamics."),
            (
                f"{ACTION_AT}:7: There is no value table 'people'. Write it: from,to with e-mail addresses of users, "
                "in include/mappings/drill/values/people.csv."
            ),
            (
                f"{LEAD_AT}:10: 'FLOW24' for 'campaignid' is not found in campaign.codename. Correct the text, or the "
                "record in Dynamics."
            ),
        ),
    ),
    "columns that do not exist": Broken(
        _more("jobtitel,job_title,,,,,", "nowhere,email,,,,,"),
        (
            f"{LEAD_AT}:10: lead has no column 'jobtitel'. Did you mean 'jobtitle'?",
            f"{LEAD_AT}:11: lead has no column 'nowhere'. Write the column's logical name.",
        ),
    ),
    "paths that do not exist": Broken(
        _more("fax,fone,,,,,", "sic,custom,,,,,", "salutation,{first_nam} {last_name},,,,,"),
        (
            f"{LEAD_AT}:10: 'fone' is no path of a prospect. Nearest: form.name. See docs/mapping.md.",
            f"{LEAD_AT}:11: 'custom' is not complete: write custom.<key>. See docs/mapping.md.",
            f"{LEAD_AT}:12: 'first_nam' is no path of a prospect. Nearest: first_name, last_name. See docs/mapping.md.",
        ),
    ),
    "transforms that do not exist": Broken(
        _more("fax,phones.fax,phoen,,,,", "sic,email,truncate|trim,,,,", "salutation,salutation,map(titles),,,,"),
        (
            f"{LEAD_AT}:10: There is no transform 'phoen'. Did you mean 'phone'?",
            f"{LEAD_AT}:11: 'trim' comes after 'truncate'. Write truncate last.",
            f"{LEAD_AT}:12: there is no value table 'titles': write values/titles.csv with from,to.",
        ),
    ),
    "modes that do not exist": Broken(
        _more("fax,phones.fax,,,sometimes,,", "sic,email,,,,wipe,", "salutation,salutation,,,if_empty,clear,"),
        (
            f"{LEAD_AT}:10: 'sometimes' is no word for 'write'. Known: always, create_only, if_empty, append.",
            f"{LEAD_AT}:11: 'wipe' is no word for 'blank'. Known: keep, clear.",
            f"{LEAD_AT}:12: 'clear' does not go with 'if_empty'. Only a column written always can be cleared.",
        ),
    ),
    "a column twice, cells too many": Broken(
        _more("jobtitle,email,,,,,", "fax,phones.fax,,,,,,,"),
        (
            f"{LEAD_AT}:10: 'jobtitle' is mapped in line 6 already. Keep one of the rows.",
            f"{LEAD_AT}:11: The row has more cells than the header. Put a text with a comma in quotes.",
        ),
    ),
    "what the CRM fills, lookups": Broken(
        _more("createdon,=2026-01-01,,,,,", "parentaccountid,company.name,,,,,", "fullname,full_name,,,,,"),
        (
            f"{LEAD_AT}:10: 'createdon' is filled by Dynamics and cannot be written. Remove the row.",
            (
                f"{LEAD_AT}:11: 'parentaccountid' is a lookup, it takes no value of its own. End the transform with "
                "lookup(account.<column>)."
            ),
            f"{LEAD_AT}:12: 'fullname' is filled by Dynamics and cannot be written. Remove the row.",
        ),
    ),
    "constants and defaults that do not fit": Broken(
        _more("preferredcontactmethodcode,=9,,,,,", "numberofemployees,custom.size,,many,,,", f"sic,=x{'y' * 40},,,,,"),
        (
            (
                f"{LEAD_AT}:10: The constant does not go into 'preferredcontactmethodcode': text of 1 characters is "
                "none of the column's option values. It takes 1 Any, 2 Email, 3 Phone, 4 Fax, 5 Mail."
            ),
            (
                f"{LEAD_AT}:11: The default does not go into 'numberofemployees': text of 4 characters is no whole "
                "number. It takes a Integer."
            ),
            (
                f"{LEAD_AT}:12: The constant does not go into 'sic': text of 41 characters does not fit into 20. It "
                "takes a String."
            ),
        ),
    ),
    "what a new record needs is not mapped": Broken(
        _lead("emailaddress1,email,,,,,"),
        (
            f"{LEAD_AT}: A new lead needs 'lastname'; it is not mapped. Add a row for it.",
            f"{LEAD_AT}: A new lead needs 'subject'; it is not mapped. Add a row for it.",
        ),
    ),
    "a header of another table": Broken(
        {
            LEAD_FILE: "column,source,transfrom\nlastname,last_name,\n",
            CONTACT_FILE: "target;source\nlastname;last_name\n",
        },
        (
            f"{CONTACT_AT}:1: The cells are parted by semicolons. Save the table as CSV with commas.",
            (
                f"{LEAD_AT}:1: The column 'target' is missing. The first line is "
                "target,source,transform,default,write,blank,comment."
            ),
            f"{LEAD_AT}:1: There is no column 'column'. Did you mean 'comment'?",
            f"{LEAD_AT}:1: There is no column 'transfrom'. Did you mean 'transform'?",
        ),
    ),
    "faults in every file at once": Broken(
        {
            LEAD_FILE: LEAD + "fax,fone,,,,,\n",
            CONTACT_FILE: MAPPING + "lastname,lastname,,,,,\n",
            "mappings/drill/values/titles.csv": "von,nach\nDr,Doctor\n",
            "mappings/drill/leads.csv": "",
        },
        (
            (
                f"{CONTACT_AT}:2: 'lastname' is no path of a prospect. Nearest: last_name, first_name, language. See "
                "docs/mapping.md."
            ),
            f"{LEAD_AT}:10: 'fone' is no path of a prospect. Nearest: form.name. See docs/mapping.md.",
            (
                "include/mappings/drill/leads.csv: No table is mapped by the name 'leads'. Did you mean "
                "'lead'? Known: lead, contact, account."
            ),
            ("include/mappings/drill/values/titles.csv:1: The first line is not from,to. Write from,to there."),
        ),
    ),
    "text, numbers and required columns mixed up": Broken(
        _more("revenue,custom.revenue,truncate,,,,", "budgetamount,custom.budget,,,append,,")
        | {CONTACT_FILE: MAPPING + "lastname,last_name,,,always,clear,\n"},
        (
            f"{CONTACT_AT}:2: 'lastname' is required and cannot be cleared. Write keep.",
            f"{LEAD_AT}:10: 'revenue' is no text and is never cut. Remove truncate.",
            f"{LEAD_AT}:11: 'budgetamount' is no text, nothing can be appended to it. Write always or if_empty.",
        ),
    ),
    "columns of the same name in the head": Broken(
        {LEAD_FILE: "target,source,source\nlastname,last_name,\n", CONTACT_FILE: "\n"},
        (
            (
                f"{CONTACT_AT}:1: The column 'source' is missing. The first line is "
                "target,source,transform,default,write,blank,comment."
            ),
            (
                f"{CONTACT_AT}:1: The column 'target' is missing. The first line is "
                "target,source,transform,default,write,blank,comment."
            ),
            f"{LEAD_AT}:1: The column 'source' stands there twice. Keep one.",
        ),
    ),
    "columns that cannot be mapped": Broken(
        _more("entityimage,first_name,,,,,", "overriddencreatedon,submission.captured_at,,,,,", "leadid,=x,,,,,"),
        (
            f"{LEAD_AT}:10: 'entityimage' has the type Virtual, which cannot be mapped. Remove the row.",
            f"{LEAD_AT}:11: 'overriddencreatedon' can be set on a new record only. Write create_only.",
            f"{LEAD_AT}:12: 'leadid' can be set on a new record only. Write create_only.",
            (
                f"{LEAD_AT}:12: The constant does not go into 'leadid': text of 1 characters is no GUID. It takes a "
                "Uniqueidentifier."
            ),
        ),
    ),
    "names that are no logical names": Broken(
        _more("Job Title,job_title,,,,,", ",email,,,,,", "ownerid@odata.bind,owner.email,,,,,"),
        (
            f"{LEAD_AT}:10: 'Job Title' is no logical name of a column. Write it as Dataverse does: jobtitle.",
            f"{LEAD_AT}:11: '' is no logical name of a column. Write it as Dataverse does: jobtitle.",
            (
                f"{LEAD_AT}:12: 'ownerid@odata.bind' is no logical name of a column. Write it as Dataverse does: "
                "jobtitle."
            ),
        ),
    ),
    "sources that cannot be read": Broken(
        _more("fax,,,,,,", "sic,{first_name,,,,,", "salutation,{first_name:>10},,,,,", "pager,{},,,,,"),
        (
            f"{LEAD_AT}:10: The source is missing. Write a path, a {{template}} or =constant.",
            (
                f"{LEAD_AT}:11: The template cannot be read: expected '}}' before end of string. Write paths as "
                "{first_name}, braces doubled."
            ),
            f"{LEAD_AT}:12: '{{first_name}}' has more in its braces than a path. Leave out ':' and '!'.",
            f"{LEAD_AT}:13: '' is no path of a prospect. See docs/mapping.md.",
        ),
    ),
    "constants with a transform": Broken(
        _more("fax,=0,phone,,,,", "sic,=x,upper|truncate,,,,"),
        (
            (
                f"{LEAD_AT}:10: A constant takes no transform but choice, choices and lookup. "
                "Write the value as Dynamics is to get it."
            ),
            (
                f"{LEAD_AT}:11: A constant takes no transform but choice, choices and lookup. "
                "Write the value as Dynamics is to get it."
            ),
        ),
    ),
    "arguments that are missing, wrong or too many": Broken(
        _more("fax,phones.fax,trim(x),,,,", "sic,email,map,,,,", "revenue,custom.revenue,number(klingon),,,,"),
        (
            f"{LEAD_AT}:10: 'trim' takes no argument.",
            f"{LEAD_AT}:11: 'map' needs the name of a value table: map(industry) reads values/industry.csv.",
            (
                f"{LEAD_AT}:12: 'klingon' is no number form: one of at, ch, cs, da, de, el, en, es, fi, fr, hu, it, "
                "nb, nl, pl, pt, ro, ru, sv, tr, uk."
            ),
        ),
    ),
    "value tables that cannot be read": Broken(
        _more("industrycode,custom.industry,map(industry),,,,")
        | {"mappings/drill/values/industry.csv": "from,to\nBanks,16\nBanks,17\nLaw\n"},
        (
            ("include/mappings/drill/values/industry.csv:3: This value stands there twice. Keep one of the rows."),
            (
                "include/mappings/drill/values/industry.csv:4: The row has not two cells. Put a text with a "
                "comma in quotes."
            ),
        ),
    ),
    "value tables with options that do not exist": Broken(
        _more("preferredcontactmethodcode,custom.contact,map(contact),,,,", "leadqualitycode,rating.label,,Hot,,,")
        | {"mappings/drill/values/contact.csv": "from,to\nMail,2\nPigeon,9\n*,none\n"},
        (
            (
                f"{LEAD_AT}:10: The value table's '9' does not go into 'preferredcontactmethodcode': text of 1 "
                "characters is none of the column's option values. It takes 1 Any, 2 Email, 3 Phone, 4 Fax, "
                "5 Mail."
            ),
            (
                f"{LEAD_AT}:10: The value table's 'none' does not go into 'preferredcontactmethodcode': text of 4 "
                "characters is none of the column's option values. It takes 1 Any, 2 Email, 3 Phone, 4 Fax, "
                "5 Mail."
            ),
            (
                f"{LEAD_AT}:11: The default does not go into 'leadqualitycode': text of 3 characters is none of the "
                "column's option values. It takes 1 Hot, 2 Warm, 3 Cold."
            ),
        ),
    ),
    "lookups that lead nowhere": Broken(
        _more(
            "parentaccountid,company.name,lookup(contact.fullname),,,,",
            "parentcontactid,email,lookup(contact.emailadress1),,,,",
            "fax,company.name,lookup(account.name),,,,",
        ),
        (
            f"{LEAD_AT}:10: 'parentaccountid' cannot point to 'contact'. It points to account.",
            f"{LEAD_AT}:11: contact has no column 'emailadress1'. Did you mean 'emailaddress1'?",
            f"{LEAD_AT}:12: 'fax' is no lookup. Remove the step lookup.",
        ),
    ),
    "lookups that are not understood": Broken(
        _more(
            "parentaccountid,company.name,lookup(account),,,,",
            'parentcontactid,email,"lookup(contact.emailaddress1, skip)",,,,',
            "campaignid,event.name,lookup(campaign.name)|trim,,,,",
        ),
        (
            f"{LEAD_AT}:10: 'lookup(account)' names no column. Write it like lookup(account.name, blank).",
            f"{LEAD_AT}:11: 'skip' is no word for 'lookup'. Known: reject, blank, defer.",
            f"{LEAD_AT}:12: 'trim' comes after 'lookup'. Write lookup last.",
        ),
    ),
    "records that do not exist": Broken(
        _more("campaignid,=FLOW25,lookup(campaign.codename),,,,"),
        (
            (
                f"{LEAD_AT}:10: 'FLOW25' for 'campaignid' is not found in campaign.codename. Correct the text, or the "
                "record in Dynamics."
            ),
        ),
    ),
}
