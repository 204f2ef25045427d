"""Everything one sandbox holds, and the ways the control API changes it: reset, seed, settings.

Ports and processes are `server`'s; what each part means is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.capture import CaptureService
from sandbox.sample import generate
from sandbox.server.authority import Authority
from sandbox.server.certificates import Certificates, read_certificate
from sandbox.server.credentials import Credentials
from sandbox.server.environment import ENVIRONMENT_NAMES, ORGANIZATION_NAMES, Environment
from sandbox.server.faults import FaultPlan
from sandbox.server.journal import Journal
from sandbox.server.settings import HubSettings

CAPTURE_PARTS = ("prospects", "events", "forms", "users", "fields")
HUB_NAMES = frozenset(HubSettings.model_fields)


class World:
    """One authority, several organisations, one capture account, one journal.

    Args:
        hub_port: where authority, capture API and control API listen.
        organization_ports: one for each organisation.
        host: what all of them call themselves.
    """

    def __init__(
        self,
        credentials: Credentials,
        certificates: Certificates,
        hub_port: int,
        organization_ports: Sequence[int],
        host: str = "localhost",
    ) -> None:
        self.credentials = credentials
        self.certificates = certificates
        self.hub_url = f"https://{host}:{hub_port}"
        self.hub_port = hub_port
        self.journal = Journal()
        self.faults = FaultPlan()
        self.expected_balance: dict[str, int] | None = None  # of a sync of the sample, once it is loaded
        self.authority = Authority(credentials, read_certificate(certificates.client), utc_now)
        self.environments = [
            Environment(index, organization_id, port, credentials.application_users, host)
            for index, (organization_id, port) in enumerate(
                zip(credentials.organization_ids, organization_ports, strict=False)
            )
        ]
        self.authority.audiences = frozenset(environment.url for environment in self.environments)
        self.capture = CaptureService(
            utc_now,
            keys=(credentials.capture_key,),
            clients={credentials.client_id: credentials.client_secret},
            webhook_secret=credentials.capture_webhook_secret,
        )

    @property
    def authority_url(self) -> str:
        """What a client is given as its authority."""
        return f"{self.hub_url}/{self.credentials.tenant_id}"

    def ready(self) -> dict[str, Any]:
        """All a client needs to connect; holds secrets, so it goes to a private file and nowhere else."""
        credentials = self.credentials
        return {
            "organizations": [
                {
                    "url": environment.url,
                    "organization_id": environment.organization_id,
                    "name": environment.organization.name,
                }
                for environment in self.environments
            ],
            "authority": self.authority_url,
            "ca_bundle": str(self.certificates.ca_bundle),
            "tenant_id": credentials.tenant_id,
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "application_users": list(credentials.application_users),
            "certificate": str(self.certificates.client),
            "capture_url": self.hub_url,
            "capture_key": credentials.capture_key,
            "capture_webhook_secret": credentials.capture_webhook_secret,
            "control_url": self.hub_url,
            "control_key": credentials.control_key,
            "sample": None if self.expected_balance is None else {"expected_balance": self.expected_balance},
        }

    def reset(self) -> None:
        """As freshly started, credentials and issued tokens kept."""
        self.authority.settings = HubSettings()
        for environment in self.environments:
            environment.reset()
        self.capture.reset()
        self.faults.replace([])
        self.journal.clear()
        self.expected_balance = None

    def configure(self, change: Mapping[str, object], environments: Iterable[Environment]) -> None:
        """Merge a change into the settings of the hub and of some organisations.

        Raises:
            ValueError: an unknown name, or a value of the wrong type or out of bounds.
        """
        unknown = sorted(change.keys() - HUB_NAMES - ENVIRONMENT_NAMES - ORGANIZATION_NAMES)
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(unknown)}")
        self.authority.configure({name: value for name, value in change.items() if name in HUB_NAMES})
        for environment in environments:
            environment.configure(change)

    def settings(self, environment: Environment) -> dict[str, Any]:
        """The settings in force for an organisation, the hub's included."""
        return {**self.authority.settings.model_dump(mode="json"), **environment.described()}

    def seed(self, content: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
        """Load a generated sample, rows of tables and prospects; says how many of each, and what a sync must do.

        Raises:
            ValueError: an unknown name at the top.
        """
        unknown = sorted(content.keys() - {"sample", "tables", *CAPTURE_PARTS})
        if unknown:
            raise ValueError(f"unknown names: {', '.join(unknown)}")
        loaded: dict[str, Any] = {}
        if "sample" in content:
            options = dict(content["sample"])
            if "now" in options:
                options["now"] = datetime.fromisoformat(options["now"])
            sample = generate(**options)
            self.capture.load(sample.prospects, sample.events, sample.forms, sample.users, sample.fields)
            self.expected_balance = sample.expected_balance
            loaded |= {"prospects": len(sample.prospects), "expected_balance": sample.expected_balance}
            loaded |= self._load_tables(sample.crm, environment)
        loaded |= self._load_tables(content.get("tables", {}), environment)
        parts = {name: content[name] for name in CAPTURE_PARTS if name in content}
        if parts:
            self.capture.load(**parts)
            loaded |= {name: len(rows) for name, rows in parts.items()}
        return loaded

    def _load_tables(self, tables: Mapping[str, Iterable[Mapping[str, object]]], into: Environment) -> dict[str, int]:
        return {table: into.organization.load(table, rows) for table, rows in tables.items()}


def utc_now() -> datetime:
    """The clock of authority and capture API; each organisation may have its own offset."""
    return datetime.now(UTC)
