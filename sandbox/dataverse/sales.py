"""The sales actions: qualify a lead, merge two rows, put rows on a marketing list.

Source: Microsoft Learn, "QualifyLead Action", "Merge table rows using the Web API", "AddListMembersList Action".
"""

from __future__ import annotations

from typing import Any

from sandbox.dataverse.addresses import locate
from sandbox.dataverse.answers import body_of, json_answer, no_content
from sandbox.dataverse.errors import Refusal, bad_request, no_such_row
from sandbox.dataverse.payload import lookup_values, read_payload
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.store import Row
from sandbox.dataverse.values import GUID
from sandbox.dataverse.wire import Request, Response
from sandbox.dataverse.writes import change, create, delete, states

_MERGEABLE = ("account", "contact", "lead")
_LISTED_AS = {1: "account", 2: "contact", 4: "lead"}

_ADDRESS = tuple(
    f"address1_{part}" for part in ("line1", "line2", "line3", "city", "postalcode", "stateorprovince", "country")
)
_CONSENT = ("donotphone", "donotfax", "donotemail", "donotpostalmail", "donotbulkemail", "donotsendmm")
_SHARED = ("emailaddress1", "telephone2", "fax", "websiteurl", "description", *_ADDRESS, *_CONSENT)
_TO_ACCOUNT = {"companyname": "name", "yomicompanyname": "yominame", "sic": "sic", **{n: n for n in _SHARED}}
_TO_CONTACT = {
    name: name
    for name in (
        *("firstname", "lastname", "yomifirstname", "yomilastname", "jobtitle", "pager", "mobilephone"),
        *("emailaddress2", "emailaddress3", "telephone3", *_SHARED),
    )
}
_TO_OPPORTUNITY = {"subject": "name", "description": "description", "qualificationcomments": "qualificationcomments"}


def qualify_lead(session: Session, table: Table, key: str, request: Request) -> Response:
    """Close a lead as qualified and create what was asked for from it."""
    session.require("Write", table)
    lead_id = locate(session, table, key).existing(session)
    lead = session.store.rows("lead")[lead_id]
    body = body_of(request, table.entity_set)
    if lead["statecode"] != 0:
        raise Refusal(400, "0x80040519", "The lead is already closed.")
    if "Status" not in body:
        raise bad_request("The parameter 'Status' of QualifyLead is missing.", "0x80040203")
    links = {"account": lead.get("_parentaccountid_value"), "contact": lead.get("_parentcontactid_value")}
    created: list[tuple[str, str]] = []
    for name, flag, mapping in (
        ("account", "CreateAccount", _TO_ACCOUNT),
        ("contact", "CreateContact", _TO_CONTACT),
        ("opportunity", "CreateOpportunity", _TO_OPPORTUNITY),
    ):
        if body.get(flag) and (name == "opportunity" or not links[name]):
            links[name] = _from_lead(session, name, lead, mapping, links)
            created.append((name, str(links[name])))
    if ("account", links["account"]) in created and links["contact"]:
        account = session.schema.tables["account"]
        main = lookup_values(account.columns["primarycontactid"], links["contact"], "contact")
        change(session, account, str(links["account"]), main)
    values = {"statecode": 1, "statuscode": body["Status"]}
    for name, column in (("account", "parentaccountid"), ("contact", "parentcontactid")):
        values |= lookup_values(table.columns[column], links[name], name)
    change(session, table, lead_id, values)
    value = [
        {"@odata.type": f"#Microsoft.Dynamics.CRM.{name}", session.schema.tables[name].primary_id: row_id}
        for name, row_id in created
    ]
    context = f"{session.state.api}/$metadata#Collection(Microsoft.Dynamics.CRM.crmbaseentity)"
    answer = {"@odata.context": context, "value": value}
    return json_answer(answer, table="lead", rows=1 + len(created), operation="QualifyLead")


def _from_lead(session: Session, name: str, lead: Row, mapping: dict[str, str], links: dict[str, Any]) -> str:
    table = session.schema.tables[name]
    if "prvCreate" + table.schema_name in session.caller.missing_privileges:
        raise Refusal(403, "0x80081018", f"You do not have permission to create the {name} this lead qualifies to.")
    body: dict[str, Any] = {to: lead[source] for source, to in mapping.items() if source in lead}
    body["originatingleadid@odata.bind"] = f"/leads({lead['leadid']})"
    parents = {"contact": {"account": "parentcustomerid_account"}, "opportunity": {}}
    for other, navigation in parents.get(name, {}).items():
        if links[other]:
            body[f"{navigation}@odata.bind"] = f"/{other}s({links[other]})"
    if name == "opportunity":
        for other in ("account", "contact"):
            if links[other]:
                body[f"parent{other}id@odata.bind"] = f"/{other}s({links[other]})"
    return create(session, table, body)


def merge(session: Session, request: Request) -> Response:
    """Make one row the master of another, which becomes inactive and points to it."""
    body = body_of(request, "Merge")
    table, winner = _typed(session, body.get("Target"))
    other, loser = _typed(session, body.get("Subordinate"))
    if table is not other or table.name not in _MERGEABLE or winner == loser:
        raise bad_request("Merge needs two different rows of one mergeable table.", "0x80040203")
    session.require("Write", table)
    first_state = table.columns["statecode"].options[0].value
    if any(session.store.rows(table.name)[row_id]["statecode"] != first_state for row_id in (winner, loser)):
        raise Refusal(400, "0x80045304", "Merge could create an invalid state: one of the rows is not active.")
    if body.get("PerformParentingChecks") and _parent(session, table, winner) != _parent(session, table, loser):
        raise Refusal(400, "0x80045316", "The rows have different parents.")
    content = body.get("UpdateContent")
    if isinstance(content, dict):
        change(session, table, winner, read_payload(session, table, content, creating=False).values)
    merge_rows(session, table, winner, loser)
    return no_content(table.name, rows=2, operation="Merge")


def merge_rows(session: Session, table: Table, winner: str, loser: str) -> None:
    """The loser stays, inactive, `merged`, with the winner as its master."""
    default_status, _, _ = states(table)
    last = max(default_status)
    values = {"statecode": last, "statuscode": default_status[last], "merged": True}
    values |= lookup_values(table.columns["masterid"], winner, table.name)
    change(session, table, loser, values)


def _parent(session: Session, table: Table, row_id: str) -> Any:
    row = session.store.rows(table.name)[row_id]
    return row.get("_parentcustomerid_value") or row.get("_parentaccountid_value")


def _typed(session: Session, value: Any) -> tuple[Table, str]:
    """The row that an entity-typed parameter names by its type and primary key."""
    kind = str(value.get("@odata.type", "")) if isinstance(value, dict) else ""
    table = session.schema.tables.get(kind.removeprefix("#").removeprefix("Microsoft.Dynamics.CRM."))
    row_id = value.get(table.primary_id) if table is not None and isinstance(value, dict) else None
    if table is None or not isinstance(row_id, str) or GUID.fullmatch(row_id) is None:
        raise bad_request("An entity-typed parameter needs '@odata.type' and the primary key.", "0x80040203")
    if row_id.lower() not in session.store.rows(table.name):
        raise no_such_row(table.name, row_id.lower())
    return table, row_id.lower()


def add_list_members(session: Session, request: Request) -> Response:
    """Put rows on a static marketing list; those already on it stay there once."""
    body = body_of(request, "AddListMembersList")
    table, list_id = _typed(session, body.get("List"))
    members = body.get("Members")
    if table.name != "list" or not isinstance(members, list):
        raise bad_request("AddListMembersList needs 'List' and 'Members'.", "0x80040203")
    for member in members:
        _add_member(session, list_id, *_typed(session, member))
    return no_content("listmember", rows=len(members), operation="AddListMembersList")


def add_member(session: Session, table: Table, key: str, request: Request) -> Response:
    """Put one row on a list and answer the membership's id."""
    list_id = locate(session, table, key).existing(session)
    member_id = str(body_of(request, table.entity_set).get("EntityId", "")).lower()
    kind = _LISTED_AS.get(session.store.rows("list")[list_id].get("createdfromcode", 0), "contact")
    if member_id not in session.store.rows(kind):
        raise no_such_row(kind, member_id)
    membership = _add_member(session, list_id, session.schema.tables[kind], member_id)
    context = f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.AddMemberListResponse"
    return json_answer({"@odata.context": context, "Id": membership}, table="listmember", rows=1, operation="AddMember")


def remove_member(session: Session, table: Table, key: str, request: Request) -> Response:
    """Take one row off a list."""
    list_id = locate(session, table, key).existing(session)
    member_id = str(body_of(request, table.entity_set).get("EntityId", "")).lower()
    _unlocked(session.store.rows("list")[list_id])
    found = session.store.index("listmember", ("_listid_value", "_entityid_value")).find([list_id, member_id])
    if not found:
        raise Refusal(400, "0x80048458", "Cannot remove a row that is not a member of the list.")
    delete(session, session.schema.tables["listmember"], found[0])
    return no_content("listmember", rows=1, operation="RemoveMemberList")


def _unlocked(row: Row) -> None:
    if row.get("lockstatus"):
        raise Refusal(400, "0x80040302", "The list is locked. Unlock it before you change its members.")


def _add_member(session: Session, list_id: str, table: Table, member_id: str) -> str:
    row = session.store.rows("list")[list_id]
    _unlocked(row)
    if row.get("type") or _LISTED_AS.get(row.get("createdfromcode", 0)) != table.name:
        raise Refusal(400, "0x80040301", "Unsupported list member type.")
    found = session.store.index("listmember", ("_listid_value", "_entityid_value")).find([list_id, member_id])
    if found:
        return found[0]
    body = {
        "listid@odata.bind": f"/lists({list_id})",
        f"entityid_{table.name}@odata.bind": f"/{table.entity_set}({member_id})",
    }
    return create(session, session.schema.tables["listmember"], body)
