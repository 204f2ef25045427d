"""Builds responses: JSON bodies, entity addresses, preferences that were applied, refusals."""

from __future__ import annotations

from typing import Any

import orjson

from sandbox.dataverse.errors import Refusal, bad_payload, bad_request
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.wire import Request, Response

_JSON = "application/json; odata.metadata=minimal"
Headers = tuple[tuple[str, str], ...]


def json_answer(
    body: Any, *, status: int = 200, headers: Headers = (), table: str | None = None, rows: int = 0, operation: str = ""
) -> Response:
    """A body with its content type."""
    content_type = ("Content-Type", _JSON + ("; odata.streaming=true" if "value" in body else ""))
    return Response(status, (content_type, *headers), orjson.dumps(body), table, rows, operation=operation)


def text_answer(
    text: str, *, table: str | None = None, content_type: str = "text/plain", operation: str = ""
) -> Response:
    """Plain text: counts, raw values, the CSDL."""
    return Response(200, (("Content-Type", content_type),), text.encode(), table, 0, operation=operation)


def no_content(table: str | None = None, *, headers: Headers = (), rows: int = 0, operation: str = "") -> Response:
    """204."""
    return Response(204, headers, b"", table, rows, operation=operation)


def entity_headers(session: Session, table: Table, key: str) -> Headers:
    """The address of a written row; `key` is what stands in the parentheses."""
    address = f"{session.state.api}/{table.entity_set}({key})"
    return (("OData-EntityId", address), ("Location", address))


def applied(preferences: dict[str, str], *names: str) -> Headers:
    """`Preference-Applied` for those of the named preferences that were sent."""
    parts = []
    for name in names:
        if name in preferences:
            value = preferences[name]
            quoted = f'"{value}"' if name == "odata.include-annotations" else value
            parts.append(f"{name}={quoted}" if value else name)
    return (("Preference-Applied", ", ".join(parts)),) if parts else ()


def refusal_answer(refusal: Refusal, table: str | None, annotations: str) -> Response:
    """The error body, with the details an annotation preference asks for."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if annotations in ("*", "Microsoft.PowerApps.CDS.ErrorDetails*"):
        error["@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus"] = "0"
        error["@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode"] = "-2146233088"
    if annotations == "*":
        error["@Microsoft.PowerApps.CDS.HelpLink"] = (
            f"http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a{refusal.code[2:]}"
        )
        error["@Microsoft.PowerApps.CDS.InnerError.Message"] = refusal.message
    headers = (("Content-Type", "application/json; odata.metadata=minimal"),)
    return Response(refusal.status, headers, orjson.dumps({"error": error}), table, code=refusal.code)


def body_of(request: Request, entity_set: str) -> dict[str, Any]:
    """The request's JSON object.

    Raises:
        Refusal: 400 when the body is empty, no JSON, or no object.
    """
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as fault:
        raise bad_payload(entity_set, "The payload is not a valid JSON document.") from fault
    if not isinstance(body, dict):
        raise bad_payload(
            entity_set,
            "An unexpected 'StartArray' node was found when reading from the JSON reader. "
            "A 'StartObject' node was expected.",
        )
    return body


def an_object(value: Any) -> dict[str, Any]:
    """A nested JSON object; null stands for an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request("An object was expected inside the payload.", "0x80048d19")
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """A nested JSON array of objects; null stands for an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_request("An array was expected inside the payload.", "0x80048d19")
    return [an_object(each) for each in value]
