"""`make demo-capture`: a signed capture to the running demo's webhook, and how long it took to reach Dynamics.

Signed as Captello signs, by the secret in the demo's connection. When it is in Dynamics is read from the sandbox's
journal: the moment at which the request was answered that created the record.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import requests

from dynamics.core.identity import mint_record_id
from sandbox.capture.webhooks import sign
from sandbox.demo.visitors import capture

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "captello_default"
POLL_S = 0.05


@dataclass(frozen=True)
class Landed:
    """A capture that has reached Dynamics. `answered_s`: until the webhook said 202; `landed_s`: until it was there."""

    answered_s: float
    landed_s: float
    record_url: str


class NotLandedError(RuntimeError):
    """The webhook refused it, or it did not come through in time; the text says what to look at."""


def post_capture(airflow_url: str, ready: Mapping[str, Any], timeout_s: float = 60.0) -> Landed:
    """Post one and wait for it. Raises NotLandedError."""
    prospect = capture()
    organization = ready["organizations"][0]
    record_id = str(mint_record_id(UUID(organization["organization_id"]), "lead", "captello", prospect["id"]))
    url = f"{airflow_url}/dynamics/webhooks/{SOURCE}"
    message_id, sent = f"msg_{secrets.token_hex(12)}", datetime.now(UTC)
    body = json.dumps(_message(message_id, sent, prospect)).encode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": sign(ready["capture_webhook_secret"], message_id, int(sent.timestamp()), body),
    }
    with _Journal(ready) as journal, requests.Session() as session:
        session.trust_env = False
        began = time.monotonic()
        answer = session.post(url, data=body, headers=headers, timeout=30)
        answered_s = time.monotonic() - began
        if answer.status_code != 202:
            raise NotLandedError(f"the webhook answered {answer.status_code}")
        while (landed_at := journal.created_at(record_id)) is None:
            if time.monotonic() - began > timeout_s:
                text = f"the webhook took it, but it is not in Dynamics after {timeout_s:.0f} s"
                raise NotLandedError(f"{text}: is the DAG dynamics_fulfillment switched on, and its task at work?")
            time.sleep(POLL_S)
    record_url = f"{organization['url']}/main.aspx?pagetype=entityrecord&etn=lead&id={record_id}"
    return Landed(answered_s, (landed_at - sent).total_seconds(), record_url)


def _message(message_id: str, sent: datetime, prospect: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "prospect.created",
        "api_version": "1",
        "account_id": "acc_1",
        "attempt": 1,
        "occurred_at": sent.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": prospect,
    }


class _Journal:
    """What the sandbox's organisation is asked from now on."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self._url = f"{ready['control_url']}/_sandbox/journal?table=lead"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ready["ca_bundle"]
        self._session.headers["X-Control-Key"] = ready["control_key"]
        self._before = 0
        self._before = max((entry["seq"] for entry in self._entries()), default=0)

    def created_at(self, record_id: str) -> datetime | None:
        """When the request was answered by which the record came to be; None while it is not there."""
        for entry in self._entries():
            if entry["committed"] and str(entry["operation"]).startswith("Create") and record_id in entry["ids"]:
                return datetime.fromisoformat(entry["at"]) + timedelta(seconds=entry["latency_s"])
        return None

    def _entries(self) -> list[dict[str, Any]]:
        answer = self._session.get(f"{self._url}&after={self._before}", timeout=30)
        answer.raise_for_status()
        entries: list[dict[str, Any]] = answer.json()
        return entries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo.capture", description=__doc__)
    parser.add_argument("--state", type=Path, default=ROOT / ".demo", help="where the demo keeps its state")
    state = parser.parse_args().state
    try:
        airflow_url = json.loads((state / "running.json").read_text())["airflow_url"]
        ready = json.loads((state / "sandbox/ready.json").read_text())
    except FileNotFoundError:
        print('No demo is up: start one with "make demo" in another terminal.', file=sys.stderr)
        return 1
    try:
        landed = post_capture(airflow_url, ready)
    except (NotLandedError, requests.ConnectionError) as error:
        print(f"demo-capture: {error}", file=sys.stderr)
        return 1
    print(f"POST {airflow_url}/dynamics/webhooks/{SOURCE}   202 after {1000 * landed.answered_s:.0f} ms")
    print(f"in Dynamics after {landed.landed_s:.2f} s: {landed.record_url}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
