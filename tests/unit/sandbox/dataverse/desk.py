"""A desk to call an organisation from: short requests, a clock that is set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

import orjson

from sandbox.dataverse import Caller, Organization, Request, Response

URL = "https://localhost:8444"
API = f"{URL}/api/data/v9.2"
A, B, C, D = (f"00000000-0000-4000-8000-00000000000{digit}" for digit in "abcd")


class Desk:
    """One organisation, one caller, one clock."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
        self.organization = Organization(UUID(int=1), URL, lambda: self.now, "Desk")
        self.organization.register_application_user("app", "Sync App")
        self.caller: Caller | None = self.organization.caller_for("app")

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def call(self, method: str, address: str, body: Any = None, **headers: str) -> Response:
        """Send one request; `address` is relative and encoded like a URL, header names use underscores."""
        parts = urlsplit(address)
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        content = b"" if body is None else orjson.dumps(body)
        assert self.caller is not None
        return self.organization.handle(Request(method, unquote(parts.path), query, sent, content, self.caller))

    def ok(self, method: str, address: str, body: Any = None, **headers: str) -> Any:
        """The JSON of a request that must succeed."""
        response = self.call(method, address, body, **headers)
        assert response.status < 400, response.body
        return orjson.loads(response.body) if response.body else None

    def refused(self, method: str, address: str, body: Any = None, **headers: str) -> tuple[int, str, str]:
        """Status, code and message of a request that must fail."""
        response = self.call(method, address, body, **headers)
        assert response.status >= 400, response.body
        assert not response.committed
        error = orjson.loads(response.body)["error"]
        assert error["code"] == response.code
        return response.status, error["code"], error["message"]

    def find(self, entity_set: str, condition: str, **options: str) -> list[dict[str, Any]]:
        """Rows that pass a filter, which is given unencoded."""
        assert self.caller is not None
        query = (("$filter", condition), *((f"${name}", value) for name, value in options.items()))
        response = self.organization.handle(Request("GET", entity_set, query, {}, b"", self.caller))
        assert response.status == 200, response.body
        found: list[dict[str, Any]] = orjson.loads(response.body)["value"]
        return found

    def names(self, condition: str, entity_set: str = "leads") -> list[str]:
        """Last names that pass a filter, sorted."""
        return sorted(str(row["lastname"]) for row in self.find(entity_set, condition, select="lastname"))


def header(response: Response, name: str) -> str | None:
    """One header of a response."""
    return dict(response.headers).get(name)


def typed(table: str, **values: Any) -> dict[str, Any]:
    """A target of a bulk message."""
    return {"@odata.type": f"Microsoft.Dynamics.CRM.{table}", **values}
