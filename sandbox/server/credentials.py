"""Decides who may sign in to the sandbox: made once for a state folder, kept, never printed.

A restart on the same folder keeps every id and secret, so saved connections go on working. How a secret is
checked is `authority`'s matter; which certificates exist is `certificates`'.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

import orjson

from sandbox.capture.webhooks import new_secret
from sandbox.server.certificates import write_private

APPLICATION_USERS = 3


@dataclass(frozen=True)
class Credentials:
    """Ids are public; every field without a repr is a secret."""

    tenant_id: str
    application_users: tuple[str, ...]
    client_secret: str = field(repr=False)
    capture_key: str = field(repr=False)
    capture_webhook_secret: str = field(repr=False)
    control_key: str = field(repr=False)
    organization_ids: tuple[str, ...] = ()

    @property
    def client_id(self) -> str:
        """The first application user: the one the ready file names."""
        return self.application_users[0]


def load_or_make(folder: Path, organizations: int) -> Credentials:
    """Give the credentials kept in `folder`, made if there are none, with ids for that many organisations."""
    path = folder / "credentials.json"
    kept = _read(path) if path.exists() else _make()
    missing = organizations - len(kept.organization_ids)
    if missing > 0 or not path.exists():
        more = tuple(str(uuid4()) for _ in range(missing))
        kept = Credentials(**{**asdict(kept), "organization_ids": kept.organization_ids + more})
        write_private(path, orjson.dumps(asdict(kept), option=orjson.OPT_INDENT_2))
    return kept


def _read(path: Path) -> Credentials:
    stored = orjson.loads(path.read_bytes())
    for name in ("application_users", "organization_ids"):
        stored[name] = tuple(stored[name])
    secret = stored["capture_webhook_secret"].removeprefix("whsec_")  # an older one may be in the URL-safe alphabet
    stored["capture_webhook_secret"] = f"whsec_{secret.replace('-', '+').replace('_', '/')}"
    return Credentials(**stored)


def _make() -> Credentials:
    return Credentials(
        tenant_id=str(uuid4()),
        application_users=tuple(str(uuid4()) for _ in range(APPLICATION_USERS)),
        # The shape of Entra's own secrets, tilde included, so that a client's escaping is put to the test.
        client_secret=f"{secrets.token_urlsafe(3)}~{secrets.token_urlsafe(24)}",
        capture_key=secrets.token_urlsafe(24),
        capture_webhook_secret=new_secret(),
        control_key=secrets.token_urlsafe(24),
    )
