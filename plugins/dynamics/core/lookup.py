"""Lookups: how a reference to another record is written down, what is asked to find one, and which record is meant.

Inside the product a reference is the plain text `campaign(<guid>)`: the target's table and id. Leaves the wire's form
and the asking to `dataverse`, and what becomes of a prospect whose target is missing to `mapping`. Source: Dataverse
page "Filter rows": comparison of text ignores case and perhaps accents, so whatever comes back is compared again here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from dynamics.core.crm import CandidateQuery, JsonObject
from dynamics.core.metadata import TableMetadata
from dynamics.core.normalize import collapse

KEY_TYPES = frozenset({"String", "Uniqueidentifier"})  # columns that a record can be named by
DISABLED = "isdisabled"  # of users and business units, which have no state

_REFERENCE = re.compile(r"([a-z][a-z0-9_]*)\(([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\)")


class LookupKey(NamedTuple):
    """A record asked for: the one of this table whose column says this text."""

    table: str
    column: str
    text: str

    @classmethod
    def of(cls, table: str, column: str, text: str) -> LookupKey:
        """The key for a text as somebody wrote it: blanks at its ends and runs of blanks do not count."""
        return cls(table, column, collapse(text))


class LookupMiss(Enum):
    """Why no record is meant."""

    NOT_FOUND = "is not found"
    INACTIVE = "is inactive or disabled"
    AMBIGUOUS = "is ambiguous"

    @property
    def rule(self) -> str:
        """The word that outcomes carry."""
        return "lookup_ambiguous" if self is LookupMiss.AMBIGUOUS else "lookup_not_found"


LookupAnswers = Mapping[LookupKey, str | LookupMiss]  # a reference, or why there is none


def lookup_value(table: str, record_id: UUID | str) -> str:
    """A reference as it travels from mapping to the edge, and as it is hashed and compared."""
    return f"{table}({UUID(str(record_id))})"


def parse_lookup(text: str) -> tuple[str, UUID]:
    """The table and the id of a reference.

    Raises:
        ValueError: it is none.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError("no reference to a record")
    return found[1], UUID(found[2])


def references(values: Iterable[object]) -> frozenset[str]:
    """Those of the values that refer to records."""
    return frozenset(value for value in values if isinstance(value, str) and _REFERENCE.fullmatch(value))


# ---------------------------------------------------------------- asking


def lookup_queries(keys: Collection[LookupKey], tables: Mapping[str, TableMetadata]) -> list[CandidateQuery]:
    """What finds the records, inactive ones included: one query for each column. `tables` holds every table named."""
    asked: dict[tuple[str, str], dict[str, None]] = {}
    for key in sorted(keys):
        text = _id_text(key.text) if _holds_ids(tables[key.table], key.column) else key.text
        if text:
            asked.setdefault((key.table, key.column), {})[text] = None
    return [
        CandidateQuery(table, ((column, tuple(texts)),), _selected(tables[table], column), only_active=False)
        for (table, column), texts in asked.items()
    ]


def lookup_answers(keys: Collection[LookupKey], records: Iterable[JsonObject]) -> dict[LookupKey, str | LookupMiss]:
    """Which record each key means. Active ones count alone; several active ones are ambiguous.

    Args:
        keys: what was asked for.
        records: what came back, of any of the tables, in the form of `Crm.find`.
    """
    columns = {(key.table, key.column) for key in keys}
    found: dict[tuple[str, str, str], list[JsonObject]] = {}
    for record in records:
        for table, column in columns:
            said = record.get(column) if record["@table"] == table else None
            if said is not None:
                found.setdefault((table, column, _folded(str(said))), []).append(record)
    return {key: _meant(found.get((key.table, key.column, _folded(key.text)), ())) for key in keys}


def _meant(records: Collection[JsonObject]) -> str | LookupMiss:
    active = {record["@id"]: record["@table"] for record in records if _is_active(record)}
    if len(active) > 1:
        return LookupMiss.AMBIGUOUS
    for record_id, table in active.items():
        return lookup_value(table, record_id)
    return LookupMiss.INACTIVE if records else LookupMiss.NOT_FOUND


def _is_active(record: JsonObject) -> bool:
    return not record.get("statecode") and not record.get(DISABLED)


def _selected(table: TableMetadata, column: str) -> tuple[str, ...]:
    return (column, DISABLED) if DISABLED in table.columns else (column,)


def _holds_ids(table: TableMetadata, column: str) -> bool:
    return column in table.columns and table.columns[column].type == "Uniqueidentifier"


def _id_text(text: str) -> str | None:
    """The id as the service writes it; None for a text that is none, which the service would refuse."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _folded(text: str) -> str:
    folded = collapse(text).casefold()
    return _id_text(folded) or folded
