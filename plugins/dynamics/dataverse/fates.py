"""Says what became of each record of a write, from the answer it got. Linked by id; a place in a list proves nothing.

What the answers of a whole request mean is left to `transport`, what is sent again to `bulk`.

Source: Microsoft Learn, "Perform conditional operations using the Web API", "Use bulk operation messages".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import orjson

from dynamics.core.crm import RecordWrite, WriteResult, WriteState
from dynamics.core.lookup import references
from dynamics.dataverse.faults import Fault, FaultClass, classify, column_of, request_id, safe_message
from dynamics.dataverse.session import Answer

_STATES: Mapping[FaultClass, WriteState] = {
    FaultClass.ROW: WriteState.REFUSED,
    FaultClass.EXISTS: WriteState.EXISTS,
    FaultClass.STALE: WriteState.STALE,
    FaultClass.GONE: WriteState.GONE,
    FaultClass.TARGET: WriteState.TARGET_GONE,
}
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def created(writes: Sequence[RecordWrite], answer: Answer) -> Iterator[WriteResult]:
    """Fates of the rows of a CreateMultiple that succeeded. A row whose id does not come back is in doubt."""
    try:
        ids = {str(record_id).lower() for record_id in orjson.loads(answer.body)["Ids"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):  # the ids are ours anyway; the status says it is done
        ids = {str(write.record_id) for write in writes}
    for write in writes:
        state = WriteState.DONE if str(write.record_id) in ids else WriteState.UNKNOWN
        yield WriteResult(write.record_id, state, request_id=request_id(answer.headers))


def written(write: RecordWrite, answer: Answer, outer_id: str | None) -> WriteResult:
    """Fate of a row whose own operation succeeded. If another record's address comes back, it is in doubt."""
    ids = _GUID.findall(answer.headers.get("OData-EntityId", ""))
    known = not ids or ids[-1].lower() == str(write.record_id)
    state = WriteState.DONE if known else WriteState.UNKNOWN
    return WriteResult(write.record_id, state, request_id=request_id(answer.headers) or outer_id)


def refused(operation: str, write: RecordWrite, fault: Fault, outer_id: str | None) -> WriteResult:
    """Fate of a row whose own operation was refused."""
    return WriteResult(
        write.record_id,
        _state(operation, write, fault),
        code=fault.code or f"HTTP {fault.status}",
        column=column_of(fault, write.values),
        message=safe_message(fault),
        request_id=fault.request_id or outer_id,
    )


def _state(operation: str, write: RecordWrite, fault: Fault) -> WriteState:
    if fault.status == 412 and not fault.code:  # older services leave the code out; the condition sent says which
        return WriteState.EXISTS if operation == "create" else WriteState.STALE
    state = _STATES.get(classify(fault), WriteState.UNCLASSIFIED)
    if state is WriteState.GONE and not _is_missing_itself(operation, write, fault):
        state = WriteState.TARGET_GONE
    if state is WriteState.TARGET_GONE and not references(write.values.values()):
        return WriteState.REFUSED  # nothing that was looked up is to blame
    return state


def _is_missing_itself(operation: str, write: RecordWrite, fault: Fault) -> bool:
    named = [found.lower() for found in _GUID.findall(fault.text)]
    return operation == "update" and (not named or str(write.record_id) in named)
