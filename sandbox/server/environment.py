"""One organisation as it stands behind its port: the organisation itself, its settings, its web servers.

What a row or query means is `sandbox.dataverse`'s; what a request costs and who may send it is decided here and
in the modules this one brings together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from sandbox.dataverse import Organization, OrganizationSettings
from sandbox.server.faults import Call, Fault
from sandbox.server.settings import EnvironmentSettings, merge
from sandbox.server.throttle import Throttle

ORGANIZATION_SETTINGS = TypeAdapter(OrganizationSettings)
ORGANIZATION_NAMES = frozenset(field.name for field in fields(OrganizationSettings))
ENVIRONMENT_NAMES = frozenset(EnvironmentSettings.model_fields)


class Environment:
    """An organisation, the settings of its servers, and what its users have used of them."""

    def __init__(
        self, index: int, organization_id: str, port: int, application_users: tuple[str, ...], host: str
    ) -> None:
        self.index = index
        self.organization_id = organization_id
        self.url = f"https://{host}:{port}"
        self.port = port
        self.settings = EnvironmentSettings()
        self.throttle = Throttle()
        self._turn = 0
        self.organization = Organization(UUID(organization_id), self.url, self.clock, name=f"sandbox{index + 1}")
        for number, client_id in enumerate(application_users, start=1):
            self.organization.register_application_user(client_id, f"Sandbox application {number}")

    def clock(self) -> datetime:
        """Now, as this organisation's servers see it."""
        return datetime.now(UTC) + timedelta(seconds=self.settings.clock_offset_s)

    def reset(self) -> None:
        """As freshly made: no rows but the seeded ones, default settings, nothing counted."""
        self.settings = EnvironmentSettings()
        self.throttle = Throttle()
        self.organization.reset()

    def configure(self, change: Mapping[str, object]) -> None:
        """Merge a change of settings, those of the organisation included; others' names are passed over.

        Raises:
            ValueError: a value of the wrong type or out of bounds; nothing has changed then.
        """
        own = {name: value for name, value in change.items() if name in ENVIRONMENT_NAMES}
        below = {name: value for name, value in change.items() if name in ORGANIZATION_NAMES}
        settings = self.settings.merged(own)
        if below:
            merged = merge(asdict(self.organization.settings), below)
            self.organization.settings = ORGANIZATION_SETTINGS.validate_python(merged)
        self.settings = settings

    def interfere(self, fault: Fault, call: Call) -> None:
        """What somebody else does just before a request is carried out: a person with a row, an administrator with the
        schema."""
        if fault.schema_change is not None:
            self.organization.change_schema(fault.schema_change)
        else:
            self.organization.edit(fault.edit_of(call))

    def described(self) -> dict[str, Any]:
        """All settings as JSON values."""
        of_organization = ORGANIZATION_SETTINGS.dump_python(self.organization.settings, mode="json")
        return {**self.settings.model_dump(mode="json"), **of_organization}

    def server_for(self, affinity: str | None) -> int:
        """The web server a request lands on: the one its cookie names, else the next in turn."""
        servers = self.settings.servers
        if affinity is not None:
            for server in range(servers):
                if self.affinity(server) == affinity:
                    return server
        self._turn = (self._turn + 1) % servers
        return self._turn

    def affinity(self, server: int) -> str:
        """The ARRAffinity cookie's value of a web server."""
        return sha256(f"{self.organization_id}/{server}".encode()).hexdigest()
