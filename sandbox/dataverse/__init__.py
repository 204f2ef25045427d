"""One Dataverse organisation held in memory: what the Web API would answer, without HTTP.

Synchronous and pure: no socket, no event loop, no clock of its own. Transport (TLS, tokens, `$batch` framing,
throttling, latency, faults) belongs to the server that calls `Organization.handle`.
Source: Microsoft Learn, "Use the Microsoft Dataverse Web API".
"""

from __future__ import annotations

from sandbox.dataverse.organization import Organization
from sandbox.dataverse.settings import OrganizationSettings
from sandbox.dataverse.store import Transaction
from sandbox.dataverse.wire import Caller, Request, Response

__all__ = ["Caller", "Organization", "OrganizationSettings", "Request", "Response", "Transaction"]
