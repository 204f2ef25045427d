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
from sandbox.server.access import ForbiddenError, UnauthorizedError, admit, challenge
from sandbox.server.answers import Reply, fault_answer
from sandbox.server.authority import Authority
from sandbox.server.batch import BatchRun, Outcome, note
from sandbox.server.environment import Environment
from sandbox.server.exchange import ENTRY, MAX_BODY_BYTES, TARGET, BrokenOffError
from sandbox.server.faults import Call, Fault, FaultPlan
from sandbox.server.journal import Entry, Journal
from sandbox.server.settings import Limits
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
        return Reply(request, self._environment).send(*fault_answer(fault))

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any request to this port."""
        environment, entry = self._environment, request[ENTRY]
        server = entry.server = environment.server_for(request.cookies.get(AFFINITY_COOKIE))
        reply = Reply(request, environment, server)
        try:
            caller = admit(self._authority, environment, request.headers.get("Authorization"))
        except UnauthorizedError:
            return reply.send(401, [("WWW-Authenticate", challenge(self._authority_url, environment))], b"")
        except ForbiddenError as error:
            entry.code = error.code
            return reply.error(403, error.code, error.message)
        entry.caller = caller.client_id
        limits = environment.settings.limits
        if limits is None:
            return await self._carry_out(request, caller, reply)
        return await self._at_pace(request, caller, server, limits, reply)

    async def _at_pace(
        self, request: web.Request, caller: Caller, server: int, limits: Limits, reply: Reply
    ) -> web.Response:
        """Carry a request out if service protection lets it in, and count what it has cost."""
        loop = asyncio.get_running_loop()
        throttle, entry, user = self._environment.throttle, request[ENTRY], caller.client_id
        refusal = throttle.admit(limits, user, server, loop.time())
        reply.remaining = throttle.remaining(limits, user, server)
        if refusal is not None:
            entry.code = refusal.code
            return reply.error(429, refusal.code, refusal.message, [("Retry-After", str(refusal.retry_after_s))])
        try:
            return await self._carry_out(request, caller, reply)
        finally:
            latency = self._environment.settings.latency
            cost_s = latency.per_request_s + entry.rows * latency.per_row_s
            throttle.finish(user, server, loop.time(), cost_s)

    async def _carry_out(self, request: web.Request, caller: Caller, reply: Reply) -> web.Response:
        target, entry = request[TARGET], request[ENTRY]
        path, body = target.service_path, await request.read()
        if len(request.raw_path) > MAX_URL:
            return reply.error(414, "0x80060888", f"The URL is limited to {MAX_URL} characters.")
        if path is None:
            return reply.error(404, "0x8006088a", f"Resource not found for the segment '{target.path[1:]}'.")
        if len(body) > MAX_BODY_BYTES:
            return reply.error(413, "0x8004418a", "The request is too large.")
        latency = self._environment.settings.latency
        if latency.per_request_s:
            await asyncio.sleep(latency.per_request_s)
        status, headers, content = self._process(request, caller, path, body)
        if latency.per_row_s and entry.rows:
            await asyncio.sleep(latency.per_row_s * entry.rows)
        return reply.send(status, headers, content)

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
            if outcome.broken_off:
                raise BrokenOffError
            return outcome.status, [("Content-Type", outcome.content_type)], outcome.body
        organization = self._environment.organization
        response = organization.handle(Request(request.method, path, request[TARGET].query, headers, body, caller))
        note(entry, response)
        if response.committed:
            self._journal.record(response.changes)
        return response.status, list(response.headers), response.body


def _note_batch(entry: Entry, outcome: Outcome) -> None:
    entry.rows, entry.committed, entry.code = outcome.rows, outcome.committed, outcome.code
