"""How the capture API writes things: times, identifiers, JSON answers and problems (RFC 9457).

Decides nothing about prospects. Source: Capture Source API v1, transport.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

Json = dict[str, Any]

PROBLEM_TYPE = "urn:capture-source:v1:problem:"


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: of equal width, so texts sort as times do."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: where (JSON pointer or parameter), a code, and a text without values."""

    pointer: str
    code: str
    message: str


class Problem(Exception):
    """A refusal as `application/problem+json`."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self, instance: str, request_id: str) -> web.Response:
        content: Json = {
            "type": f"{PROBLEM_TYPE}{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            "errors": [{"pointer": e.pointer, "code": e.code, "message": e.message} for e in self.errors],
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(content),
            content_type="application/problem+json",
            headers=self.headers,
        )


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer. `content` may hold `orjson.Fragment`s of JSON that is written already."""
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json", headers=headers)


async def json_object(request: web.Request) -> Json:
    """The request's body.

    Raises:
        Problem: 400, when it is no JSON object.
    """
    try:
        content = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise Problem(400, "invalid_json", "The body is not JSON.") from None
    if not isinstance(content, dict):
        raise Problem(400, "invalid_json", "The body is not a JSON object.")
    return content


def required_instant(text: str, name: str) -> str:
    """A time given as a parameter, in the form in which we keep times.

    Raises:
        Problem: 400, when it is no time with a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fault = Fault(name, "invalid_time", "Not an RFC 3339 time with a zone.")
        raise Problem(400, "invalid_parameter", f"{name} is not a time.", errors=[fault])
    return instant(moment)
