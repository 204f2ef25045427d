"""Webhooks as Captello sends them, for tests and drills: signed by the sandbox's own code, not by ours."""

from __future__ import annotations

import json
import time
from typing import Any

from sandbox.capture.webhooks import sign

SECRET = "whsec_Y2FwdHVyZS1zb3VyY2UtdGVzdC1rZXktMzJieXRlcyE="
OTHER_SECRET = "whsec_YW5vdGhlci1zb3VyY2UtdGVzdC1rZXktMzJieXRlcw=="


def prospect(name: str, **changes: Any) -> dict[str, Any]:
    """A whole prospect, captured at event evt_1 by form frm_1."""
    return {
        "id": f"pro_{name:0>8}",
        "revision": 1,
        "status": "active",
        "created_at": "2026-03-14T09:00:00.000Z",
        "updated_at": "2026-03-14T09:00:00.000Z",
        "first_name": "Ines",
        "last_name": f"Okafor{name}",
        "email": f"ines.{name}@mail.example",
        "submissions": [submission(name)],
        **changes,
    }


def submission(name: str, event: str = "evt_1", form: str = "frm_1") -> dict[str, Any]:
    at = "2026-03-14T09:00:00.000Z"
    ids = {"id": f"sub_{name:0>8}", "prospect_id": f"pro_{name:0>8}", "event": {"id": event}, "form": {"id": form}}
    return {**ids, "captured_at": at, "received_at": at, "method": "typed", "state": "complete"}


def message(message_id: str, kind: str = "prospect.created", data: Any = None, **changes: Any) -> bytes:
    head = {"id": message_id, "type": kind, "api_version": "1", "account_id": "acc_1", "attempt": 1}
    return json.dumps({**head, "occurred_at": "2026-03-14T09:00:00.000Z", "data": data or {}, **changes}).encode()


def signed(message_id: str, body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The three headers of a body."""
    timestamp = int(time.time() if at is None else at)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id, timestamp, body),
    }
