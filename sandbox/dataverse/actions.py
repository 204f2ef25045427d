"""Functions and actions that belong to no single row operation: who am I, versions, counts, duplicates, privileges.

Sales actions (qualify, merge, lists) live in `sales`; this module also holds the registry of all of them.
Source: Microsoft Learn, "Web API Function Reference", "Web API Action Reference".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.dataverse import sales
from sandbox.dataverse.addresses import locate
from sandbox.dataverse.answers import an_object, body_of, json_answer, objects
from sandbox.dataverse.changes import create_entities
from sandbox.dataverse.duplicates import find_duplicates
from sandbox.dataverse.errors import bad_request, no_segment
from sandbox.dataverse.projection import Projection
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session, privilege_id, privilege_name
from sandbox.dataverse.wire import Request, Response
from sandbox.dataverse.writes import delete

_VERBS = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")


def _who_am_i(session: Session, _arguments: dict[str, Any]) -> Response:
    return json_answer(
        {
            "@odata.context": f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": session.state.business_unit_id,
            "UserId": session.user_id,
            "OrganizationId": str(session.state.organization_id),
        },
        operation="WhoAmI",
    )


def _version(session: Session, _arguments: dict[str, Any]) -> Response:
    context = f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.RetrieveVersionResponse"
    body = {"@odata.context": context, "Version": session.state.settings.version}
    return json_answer(body, operation="RetrieveVersion")


def _total_record_count(session: Session, arguments: dict[str, Any]) -> Response:
    names = arguments.get("EntityNames")
    if not isinstance(names, list):
        raise bad_request("The parameter 'EntityNames' must be a collection of table names.")
    for name in names:
        if name not in session.schema.tables:
            raise bad_request(f"The entity with a name = '{name}' was not found in the MetadataCache.", "0x80041102")
    body = {
        "@odata.context": f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse",
        "EntityRecordCountCollection": {
            "Count": len(names),
            "IsReadOnly": False,
            "Keys": names,
            "Values": [len(session.store.rows(name)) for name in names],
        },
    }
    return json_answer(body, operation="RetrieveTotalRecordCount")


def _duplicates(session: Session, arguments: dict[str, Any]) -> Response:
    entity, name = arguments.get("BusinessEntity"), arguments.get("MatchingEntityName")
    table = session.schema.tables.get(str(name))
    if table is None or not isinstance(entity, dict):
        raise bad_request("RetrieveDuplicates needs 'BusinessEntity', 'MatchingEntityName' and 'PagingInfo'.")
    session.require("Read", table)
    paging = {"Count": 5000, "PageNumber": 1, **an_object(arguments.get("PagingInfo"))}
    count, number = paging["Count"], paging["PageNumber"]
    if type(count) is not int or type(number) is not int:
        raise bad_request("The parameter 'PagingInfo' needs whole numbers.")
    ids = find_duplicates(session, table, entity)
    project = Projection(session, table)
    rows = session.store.rows(table.name)
    page = ids[(number - 1) * count : number * count]
    body = {"@odata.context": project.context, "value": [project(rows[row_id]) for row_id in page]}
    return json_answer(body, table=table.name, rows=len(page), operation="RetrieveDuplicates")


def _bulk_delete(session: Session, request: Request) -> Response:
    """The asynchronous job of BulkDelete, done at once: each query names rows by In on the primary key."""
    for query in objects(body_of(request, "BulkDelete").get("QuerySet")):
        table = session.schema.tables.get(str(query.get("EntityName")))
        if table is None:
            raise bad_request("A query of BulkDelete needs the name of a table.", "0x80041102")
        session.require("Delete", table)
        for condition in objects(an_object(query.get("Criteria")).get("Conditions")):
            if (condition.get("AttributeName"), condition.get("Operator")) != (table.primary_id, "In"):
                raise bad_request("The sandbox deletes in bulk by In on the primary key only.", "0x80040203")
            for value in objects(condition.get("Values")):
                row_id = str(value.get("Value")).lower()
                if row_id in session.store.rows(table.name):
                    delete(session, table, row_id)
    context = f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.BulkDeleteResponse"
    return json_answer({"@odata.context": context, "JobId": session.state.new_id()}, operation="BulkDelete")


def _user_privileges(session: Session, table: Table, key: str, arguments: dict[str, Any]) -> Response:
    """All privileges of a user, or the one that is named."""
    row_id = locate(session, table, key).existing(session)
    missing = session.caller.missing_privileges if row_id == session.user_id else frozenset()
    wanted = arguments.get("PrivilegeName")
    names = {privilege_name(verb, each) for each in session.schema.tables.values() for verb in _VERBS}
    held = [
        {
            "Depth": "Global",
            "PrivilegeId": privilege_id(name),
            "BusinessUnitId": session.state.business_unit_id,
            "PrivilegeName": name,
        }
        for name in sorted(names - missing)
        if wanted is None or name == wanted
    ]
    kind = "RetrieveUserPrivilegesResponse" if wanted is None else "RetrieveUserPrivilegeByPrivilegeNameResponse"
    body = {"@odata.context": f"{session.state.api}/$metadata#Microsoft.Dynamics.CRM.{kind}", "RolePrivileges": held}
    return json_answer(body, table=table.name, operation="RetrieveUserPrivileges")


def user_roles(session: Session, table: Table, key: str) -> list[dict[str, Any]]:
    """Rows of the roles a user has: every user of the sandbox has all of them."""
    if table.name != "systemuser":
        raise no_segment("systemuserroles_association")
    locate(session, table, key).existing(session)
    return list(session.store.rows("role").values())


FUNCTIONS: dict[str, Callable[[Session, dict[str, Any]], Response]] = {
    "WhoAmI": _who_am_i,
    "RetrieveVersion": _version,
    "RetrieveTotalRecordCount": _total_record_count,
    "RetrieveDuplicates": _duplicates,
}
ACTIONS: dict[str, Callable[[Session, Request], Response]] = {
    "Merge": sales.merge,
    "BulkDelete": _bulk_delete,
    "AddListMembersList": sales.add_list_members,
    "CreateEntities": create_entities,
}
BOUND_ACTIONS: dict[tuple[str, str], Callable[[Session, Table, str, Request], Response]] = {
    ("lead", "QualifyLead"): sales.qualify_lead,
    ("list", "AddMemberList"): sales.add_member,
    ("list", "RemoveMemberList"): sales.remove_member,
}
BOUND_FUNCTIONS: dict[tuple[str, str], Callable[[Session, Table, str, dict[str, Any]], Response]] = {
    ("systemuser", "RetrieveUserPrivileges"): _user_privileges,
    ("systemuser", "RetrieveUserPrivilegeByPrivilegeName"): _user_privileges,
}
