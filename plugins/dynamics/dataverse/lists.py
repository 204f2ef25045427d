"""Puts records on a static marketing list, many in one request. Those that are on it already stay on it, once.

A request is all or nothing, so one that is refused because of a member is halved until the member is found.

Source: Microsoft Learn, "AddListMembersList Action".
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import orjson

from dynamics.core.crm import WriteReport, WriteResult, WriteState
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.batch import slices
from dynamics.dataverse.faults import Fault, FaultClass, classify, read_fault, request_id, safe_message
from dynamics.dataverse.transport import Call, Transport
from dynamics.errors import AccountError, DynamicsError, OutcomeUnknownError, TransientError

MEMBERS_PER_REQUEST = 250
LOCKED = "0x80040302"

_LATER = frozenset({FaultClass.ROLLED_BACK, FaultClass.TRANSIENT})


def add_members(transport: Transport, list_id: UUID, table: TableMetadata, member_ids: Sequence[UUID]) -> WriteReport:
    """Add records of one table. Nothing is raised: what stopped it stands in the report, the rest was not sent."""
    results: dict[UUID, WriteResult] = {}
    stopped_by: DynamicsError | None = None
    try:
        for some in slices(sorted(set(member_ids)), MEMBERS_PER_REQUEST):
            _add(transport, list_id, table, some, results)
    except (AccountError, TransientError) as fault:
        stopped_by = fault
    missing = {each: WriteResult(each, WriteState.NOT_SENT) for each in member_ids if each not in results}
    return WriteReport(results | missing, stopped_by)


def _add(
    transport: Transport, list_id: UUID, table: TableMetadata, ids: Sequence[UUID], results: dict[UUID, WriteResult]
) -> None:
    kind = "Microsoft.Dynamics.CRM."
    members = [{"@odata.type": kind + table.logical_name, table.primary_id: str(each)} for each in ids]
    body = {"List": {"@odata.type": f"{kind}list", "listid": str(list_id)}, "Members": members}
    try:
        call = Call("add to list", "list", "POST", "AddListMembersList", body=orjson.dumps(body), writes=True)
        answer = transport.send(call)
    except OutcomeUnknownError as lost:
        results |= {each: WriteResult(each, WriteState.UNKNOWN, request_id=lost.request_id) for each in ids}
        return
    if answer.status < 300:
        served = request_id(answer.headers)
        results |= {each: WriteResult(each, WriteState.DONE, request_id=served) for each in ids}
        return
    fault = read_fault(answer)
    if len(ids) > 1 and not _speaks_of_list(fault, list_id) and classify(fault) not in _LATER:
        half = len(ids) // 2
        _add(transport, list_id, table, ids[:half], results)
        _add(transport, list_id, table, ids[half:], results)
        return
    state = _state(classify(fault))
    code, message = fault.code or f"HTTP {fault.status}", safe_message(fault)
    results |= {each: WriteResult(each, state, code, None, message, fault.request_id) for each in ids}


def _speaks_of_list(fault: Fault, list_id: UUID) -> bool:
    """Whether it is the list that is refused: then no member is to blame."""
    return fault.code == LOCKED or str(list_id) in fault.text.lower()


def _state(meaning: FaultClass) -> WriteState:
    if meaning in _LATER:
        return WriteState.NOT_SENT
    return WriteState.UNCLASSIFIED if meaning is FaultClass.UNCLASSIFIED else WriteState.REFUSED
