"""Duplicate detection by the rules a stock organisation publishes: off for API writes unless a header asks for it.

Source: Microsoft Learn, "Detect duplicate data using the Web API".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.dataverse.errors import Refusal
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.wire import Request

_RULES = {
    "lead": (("emailaddress1",),),
    "contact": (("emailaddress1",), ("firstname", "lastname")),
    "account": (("name",), ("emailaddress1",)),
}
"""Columns of the duplicate detection rules a stock organisation publishes."""


def find_duplicates(session: Session, table: Table, entity: Mapping[str, Any]) -> list[str]:
    """Ids of the rows that one of the rules takes for the same as these values, in order of id."""
    ids: set[str] = set()
    for columns in _RULES.get(table.name, ()):
        values = [entity.get(column) for column in columns]
        if all(isinstance(value, str) and value.strip() for value in values):
            ids.update(session.store.index(table.name, columns).find(values))
    return sorted(ids - {str(entity.get(table.primary_id)).lower()})


def refuse_duplicates(session: Session, table: Table, row_id: str, request: Request) -> None:
    """Refuse a row just written when the request turned detection on and another row is its duplicate."""
    if request.headers.get("mscrm.suppressduplicatedetection", "").lower() != "false":
        return
    if find_duplicates(session, table, session.store.rows(table.name)[row_id]):
        raise Refusal(
            412,
            "0x80040333",
            "A record was not created or updated because a duplicate of the current record already exists.",
        )
