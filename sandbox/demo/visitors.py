"""People who come to the demo's booth while it is up: invented, each with a name and an address of their own.

The demo's actions match by e-mail address or name: of two with one name the second would not be a new lead.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests

FIRST = ("Amara", "Björn", "Chiara", "Dmitri", "Elif", "Fatou", "Grzegorz", "Hana", "Ines", "João", "Kofi", "Léa")
WORK = ("Plant engineer", "Head of purchasing", "Maintenance lead", "Managing director", "Project manager")
COMPANIES = ("Halden Pumps", "Marlow Seals", "Nordkap Valves", "Orsini Motion", "Pelican Filters")
CONSONANTS, VOWELS, SYLLABLES = "bdfghjklmnprstvz", "aeiou", 4
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def visitor() -> dict[str, Any]:
    """One more person, as Captello takes a new prospect: no id, no dates."""
    company, surname = secrets.choice(COMPANIES), _surname()
    domain = company.lower().replace(" ", "-") + ".example"
    return {
        "first_name": secrets.choice(FIRST),
        "last_name": surname.capitalize(),
        "email": f"visitor.{surname}@{domain}",
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


def _surname() -> str:
    """One of 41 million."""
    return "".join(secrets.choice(CONSONANTS) + secrets.choice(VOWELS) for _ in range(SYLLABLES))


def _token(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
