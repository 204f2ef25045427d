"""People who come to the demo's booth while it is up: invented, each with an address of their own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests

FIRST = ("Amara", "Björn", "Chiara", "Dmitri", "Elif", "Fatou", "Grzegorz", "Hana", "Ines", "João", "Kofi", "Léa")
LAST = (
    "Abara",
    "Berg",
    "Conti",
    "Demir",
    "Eriksen",
    "Fofana",
    "Garcia",
    "Horvat",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lopes",
)
WORK = ("Plant engineer", "Head of purchasing", "Maintenance lead", "Managing director", "Project manager")
COMPANIES = ("Halden Pumps", "Marlow Seals", "Nordkap Valves", "Orsini Motion", "Pelican Filters")
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def visitor() -> dict[str, Any]:
    """One more person, as Captello takes a new prospect: no id, no dates."""
    first, last, company = secrets.choice(FIRST), secrets.choice(LAST), secrets.choice(COMPANIES)
    domain = company.lower().replace(" ", "-") + ".example"
    token = _token(5)
    return {
        "first_name": first,
        "last_name": last,
        "email": f"visitor.{token}@{domain}",
        "job_title": secrets.choice(WORK),
        "company": {"name": company, "domain": domain},
        "lead_source": "Trade show",
    }


class Booth:
    """Where people are captured: they are entered into the sandbox's Captello.

    Args:
        ready: what the sandbox's ready file holds.
    """

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self._url = f"{ready['capture_url']}/v1/prospects"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ready["ca_bundle"]
        self._session.headers["X-Api-Key"] = ready["capture_key"]

    def capture(self) -> None:
        """One more person. Raises requests.HTTPError when Captello does not take them."""
        self._session.post(self._url, json=visitor(), timeout=30).raise_for_status()


def capture(form_id: str = "frm_89", event_id: str = "evt_13") -> dict[str, Any]:
    """One more person, as a webhook tells of a prospect that was captured just now."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    prospect_id = f"pro_{_token(12)}"
    submission = {
        "id": f"sub_{_token(12)}",
        "prospect_id": prospect_id,
        "revision": 1,
        "captured_at": now,
        "received_at": now,
        "method": "typed",
        "state": "complete",
        "event": {"id": event_id},
        "form": {"id": form_id},
    }
    dated = {"id": prospect_id, "revision": 1, "status": "active", "created_at": now, "updated_at": now}
    return {**visitor(), **dated, "submissions": [submission]}


def _token(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
