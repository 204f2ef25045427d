"""Whether a webhook comes from whom it says, judged by its signature alone. Storing and repeats are for the receiver.

Source: Standard Webhooks, signature scheme v1 (HMAC-SHA-256 over id, timestamp and raw body).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

TOLERANCE_S = 300.0
PREFIX = "whsec_"


def is_signed(
    secrets: Sequence[str], message_id: str, timestamp: str, signature: str, body: bytes, now: datetime
) -> bool:
    """Say whether the raw body carries a fresh signature made with one of the secrets.

    Args:
        secrets: all that are active, `whsec_` and base64; two while one is replaced.
        message_id, timestamp, signature: the headers webhook-id, webhook-timestamp (Unix seconds), webhook-signature
            (`v1,<base64>`, several parted by blanks).
        body: as received, before any parsing.
        now: aware; a message more than `TOLERANCE_S` away from it, either way, is not fresh.
    Raises:
        ValueError: a secret is none; the text does not repeat it.
    """
    if not (timestamp.isascii() and timestamp.isdecimal()) or len(timestamp) > 12:
        return False
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
        return False
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    expected = [base64.b64encode(hmac.digest(_key(secret), signed, sha256)) for secret in secrets]
    given = [part[3:].encode() for part in signature.split(" ") if part.startswith("v1,")]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]  # all, in constant time
    return any(matches)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is no base64") from None
