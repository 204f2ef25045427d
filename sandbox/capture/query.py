"""Reads a listing's query into a window and a page size, and refuses what it does not know.

Source: Capture Source API v1, listing.
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from sandbox.capture.listing import Window
from sandbox.capture.wire import Fault, Problem, required_instant

DEFAULT_LIMIT, MAX_LIMIT = 100, 200
PARTS = frozenset({"submissions", "attachments", "answers", "consents"})
STATUSES = frozenset({"active", "on_hold", "recycled"})
_TIMES = {
    "updated_since": "since",
    "updated_until": "until",
    "captured_since": "captured_since",
    "captured_until": "captured_until",
}
_PLAIN = frozenset({*_TIMES, "include", "include_deleted", "limit", "cursor"})


def listing(request: web.Request, filters: Collection[str]) -> tuple[Window, str | None, int]:
    """The window, the cursor and the page size that a query asks for.

    A filter takes several values, repeated or separated by commas: any of them will do.

    Raises:
        Problem: 400, an unknown parameter or a value of the wrong form.
    """
    query = request.query
    unknown = sorted(set(query) - _PLAIN - set(filters))
    if unknown:
        faults = [Fault(name, "unknown_parameter", "No such parameter.") for name in unknown]
        raise Problem(400, "invalid_parameter", "Unknown parameters.", errors=faults)
    times = {to: required_instant(query[name], name) for name, to in _TIMES.items() if name in query}
    window = Window(
        **times,
        values={name: frozenset(_values(request, name)) for name in filters if name in query},
        include_deleted=_flag(query.get("include_deleted", "false")),
        include=frozenset(_values(request, "include")),
    )
    if not window.include <= PARTS:
        raise _invalid("include", f"One or more of {', '.join(sorted(PARTS))}.")
    if not window.values.get("status", frozenset()) <= STATUSES:
        raise _invalid("status", f"One or more of {', '.join(sorted(STATUSES))}.")
    return window, query.get("cursor"), _limit(query.get("limit", str(DEFAULT_LIMIT)))


def email_key(address: str) -> str:
    """What the `email` filter and look-ups compare by."""
    return address.strip().casefold()


def _values(request: web.Request, name: str) -> list[str]:
    given = [part.strip() for text in request.query.getall(name, []) for part in text.split(",")]
    return [email_key(value) if name == "email" else value for value in given if value]


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise _invalid("include_deleted", "Either true or false.")
    return text == "true"


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
        raise _invalid("limit", f"A number from 1 to {MAX_LIMIT}.")
    return int(text)


def _invalid(name: str, message: str) -> Problem:
    return Problem(400, "invalid_parameter", f"{name} is not valid.", errors=[Fault(name, "invalid_value", message)])
