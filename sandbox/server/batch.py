"""Carries out a `$batch`: in order, stopping at the first error unless told otherwise, change sets as one.

The multipart form is `multipart`'s, the meaning of each request the organisation's.

Source: learn.microsoft.com, "Execute batch operations using the Web API".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote
from uuid import uuid4

from sandbox.dataverse import Caller, Request, Response
from sandbox.server import multipart
from sandbox.server.answers import JSON_TYPE, error_body, fault_answer, styled
from sandbox.server.environment import Environment
from sandbox.server.faults import Call, FaultPlan
from sandbox.server.journal import Entry, Journal
from sandbox.server.multipart import Answer, ChangeSet, Part
from sandbox.server.target import Target, decode, operation_of

MAX_PART_URL = 65_536
_BODY_REFERENCE = re.compile(rb'("(?:[^"\\]*@odata\.bind|@odata\.id)"\s*:\s*")/?\$(\d+)((?:/[^"]*)?")')
_URL_REFERENCE = re.compile(r"(?:.*/)?\$(\d+)((?:[/?].*)?)")


class UnknownReferenceError(Exception):
    """A `$n` that names nothing said before in its change set."""


@dataclass(frozen=True)
class Outcome:
    """The answer to the whole batch."""

    status: int
    content_type: str
    body: bytes
    rows: int = 0
    committed: bool = False
    code: str | None = None
    broken_off: bool = False  # a part's fault breaks the connection: nothing is answered


class BatchRun:
    """One `$batch` being carried out."""

    def __init__(
        self, environment: Environment, caller: Caller, journal: Journal, faults: FaultPlan, whole: Entry
    ) -> None:
        self._environment = environment
        self._caller = caller
        self._journal = journal
        self._faults = faults
        self._whole = whole
        self._origins = {environment.url}
        self._rows = 0
        self._committed = False
        self._broken_off = False

    def run(self, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Carry out a batch and write its answer."""
        self._origins.add(f"https://{headers.get('host', '')}")
        try:
            items = multipart.parse(headers.get("content-type", ""), body)
        except multipart.MalformedBatchError as error:
            return Outcome(400, JSON_TYPE, error_body("0x80060888", str(error)), code="0x80060888")
        go_on = "odata.continue-on-error" in headers.get("prefer", "").lower()
        answers: list[Answer | list[Answer]] = []
        status = 200
        for item in items:
            done = self._change_set(item) if isinstance(item, ChangeSet) else self._single(item)
            answers.append(done)
            if self._broken_off:
                break
            if isinstance(done, Answer) and done.status >= 400 and not go_on:
                status = done.status
                break
        boundary = f"batchresponse_{uuid4()}"
        inner = [f"changesetresponse_{uuid4()}" for done in answers if not isinstance(done, Answer)]
        return Outcome(
            status,
            f"multipart/mixed; boundary={boundary}",
            multipart.render(answers, boundary, inner),
            self._rows,
            self._committed,
            broken_off=self._broken_off,
        )

    def _single(self, part: Part) -> Answer:
        response, entry = self._carry_out(part, {})
        self._settle([(response, entry)])
        return self._as_answer(response, None)

    def _change_set(self, change_set: ChangeSet) -> Answer | list[Answer]:
        references: dict[str, str] = {}
        done: list[tuple[Response, Entry]] = []
        answers: list[Answer] = []
        with self._environment.organization.transaction() as transaction:
            for part in change_set.parts:
                response, entry = self._carry_out(part, references)
                if response.status >= 400:
                    transaction.rollback()
                    undone = [*done, (response, entry)]
                    self._settle([(replace(each, committed=False), its) for each, its in undone])
                    return self._as_answer(response, part.content_id)
                done.append((response, entry))
                answers.append(self._as_answer(response, part.content_id))
                if part.content_id is not None:
                    references[part.content_id] = _reference(response, entry.path)
        self._settle(done)
        return answers

    def _carry_out(self, part: Part, references: Mapping[str, str]) -> tuple[Response, Entry]:
        """Send one part to the organisation. Nothing is journalled yet: a change set may still be undone."""
        entry = self._journal.open(self._environment.clock(), part.method, part.target, parent=self._whole.seq)
        entry.caller, entry.organization = self._whole.caller, self._whole.organization
        entry.server = self._whole.server
        try:
            target = decode(_resolved_url(part.target, references))
            body = _resolved_body(part.body, references)
        except UnknownReferenceError as error:
            return _refused(400, "0x80060888", str(error)), entry
        entry.path = target.text
        path = self._path_of(part, target)
        if isinstance(path, Response):
            return path, entry
        entry.operation = operation_of(part.method, path, "if-match" in part.headers)
        entry.table = self._environment.organization.table_of(path)
        request = Request(part.method, path, target.query, part.headers, body, self._caller)
        return self._under_fault(request, target, entry), entry

    def _path_of(self, part: Part, target: Target) -> str | Response:
        if len(part.target) > MAX_PART_URL:
            return _refused(414, "0x80060888", f"The URL of a batch operation is limited to {MAX_PART_URL} characters.")
        whole_url = "://" in part.target.partition("?")[0]
        if whole_url and "/".join(part.target.split("/", 3)[:3]) not in self._origins:
            return _refused(400, "0x80060888", "The URL of a batch operation names another service.")
        path = target.service_path
        if path is None and not whole_url and not target.path.startswith("/"):
            path = target.path
        if path is None:
            return _refused(404, "0x8006088a", f"Resource not found for the segment '{target.path[1:]}'.")
        if path.startswith("$batch"):
            return _refused(400, "0x80060888", "A batch cannot hold another batch.")
        return path

    def _under_fault(self, request: Request, target: Target, entry: Entry) -> Response:
        """Have the organisation answer a part, unless its fault has it answered otherwise or the connection broken."""
        organization, environment = self._environment.organization, self._environment
        fault = None
        if self._faults.has_inner:
            where = (environment.index, environment.organization_id)
            call = Call(request.method, target.path, entry.table, entry.operation, where, environment.port, inner=True)
            fault = self._faults.fault_for(call)
        if fault is None or fault.effect in ("delay", "hang"):  # of whole requests only
            return organization.handle(request)
        entry.fault = fault.effect
        if fault.effect in ("edit", "schema"):
            environment.interfere(fault, call)
            return organization.handle(request)
        self._broken_off = fault.effect != "status"
        if fault.effect == "drop_after_commit":
            return organization.handle(request)
        status, headers, body = fault_answer(fault)
        done = organization.handle(request) if fault.committed else Response(status, table=entry.table)
        return replace(done, status=status, headers=tuple(headers), body=body, code=fault.code)

    def _as_answer(self, response: Response, content_id: str | None) -> Answer:
        """A response as a part; an error names its request, and everything names the protocol."""
        headers = {"OData-Version": "4.0", **dict(response.headers)}
        if response.status >= 400:
            headers = {"REQ_ID": str(uuid4()), **headers}
        if "OData-EntityId" in headers:
            headers["Location"] = headers["OData-EntityId"]
        shown = styled(headers.items(), self._environment.settings.id_headers)
        return Answer(response.status, shown, response.body, content_id)

    def _settle(self, done: list[tuple[Response, Entry]]) -> None:
        for response, entry in done:
            note(entry, response)
            self._journal.close(entry)
            self._rows += response.rows
            if response.committed:
                self._committed = True
                self._journal.record(response.changes)


def note(entry: Entry, response: Response) -> None:
    """Fill a journal entry with what the organisation did."""
    entry.status, entry.code, entry.committed = response.status, response.code, response.committed
    entry.table = response.table or entry.table
    entry.operation = response.operation or entry.operation
    entry.rows, entry.ids = response.rows, tuple(record_id for _, _, record_id in response.changes)


def _refused(status: int, code: str, message: str) -> Response:
    return Response(status, (("Content-Type", JSON_TYPE),), error_body(code, message), code=code)


def _reference(response: Response, path: str) -> str:
    """The path `$n` stands for: where the record is, from the service root; empty if there is none.

    Args:
        path: of the request, for an answer with a representation: it names no record in its headers.
    """
    for name, value in response.headers:
        if name.lower() == "odata-entityid":
            return decode(value).service_path or ""
    table_set = (Target(path, ()).service_path or "").partition("(")[0].partition("?")[0]
    outer = (record_id for _, table, record_id in response.changes if table == response.table)
    return next((f"{table_set}({record_id})" for record_id in outer), "")


def _resolved_url(target: str, references: Mapping[str, str]) -> str:
    found = _URL_REFERENCE.fullmatch(target)
    if found is None:
        return target
    return f"/api/data/v9.2/{quote(_look_up(found[1], references))}{found[2]}"


def _resolved_body(body: bytes, references: Mapping[str, str]) -> bytes:
    if b'"$' not in body and b'"/$' not in body:
        return body
    return _BODY_REFERENCE.sub(
        lambda found: found[1] + b"/" + _look_up(found[2].decode(), references).encode() + found[3], body
    )


def _look_up(content_id: str, references: Mapping[str, str]) -> str:
    if not references.get(content_id):
        raise UnknownReferenceError(f"Content-ID Reference: '${content_id}' does not exist in the batch context.")
    return references[content_id]
