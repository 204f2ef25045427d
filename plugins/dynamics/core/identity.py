"""Decides under which id a record is created, and what "the same content" and "the same person" mean as hashes.

Everything here is frozen: ids and hashes of years ago stand in the ledger and are compared with today's. The golden
file `tests/unit/core/golden_ids.json` fails when a derivation changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from json.encoder import encode_basestring_ascii
from uuid import UUID, uuid5

NAMESPACE = UUID("60387f53-b4cd-40bd-8ea8-44ed39181e39")


def mint_record_id(organization_id: UUID, table: str, source: str, prospect_id: str, generation: int = 0) -> UUID:
    """The id under which this prospect's record of this table is created in this organisation.

    The same arguments give the same id for ever, so a repeated create meets itself. A new `generation` (0, 1, ...) is a
    new record after a person removed the former one.
    """
    return uuid5(NAMESPACE, json.dumps([str(organization_id), table, source, prospect_id, generation]))


def mint_extra_id(organization_id: UUID, table: str, *about: str) -> UUID:
    """The id of what is made beside a person's record: an account, a campaign response, a membership, a note.

    `about` says what it is made for, in a fixed order; whoever makes it for the same, makes it under the same id.
    """
    return uuid5(NAMESPACE, json.dumps(["extra", str(organization_id), table, *about]))


def value_hash(value: object) -> str:
    """16 hex characters over one column's JSON value; numbers that are equal hash equally (1 and 1.0)."""
    return blake2b(_canonical(value).encode("ascii"), digest_size=8).hexdigest()


def column_hashes(values: Mapping[str, object]) -> dict[str, str]:
    """The hash of each column's value."""
    return {column: value_hash(value) for column, value in values.items()}


def content_hash(values: Mapping[str, object]) -> str:
    """32 hex characters over all columns and values, whatever their order."""
    return blake2b(_canonical(values).encode("ascii"), digest_size=16).hexdigest()


def person_key(kind: str, key: str) -> str:
    """32 hex characters standing for a match key in the ledger, so that no plain address or name stands there.

    Args:
        kind: "email" or "name".
        key: as `normalize.email_key` or `normalize.name_key` gave it.
    """
    return blake2b(_canonical([kind, key]).encode("ascii"), digest_size=16, person=b"person-key").hexdigest()


def _canonical(value: object) -> str:
    """JSON with sorted keys, ASCII only, no blanks, integral numbers without a point. Quick for what columns hold."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, (float, Decimal)):
        return str(int(value)) if value == int(value) else repr(float(value))
    if isinstance(value, Mapping):
        pairs = sorted((encode_basestring_ascii(str(key)), _canonical(item)) for key, item in value.items())
        return "{" + ",".join(f"{key}:{item}" for key, item in pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_canonical, value)) + "]"
    raise TypeError(f"no JSON value: {type(value).__name__}")
