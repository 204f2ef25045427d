"""Wraps every request but those of the control API: journals it and lets faults happen to it.

Handlers below find their journal entry in the request and fill in what only they know. A dropped connection is
aborted, not closed: the client sees it break with no answer, and cannot tell whether the write went through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import sha256

from aiohttp import web

from sandbox.server.faults import Call, Fault, FaultPlan
from sandbox.server.journal import Entry, Journal
from sandbox.server.target import Target, decode

ENTRY = web.RequestKey("entry", Entry)
TARGET = web.RequestKey("target", Target)
CONTROL = "/_sandbox"
MAX_BODY_BYTES = 122_519_797  # 116.85 MB

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BrokenOffError(Exception):
    """The connection is to break while a request is being carried out."""


class Exchange:
    """The middleware of one port.

    Args:
        describe: what fault rules match of a request; also fills the entry's table and operation.
        refuse: the error answer of this port's service for a fault of effect `status`.
        interfere: changes a row or the schema behind the client's back, for faults of such effects; None where there
            are none.
    """

    def __init__(
        self,
        journal: Journal,
        faults: FaultPlan,
        clock: Callable[[], datetime],
        describe: Callable[[web.Request, Target, Entry], Call],
        refuse: Callable[[web.Request, Fault], web.Response],
        interfere: Callable[[Fault, Call], None] | None = None,
    ) -> None:
        self._journal = journal
        self._faults = faults
        self._clock = clock
        self._describe = describe
        self._refuse = refuse
        self._interfere = interfere

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Journal one request, with whatever fault it meets."""
        target = decode(request.raw_path)
        if target.path.startswith(CONTROL):
            return await handler(request)
        started = asyncio.get_running_loop().time()
        entry = self._journal.open(self._clock(), request.method, target.text)
        request[ENTRY], request[TARGET] = entry, target
        call = self._describe(request, target, entry)
        try:
            body = await request.read()
            if body and entry.operation != "Token":  # a digest of a short form with a secret is a clue to it
                entry.body_sha256 = sha256(body).hexdigest()
            response = await self._under_fault(request, handler, call)
        except BrokenOffError:
            return _drop(request)
        except web.HTTPException as raised:
            entry.status = raised.status
            raise
        finally:
            entry.latency_s = round(asyncio.get_running_loop().time() - started, 6)
            self._journal.close(entry)
        return response

    async def _under_fault(self, request: web.Request, handler: Handler, call: Call) -> web.StreamResponse:
        """Answer a request, unless its fault has it answered otherwise or not at all."""
        entry, fault = request[ENTRY], self._faults.fault_for(call)
        entry.status = 500  # stands if a handler fails
        if fault is not None:
            entry.fault = fault.effect
        match fault:
            case Fault(effect="delay"):
                await asyncio.sleep(fault.delay_s if fault.delay_s is not None else 1.0)
            case Fault(effect="status"):
                if fault.committed:
                    await handler(request)
                entry.status, entry.code = fault.status, fault.code
                return self._refuse(request, fault)
            case Fault(effect="edit" | "schema") if self._interfere is not None:
                self._interfere(fault, call)
            case Fault(effect="hang"):
                await _hang(request, fault.delay_s)
                return _drop(request)
            case Fault(effect="drop_before_commit"):
                return _drop(request)
            case Fault(effect="drop_after_commit"):
                await handler(request)
                return _drop(request)
        response = await handler(request)
        entry.status = response.status
        return response


async def _hang(request: web.Request, at_most_s: float | None) -> None:
    """Say nothing until the client goes away, or for so long."""
    loop = asyncio.get_running_loop()
    until = None if at_most_s is None else loop.time() + at_most_s
    while (
        request.transport is not None and not request.transport.is_closing() and (until is None or loop.time() < until)
    ):
        await asyncio.sleep(0.05)


def _drop(request: web.Request) -> web.Response:
    """Break the connection; the response returned goes nowhere, so the journal's status is 0."""
    request[ENTRY].status = 0
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
