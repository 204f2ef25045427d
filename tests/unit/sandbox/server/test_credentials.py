"""What a sandbox signs and is called with."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import SecretStr

from dynamics.config import captello_account
from dynamics.config.connections import ConnectionFields
from sandbox.server.credentials import load_or_make


def is_accepted(webhook_secret: str) -> bool:
    extra = {"webhook_secret": webhook_secret}
    key = SecretStr("key")
    return bool(
        captello_account(
            ConnectionFields("captello_default", "captello", "https://localhost", password=key, extra=extra)
        )
    )


def test_the_webhook_secret_is_one_that_a_connection_takes(tmp_path: Path) -> None:
    for number in range(50):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert is_accepted(load_or_make(folder, 1).capture_webhook_secret)


def test_a_kept_secret_in_the_older_alphabet_is_too(tmp_path: Path) -> None:
    load_or_make(tmp_path, 1)
    path = tmp_path / "credentials.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"capture_webhook_secret": "whsec_ab-_cdefghijklmnopqrstuvwxyz0123"})
    )
    assert is_accepted(load_or_make(tmp_path, 1).capture_webhook_secret)
