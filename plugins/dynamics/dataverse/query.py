"""Finds and reads records. Questions travel inside `$batch`, so that no personal value stands in a request's address.

Strings compare without regard to case, and perhaps to accents: what comes back are candidates, to be compared again by
`core.matching`.

Source: Microsoft Learn, "Filter rows using OData", "Page results using OData".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

import orjson

from dynamics.core.crm import CandidateQuery, JsonObject
from dynamics.core.lookup import lookup_value
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.batch import Part, read_batch, slices
from dynamics.dataverse.faults import read_fault, safe_message
from dynamics.dataverse.session import Answer
from dynamics.dataverse.transport import SERVICE_PATH, Transport
from dynamics.errors import ContractError

PAGE_SIZE = 5000
VALUES_PER_QUERY = 400  # of one column; the service allows 500 conditions
VALUES_URL_LENGTH = 48_000  # of all values of a query, encoded: a part's URL may have 65,536, and next links are longer
QUERIES_PER_BATCH = 50
READS_PER_BATCH = 200
ALWAYS_SELECTED = ("statecode", "statuscode", "createdon", "modifiedon", "merged", "masterid")

_TARGET = "Microsoft.Dynamics.CRM.lookuplogicalname"  # annotation: the table that a lookup points to
_ANNOTATED = f'odata.include-annotations="{_TARGET}"'
_HEADERS = {"Accept": "application/json", "Prefer": f"odata.maxpagesize={PAGE_SIZE},{_ANNOTATED}"}


class _Question(NamedTuple):
    table: TableMetadata
    url: str


def find_records(transport: Transport, queries: Iterable[tuple[TableMetadata, CandidateQuery]]) -> list[JsonObject]:
    """Run all queries, all pages of them; each record once, in the form of `Crm.find`.

    Raises:
        ContractError: a query is refused. AccountError, TransientError: as `Transport.send`.
    """
    questions = [question for table, query in queries for question in _questions(table, query)]
    found: dict[tuple[str, str], JsonObject] = {}
    for record in _answers(transport, "find", questions):
        found.setdefault((record["@table"], record["@id"]), record)
    return list(found.values())


def read_records(
    transport: Transport, table: TableMetadata, record_ids: Sequence[UUID], select: Sequence[str]
) -> list[JsonObject]:
    """Read records by id, with their creator; ids that do not exist are absent.

    A record that a query does not give is asked for once more by its address, which never lags behind a write.
    Raises: as `find_records`.
    """
    columns = (*select, "createdby")
    ids = sorted({str(record_id) for record_id in record_ids})
    query = CandidateQuery(table.logical_name, ((table.primary_id, tuple(ids)),), columns, only_active=False)
    found = {record["@id"]: record for record in _answers(transport, "read", _questions(table, query))}
    missing = [record_id for record_id in ids if record_id not in found]
    return [*found.values(), *_read_by_address(transport, table, missing, columns)]


def _read_by_address(
    transport: Transport, table: TableMetadata, ids: Sequence[str], select: Sequence[str]
) -> Iterator[JsonObject]:
    chosen = _select(table, select)
    for some in slices(ids, READS_PER_BATCH):
        urls = [f"{SERVICE_PATH}{table.entity_set}({record_id})?$select={chosen}" for record_id in some]
        parts = [Part("GET", url, {"Accept": "application/json", "Prefer": _ANNOTATED}) for url in urls]
        for answer in read_batch(transport, "read", table.logical_name, parts):
            if answer.status != 404:
                yield _record(table, _content("read", table, answer))


# ---------------------------------------------------------------- asking


def _questions(table: TableMetadata, query: CandidateQuery) -> Iterator[_Question]:
    """The query in as many pieces as its values need: each portion of one column with each portion of the others."""
    budget = VALUES_URL_LENGTH // max(len(query.where), 1)
    columns = [(column, list(_portions(table, column, values, budget))) for column, values in query.where]
    chosen = _select(table, query.select)
    for portions in product(*(portions for _, portions in columns)):
        conditions = [
            f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{portion}])"
            for (column, _), portion in zip(columns, portions, strict=True)
        ]
        if query.only_active and "statecode" in table.columns:
            conditions.append("statecode eq 0")
        condition = quote(" and ".join(conditions), safe="'()=,", errors="replace")
        yield _Question(table, f"{SERVICE_PATH}{table.entity_set}?$select={chosen}&$filter={condition}")


def _portions(table: TableMetadata, column: str, values: Sequence[str], budget: int) -> Iterator[str]:
    """Values as JSON strings, comma-joined, in portions that fit. What is too long for the column is left out: no
    record has it."""
    known = table.columns.get(column)
    longest = known.max_length if known and known.max_length else 4000
    portion: list[str] = []
    length = 0
    for value in dict.fromkeys(value for value in values if len(value) <= longest):
        literal = json.dumps(value, ensure_ascii=False)
        size = len(quote(literal, safe="", errors="replace")) + 3
        if portion and (len(portion) == VALUES_PER_QUERY or length + size > budget):
            yield ",".join(portion)
            portion, length = [], 0
        portion.append(literal)
        length += size
    if portion:
        yield ",".join(portion)


def _select(table: TableMetadata, columns: Sequence[str]) -> str:
    always = [column for column in ALWAYS_SELECTED if column in table.columns]
    names = dict.fromkeys([table.primary_id, *always, *columns])
    return ",".join(_readable(table, name) for name in names)


def _readable(table: TableMetadata, column: str) -> str:
    """The name under which a column is read: a lookup's value has its own."""
    return f"_{column}_value" if column in table.lookups else column


# ---------------------------------------------------------------- answers


def _answers(transport: Transport, operation: str, questions: Iterable[_Question]) -> Iterator[JsonObject]:
    """The records of all questions, page after page, the questions' pages side by side."""
    pending, asked = list(questions), set[str]()
    while pending:
        further: list[_Question] = []
        for some in slices(pending, QUERIES_PER_BATCH):
            tables = ", ".join(sorted({question.table.logical_name for question in some}))
            parts = [Part("GET", question.url, _HEADERS) for question in some]
            for question, answer in zip(some, read_batch(transport, operation, tables, parts), strict=True):
                page = _content(operation, question.table, answer)
                if not isinstance(page.get("value"), list):  # taken for "nothing found", it would make duplicates
                    raise ContractError(operation, question.table.logical_name, detail="a page holds no rows")
                yield from (_record(question.table, row) for row in page["value"])
                if link := page.get("@odata.nextLink"):
                    further.append(_next(transport, operation, question.table, link, asked))
        pending = further


def _next(transport: Transport, operation: str, table: TableMetadata, link: str, asked: set[str]) -> _Question:
    url = transport.path_of(operation, table.logical_name, link)
    if url in asked:
        raise ContractError(operation, table.logical_name, detail="the pages of a query go round in a circle")
    asked.add(url)
    return _Question(table, url)


def _content(operation: str, table: TableMetadata, answer: Answer) -> JsonObject:
    if answer.status != 200:
        fault = read_fault(answer)
        raise ContractError(
            operation,
            table.logical_name,
            detail=f"the query is refused: {safe_message(fault)}",
            status=fault.status,
            code=fault.code or None,
            request_id=fault.request_id,
        )
    try:
        content: JsonObject = orjson.loads(answer.body)
    except orjson.JSONDecodeError as odd:
        raise ContractError(operation, table.logical_name, detail="the answer is no JSON", status=200) from odd
    return content


def _record(table: TableMetadata, row: JsonObject) -> JsonObject:
    try:
        row["@id"], row["@etag"] = str(UUID(row[table.primary_id])), row["@odata.etag"]
    except (KeyError, TypeError, ValueError) as odd:
        raise ContractError("read", table.logical_name, detail="a record has no id or no version") from odd
    row["@table"] = table.logical_name
    for name in [name for name in row if name.startswith("_") and name.endswith("_value")]:
        if (record_id := row[name]) is not None:
            column = name.removeprefix("_").removesuffix("_value")
            row[column] = _reference(table, column, record_id, row.get(f"{name}@{_TARGET}"))
    return row


def _reference(table: TableMetadata, column: str, record_id: str, target: str | None) -> str | None:
    """A lookup's value as the product knows it. The table need not be told where there is one to choose from."""
    targets = tuple(table.columns[column].navigation) if column in table.columns else ()
    if target is None and len(targets) > 1:  # taken for blank, it would be overwritten
        raise ContractError("read", table.logical_name, detail=f"the table that '{column}' points to is not told")
    return lookup_value(target or targets[0], record_id) if target or targets else None
