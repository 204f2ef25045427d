"""The Web API of one organisation over HTTP: who may in, at what pace, at what cost, and the answer's dress.

The order is the service's: token, membership, service protection, then the request itself. Latency is waited
for outside the organisation, so that concurrent requests overlap: the request's own share before it is carried
out, the rows' share after.

Source: learn.microsoft.com, "Compose HTTP requests and handle errors", "Service protection API limits".
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from sandbox.dataverse import Caller, Request
from sandbox.server import answers
from sandbox.server.access import ForbiddenError, UnauthorizedError, admit, challenge
from sandbox.server.authority import Authority
from sandbox.server.batch import BatchRun, Outcome, note
from sandbox.server.environment import Environment
from sandbox.server.exchange import ENTRY, MAX_BODY_BYTES, TARGET
from sandbox.server.faults import Call, Fault, FaultPlan
from sandbox.server.journal import Entry, Journal
from sandbox.server.target import Target, operation_of

MAX_URL = 32_768
AFFINITY_COOKIE = "ARRAffinity"


class WebApi:
    """The handler of one organisation's port."""

    def __init__(
        self,
        environment: Environment,
        authority: Authority,
        authority_url: str,
        journal: Journal,
        faults: FaultPlan,
    ) -> None:
        self._environment = environment
        self._authority = authority
        self._authority_url = authority_url
        self._journal = journal
        self._faults = faults

    def describe(self, request: web.Request, target: Target, entry: Entry) -> Call:
        """What fault rules match of a request; notes the same in its entry."""
        environment = self._environment
        entry.organization = environment.organization_id
        path = target.service_path
        if path is not None:
            entry.operation = operation_of(request.method, path, "If-Match" in request.headers)
            entry.table = environment.organization.table_of(path)
        where = (environment.index, environment.organization_id)
        return Call(request.method, target.path, entry.table, entry.operation, where, environment.port)

    def refuse(self, request: web.Request, fault: Fault) -> web.Response:
        """The answer of a fault of effect `status`."""
        return self._answer(request, 0, answers.FULL_LIMITS, *answers.fault_answer(fault))

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any request to this port."""
        environment, entry = self._environment, request[ENTRY]
        server = entry.server = environment.server_for(request.cookies.get(AFFINITY_COOKIE))
        try:
            caller = admit(self._authority, environment, request.headers.get("Authorization"))
        except UnauthorizedError:
            header = ("WWW-Authenticate", challenge(self._authority_url, environment))
            return self._answer(request, server, answers.FULL_LIMITS, 401, [header], b"")
        except ForbiddenError as error:
            return self._error(request, server, 403, error.code, error.message)
        entry.caller = caller.client_id
        limits, throttle = environment.settings.limits, environment.throttle
        if limits is None:
            return await self._carry_out(request, caller, server, answers.FULL_LIMITS)
        loop = asyncio.get_running_loop()
        refusal = throttle.admit(limits, caller.client_id, server, loop.time())
        if refusal is not None:
            headers = [("Retry-After", str(refusal.retry_after_s))]
            return self._error(request, server, 429, refusal.code, refusal.message, headers)
        try:
            remaining = throttle.remaining(limits, caller.client_id, server)
            return await self._carry_out(request, caller, server, remaining)
        finally:
            latency = environment.settings.latency
            cost_s = latency.per_request_s + entry.rows * latency.per_row_s
            throttle.finish(caller.client_id, server, loop.time(), cost_s)

    async def _carry_out(
        self, request: web.Request, caller: Caller, server: int, remaining: tuple[int, float]
    ) -> web.Response:
        path = request[TARGET].service_path
        if len(request.raw_path) > MAX_URL:
            text = f"The URL is limited to {MAX_URL} characters."
            return self._error(request, server, 414, "0x80060888", text)
        if path is None:
            text = f"Resource not found for the segment '{request[TARGET].path.lstrip('/')}'."
            return self._error(request, server, 404, "0x8006088a", text)
        body = await request.read()
        if len(body) > MAX_BODY_BYTES:
            return self._error(request, server, 413, "0x8004418a", "The request is too large.")
        latency = self._environment.settings.latency
        if latency.per_request_s:
            await asyncio.sleep(latency.per_request_s)
        status, headers, content = self._process(request, caller, path, body)
        if latency.per_row_s and request[ENTRY].rows:
            await asyncio.sleep(latency.per_row_s * request[ENTRY].rows)
        return self._answer(request, server, remaining, status, headers, content)

    def _process(
        self, request: web.Request, caller: Caller, path: str, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """The work itself, in one step: no other request comes between."""
        entry = request[ENTRY]
        headers = {name.lower(): value for name, value in request.headers.items()}
        if "Prefer" in request.headers:  # may come several times
            headers["prefer"] = ",".join(request.headers.getall("Prefer"))
        if path.rstrip("/") == "$batch" and request.method == "POST":
            run = BatchRun(self._environment, caller, self._journal, self._faults, entry)
            outcome = run.run(headers, body)
            _note_batch(entry, outcome)
            return outcome.status, [("Content-Type", outcome.content_type)], outcome.body
        organization = self._environment.organization
        response = organization.handle(Request(request.method, path, request[TARGET].query, headers, body, caller))
        note(entry, response)
        if response.committed:
            self._journal.record(response.changes)
        return response.status, list(response.headers), response.body

    def _error(
        self,
        request: web.Request,
        server: int,
        status: int,
        code: str,
        message: str,
        headers: list[tuple[str, str]] | None = None,
    ) -> web.Response:
        request[ENTRY].code = code
        content_type = ("Content-Type", answers.JSON_TYPE)
        body = answers.error_body(code, message)
        return self._answer(request, server, answers.FULL_LIMITS, status, [*(headers or []), content_type], body)

    def _answer(
        self,
        request: web.Request,
        server: int,
        remaining: tuple[int, float],
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> web.Response:
        standard = answers.standard_headers(self._environment, server, remaining)
        return answers.answer(request, status, headers, body, standard)


def _note_batch(entry: Entry, outcome: Outcome) -> None:
    entry.rows, entry.committed, entry.code = outcome.rows, outcome.committed, outcome.code
