"""The connections that lead to a sandbox, out of its ready file, as Airflow's API and `airflow connections import` read
them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.server.certificates import write_private


def sandbox_connections(ready: Mapping[str, Any], ca_bundle: str | None = None) -> dict[str, dict[str, Any]]:
    """Connection id -> fields, `extra` as an object.

    Args:
        ready: what the ready file holds.
        ca_bundle: where those who connect find the certificate to trust, unless it is where the sandbox keeps it.
    """
    trusted = ca_bundle or ready["ca_bundle"]
    return {
        "dynamics_default": {
            "conn_type": "dynamics",
            "description": "The sandbox's first organisation.",
            "host": ready["organizations"][0]["url"],
            "login": ready["client_id"],
            "password": ready["client_secret"],
            "extra": {
                "tenant_id": ready["tenant_id"],
                "authority": ready["authority"],
                "sandbox": True,
                "ca_bundle": trusted,
            },
        },
        "captello_default": {
            "conn_type": "captello",
            "description": "The sandbox's Captello.",
            "host": ready["capture_url"],
            "password": ready["capture_key"],
            "extra": {
                "auth": "api_key",
                "ca_bundle": trusted,
                "webhook_secret": ready["capture_webhook_secret"],
            },
        },
    }


def main() -> None:
    """Write the file for `airflow connections import`, readable by its owner only."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.connections", description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True, help="the sandbox's")
    parser.add_argument("--ca-bundle", help="where those who connect find the certificate")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    found = sandbox_connections(json.loads(options.ready_file.read_bytes()), options.ca_bundle)
    write_private(options.out, json.dumps(found).encode())


if __name__ == "__main__":
    main()
