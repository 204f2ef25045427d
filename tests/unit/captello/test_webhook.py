"""Signatures of webhooks, by the scheme's own example and by what may not pass."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dynamics.captello.webhook import is_signed

SECRET = "whsec_Y2FwdHVyZS1zb3VyY2UtdGVzdC1rZXktMzJieXRlcyE="
OTHER = "whsec_b3RoZXI="
BODY = b'{"type":"webhook.test"}'
SIGNATURE = "v1,FzVCT6ti2bx+2rvoTFOhoI56weI3ekDCpn13L1fbK6c="
SENT = 1741079730


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"secrets": (OTHER, SECRET)}, True),
        ({"signature": f"v1,AAAA {SIGNATURE}"}, True),
        ({"age": 300}, True),
        ({"age": -300}, True),
        ({"age": 301}, False),
        ({"age": -301}, False),
        ({"secrets": (OTHER,)}, False),
        ({"secrets": ()}, False),
        ({"body": BODY + b"\n"}, False),
        ({"message_id": "msg_test_0002"}, False),
        ({"timestamp": str(SENT + 1)}, False),
        ({"timestamp": ""}, False),
        ({"timestamp": "soon"}, False),
        ({"timestamp": "9" * 4000}, False),
        ({"signature": ""}, False),
        ({"signature": SIGNATURE.replace("v1,", "v2,")}, False),
        ({"signature": SIGNATURE.removeprefix("v1,")}, False),
    ],
)
def test_only_a_fresh_signature_of_an_active_secret_passes(change: dict[str, object], expected: bool) -> None:
    message: dict[str, object] = {
        "secrets": (SECRET,),
        "message_id": "msg_test_0001",
        "timestamp": str(SENT),
        "signature": SIGNATURE,
        "body": BODY,
    } | {name: value for name, value in change.items() if name != "age"}
    now = datetime.fromtimestamp(SENT + float(str(change.get("age", 0))), UTC)
    assert is_signed(now=now, **message) is expected  # type: ignore[arg-type]


def test_a_secret_that_is_none_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="no base64") as caught:
        is_signed(("whsec_canary!",), "m", str(SENT), SIGNATURE, BODY, datetime.fromtimestamp(SENT, UTC))
    assert "canary" not in str(caught.value)
