"""The CRM port in memory: records with versions, and knobs to refuse, lose answers or let a person edit in between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dynamics.core.crm import (
    CandidateQuery,
    JsonObject,
    Organization,
    RecordWrite,
    WriteReport,
    WriteResult,
    WriteState,
)
from dynamics.core.lookup import LookupKey, LookupMiss, lookup_answers, lookup_queries, parse_lookup, references
from dynamics.core.metadata import Column, RequiredLevel, TableMetadata
from dynamics.core.throttle import Traffic

US = UUID(int=1)
SOMEBODY = UUID(int=2)
STAMP = "2026-03-01T08:00:00Z"


OTHERS: dict[str, TableMetadata] = {
    "account": TableMetadata(
        "account",
        "accounts",
        "accountid",
        {
            "name": Column("name", "String", RequiredLevel.APPLICATION, max_length=160),
            "websiteurl": Column("websiteurl", "String", max_length=200),
            "statecode": Column("statecode", "State"),
            "ownerid": Column("ownerid", "Owner", navigation={"systemuser": "ownerid"}),
        },
    ),
    "campaign": TableMetadata(
        "campaign", "campaigns", "campaignid", {"codename": Column("codename", "String", max_length=32)}
    ),
    "systemuser": TableMetadata(
        "systemuser", "systemusers", "systemuserid", {"internalemailaddress": Column("internalemailaddress", "String")}
    ),
    "list": TableMetadata("list", "lists", "listid", {"listname": Column("listname", "String", max_length=128)}),
    "campaignresponse": TableMetadata(
        "campaignresponse",
        "campaignresponses",
        "activityid",
        {
            **{name: Column(name, "String", max_length=200) for name in ("subject", "firstname", "lastname")},
            **{name: Column(name, "String", max_length=100) for name in ("companyname", "emailaddress", "telephone")},
            "description": Column("description", "Memo", max_length=2000),
            "receivedon": Column("receivedon", "DateTime"),
            "responsecode": Column("responsecode", "Integer"),
            "channeltypecode": Column("channeltypecode", "Integer"),
        },
    ),
    "annotation": TableMetadata(
        "annotation",
        "annotations",
        "annotationid",
        {
            "subject": Column("subject", "String", max_length=500),
            "notetext": Column("notetext", "Memo", max_length=100_000),
        },
    ),
}
LOOKUPS = {
    "ownerid": Column("ownerid", "Owner", navigation={"systemuser": "ownerid"}),
    "campaignid": Column("campaignid", "Lookup", navigation={"campaign": "campaignid"}),
    "parentaccountid": Column("parentaccountid", "Lookup", navigation={"account": "parentaccountid"}),
    "parentcustomerid": Column("parentcustomerid", "Customer", navigation={"account": "parentcustomerid_account"}),
}


def _table(name: str) -> TableMetadata:
    if name in OTHERS:
        return OTHERS[name]
    texts = ("subject", "firstname", "lastname", "emailaddress1", "jobtitle", "mobilephone", "companyname")
    required = {"lastname": RequiredLevel.APPLICATION}
    columns = {
        text: Column(text, "String", required.get(text, RequiredLevel.NONE), max_length=100)
        for text in (*texts, "description")
        if name == "lead" or text not in ("subject", "companyname")
    }
    columns |= LOOKUPS
    return TableMetadata(name, f"{name}s", f"{name}id", columns)


@dataclass
class FakeCrm:
    """`lose` decides per write whether its answer is lost after it was committed; `refuse` gives a code per write."""

    organization_id: UUID
    tables: dict[str, dict[UUID, dict[str, Any]]] = field(
        default_factory=lambda: {table: {} for table in ("lead", "contact", *OTHERS)}
    )
    members: dict[UUID, set[UUID]] = field(default_factory=dict)  # of lists
    refuse: Callable[[str, RecordWrite], str | None] = lambda table, write: None
    lose: Callable[[str, RecordWrite], bool] = lambda table, write: False
    before_update: Callable[[str, UUID], None] = lambda table, record_id: None
    lag: set[UUID] = field(default_factory=set)  # records that queries do not see yet
    requests: int = 0
    traffic: Traffic = field(default_factory=lambda: Traffic(sending=8))
    writes: int = 0

    def organization(self) -> Organization:
        return Organization(self.organization_id, frozenset({US}), "https://crm.example")

    def missing_privileges(self, needed: Sequence[str]) -> dict[UUID, list[str]]:
        return {}

    def metadata(self, table: str) -> TableMetadata:
        return _table(table)

    def put(self, table: str, record_id: UUID, values: Mapping[str, Any], by: UUID = SOMEBODY) -> None:
        """A record as somebody made or changed it."""
        record = self.tables[table].setdefault(
            record_id, {"statecode": 0, "createdon": STAMP, "modifiedon": STAMP, "by": by, "version": 0}
        )
        record |= values
        record["version"] += 1

    def find(self, queries: Sequence[CandidateQuery]) -> list[JsonObject]:
        self.requests += 1
        found: dict[tuple[str, UUID], JsonObject] = {}
        for query in queries:
            for record_id, record in self.tables[query.table].items():
                wanted = all(
                    str(record.get(column) or "").lower() in {v.lower() for v in values}
                    for column, values in query.where
                )
                if wanted and record_id not in self.lag and (record["statecode"] == 0 or not query.only_active):
                    found[query.table, record_id] = self._wire(query.table, record_id)
        return list(found.values())

    def read(self, table: str, record_ids: Sequence[UUID], select: Sequence[str]) -> list[JsonObject]:
        self.requests += 1
        return [self._wire(table, record_id) for record_id in record_ids if record_id in self.tables[table]]

    def look_up(self, keys: Collection[LookupKey]) -> dict[LookupKey, str | LookupMiss]:
        if not keys:
            return {}
        return lookup_answers(keys, self.find(lookup_queries(keys, {key.table: _table(key.table) for key in keys})))

    def create(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        return self._write(table, writes, self._create)

    def update(self, table: str, writes: Sequence[RecordWrite]) -> WriteReport:
        return self._write(table, writes, self._update)

    def add_members(self, list_id: UUID, table: str, member_ids: Sequence[UUID]) -> WriteReport:
        def add(_: str, write: RecordWrite) -> WriteResult:
            if (code := self.refuse("listmember", write)) is not None:
                return WriteResult(write.record_id, WriteState.REFUSED, code=code, message="refused")
            self.members.setdefault(list_id, set()).add(write.record_id)
            return WriteResult(write.record_id, WriteState.DONE)

        return self._write("listmember", [RecordWrite(each, {}) for each in member_ids], add)

    def _write(
        self, table: str, writes: Sequence[RecordWrite], one: Callable[[str, RecordWrite], WriteResult]
    ) -> WriteReport:
        self.requests += 1
        results = {}
        for write in writes:
            result = one(table, write)
            if result.state is WriteState.DONE:
                self.writes += 1
                if self.lose(table, write):
                    result = WriteResult(write.record_id, WriteState.UNKNOWN)
            results[write.record_id] = result
        return WriteReport(results)

    def _create(self, table: str, write: RecordWrite) -> WriteResult:
        if write.record_id in self.tables[table]:
            return WriteResult(write.record_id, WriteState.EXISTS, code="0x80040237")
        if any(not self._exists(reference) for reference in references(write.values.values())):
            return WriteResult(write.record_id, WriteState.TARGET_GONE, code="0x80040217")
        if (code := self.refuse(table, write)) is not None:
            return WriteResult(write.record_id, WriteState.REFUSED, code=code, column="jobtitle", message="refused")
        self.put(table, write.record_id, write.values, by=US)
        return WriteResult(write.record_id, WriteState.DONE)

    def _update(self, table: str, write: RecordWrite) -> WriteResult:
        self.before_update(table, write.record_id)
        if write.record_id not in self.tables[table]:
            return WriteResult(write.record_id, WriteState.GONE, code="0x80040217")
        if self._wire(table, write.record_id)["@etag"] != write.etag:
            return WriteResult(write.record_id, WriteState.STALE, code="0x80060882")
        self.put(table, write.record_id, write.values)
        return WriteResult(write.record_id, WriteState.DONE)

    def _exists(self, reference: str) -> bool:
        table, record_id = parse_lookup(reference)
        return record_id in self.tables[table]

    def _wire(self, table: str, record_id: UUID) -> JsonObject:
        record = self.tables[table][record_id]
        hidden = {"by", "version"}
        columns = dict.fromkeys(self.metadata(table).columns) | {k: v for k, v in record.items() if k not in hidden}
        return columns | {
            "@table": table,
            "@id": str(record_id),
            "@etag": f'W/"{record["version"]}"',
            "_createdby_value": str(record["by"]),
        }
