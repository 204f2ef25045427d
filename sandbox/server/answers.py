"""Shapes every answer of the Web API: the headers each one carries, error bodies, compression.

Source: learn.microsoft.com, "Compose HTTP requests and handle errors", "Service protection API limits" (headers).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import orjson
from aiohttp import web
from multidict import CIMultiDict

from sandbox.server.environment import Environment
from sandbox.server.faults import Fault
from sandbox.server.settings import IdHeaders

COMPRESS_FROM_BYTES = 1024
JSON_TYPE = "application/json; odata.metadata=minimal"
ID_HEADERS = frozenset({"odata-entityid", "location", "req_id", "x-ms-service-request-id"})
FULL_LIMITS = (5999, 1200.0)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

# What a fault of effect `status` says when its rule does not: code and text as the service words them.
WIRE_ERRORS: Mapping[int, tuple[str, str]] = {
    401: ("", ""),
    403: ("0x80072560", "The user is not a member of the organization."),
    412: ("0x80060882", "The version of the existing record doesn't match the RowVersion property provided."),
    429: ("0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."),
    500: ("0x80040224", "An unexpected error occurred."),
}
GATEWAY_REASONS: Mapping[int, str] = {
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def error_body(code: str, message: str) -> bytes:
    """The JSON every refusal of the Web API carries."""
    return orjson.dumps({"error": {"code": code, "message": message}})


def fault_answer(fault: Fault) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a fault: as told, else JSON with a code, else a gateway's HTML."""
    headers = [("Retry-After", _retry_after(fault))] if fault.retry_after is not None else []
    if fault.body is not None:
        kind = "text/html" if fault.body.lstrip().startswith("<") else "application/json"
        return fault.status, [*headers, ("Content-Type", kind)], fault.body.encode()
    if fault.code is None and fault.message is None and fault.status in GATEWAY_REASONS:
        reason = f"{fault.status} {GATEWAY_REASONS[fault.status]}"
        page = f"<html><head><title>{reason}</title></head><body><h2>{reason}</h2></body></html>\r\n"
        return fault.status, [*headers, ("Content-Type", "text/html")], page.encode()
    code, message = WIRE_ERRORS.get(fault.status, ("0x80040203", "Invalid argument."))
    body = error_body(fault.code if fault.code is not None else code, fault.message or message)
    return fault.status, [*headers, ("Content-Type", JSON_TYPE)], body


def _retry_after(fault: Fault) -> str:
    if fault.retry_after_as == "value" or not isinstance(fault.retry_after, int):
        return str(fault.retry_after)
    return http_date(datetime.now(UTC) + timedelta(seconds=fault.retry_after))


def standard_headers(environment: Environment, server: int, remaining: tuple[int, float]) -> CIMultiDict[str]:
    """What the service adds to every answer.

    Args:
        remaining: requests and seconds of execution left to this user on this server.
    """
    request_id = str(uuid4())
    headers: CIMultiDict[str] = CIMultiDict(
        {
            "Cache-Control": "no-cache",
            "Expires": "-1",
            "Vary": "Accept-Encoding",
            "OData-Version": "4.0",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "Public": "OPTIONS,GET,HEAD,POST",
            "REQ_ID": request_id,
            "AuthActivityId": str(uuid4()),
            "CRM.ServiceId": "framework",
            "X-Source": environment.affinity(server)[:32],
            "x-ms-dop-hint": str(environment.settings.dop_hint),
            "x-ms-ratelimit-time-remaining-xrm-requests": f"{remaining[1]:,.2f}",
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(remaining[0]),
        }
    )
    if environment.settings.clock_offset_s:
        headers["Date"] = http_date(environment.clock())
    headers.add("x-ms-service-request-id", request_id)
    headers.add("x-ms-service-request-id", str(uuid4()))
    flags = "path=/; secure; HttpOnly"
    headers.add("Set-Cookie", f"ARRAffinity={environment.affinity(server)}; {flags}")
    headers.add("Set-Cookie", f"ReqClientId={uuid4()}; {flags}; samesite=strict")
    headers.add("Set-Cookie", f"orgId={environment.organization_id}; {flags}; samesite=strict")
    return headers


def styled(headers: Iterable[tuple[str, str]], style: IdHeaders) -> list[tuple[str, str]]:
    """Headers that name a record or a request as a careless proxy hands them on: not at all, or in upper case."""
    if style == "plain":
        return list(headers)
    named = [(name, value, name.lower() in ID_HEADERS) for name, value in headers]
    if style == "missing":
        return [(name, value) for name, value, is_id in named if not is_id]
    return [(name.upper(), _GUID.sub(_upper, value)) if is_id else (name, value) for name, value, is_id in named]


def _upper(found: re.Match[str]) -> str:
    return found[0].upper()


def http_date(at: datetime) -> str:
    """An instant as HTTP writes it."""
    return format_datetime(at, usegmt=True)


class Reply:
    """Answers one request as one web server does.

    Args:
        server: number of the web server the request has landed on.
        remaining: requests and seconds of execution left to this user on this server.
    """

    def __init__(
        self,
        request: web.Request,
        environment: Environment,
        server: int = 0,
        remaining: tuple[int, float] = FULL_LIMITS,
    ) -> None:
        self._request = request
        self._environment = environment
        self._server = server
        self.remaining = remaining

    def send(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> web.Response:
        """An answer, compressed if the client asked for it and it is worth it."""
        all_headers = standard_headers(self._environment, self._server, self.remaining)
        for name, value in headers:
            all_headers[name] = value
        all_headers = CIMultiDict(styled(all_headers.items(), self._environment.settings.id_headers))
        if len(body) >= COMPRESS_FROM_BYTES and "gzip" in self._request.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            all_headers["Content-Encoding"] = "gzip"
        return web.Response(status=status, headers=all_headers, body=body or None)

    def error(self, status: int, code: str, message: str, headers: Iterable[tuple[str, str]] = ()) -> web.Response:
        """A refusal of the transport's own, in the form of the Web API's."""
        return self.send(status, [*headers, ("Content-Type", JSON_TYPE)], error_body(code, message))
