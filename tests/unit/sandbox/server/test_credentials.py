"""The sandbox's credentials: made once, and in the form their readers expect."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from sandbox.server.credentials import load_or_make


def test_the_webhook_secret_is_base64_as_the_signature_scheme_has_it_also_when_an_earlier_release_made_it(
    tmp_path: Path,
) -> None:
    for number in range(20):  # the alphabet of addresses shows in most secrets, not in all
        (tmp_path / str(number)).mkdir()
        made = load_or_make(tmp_path / str(number), 1)
        assert len(base64.b64decode(made.capture_webhook_secret.removeprefix("whsec_"), validate=True)) == 24
    file = tmp_path / "0" / "credentials.json"
    kept = json.loads(file.read_text()) | {"capture_webhook_secret": "whsec_ab-_" + "A" * 28}
    file.write_text(json.dumps(kept))
    assert load_or_make(tmp_path / "0", 1).capture_webhook_secret == "whsec_ab+/" + "A" * 28
