"""Sums up many rows in a few numbers, so that a judge can compare a million of them without carrying them over.

The order of the rows does not matter: what is compared is the sum of their hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import orjson

SIZE = 16  # bytes of a hash
MODULUS = 1 << 8 * SIZE


def digest(rows: Iterable[Sequence[object]]) -> dict[str, object]:
    """Count and hash rows.

    Args:
        rows: the values of some columns, always in the same order; None where a row has none.
    Returns:
        `rows`, how many there are; `distinct`, how many of them differ; `sum`, equal for equal rows in any order.
    """
    count, total = 0, 0
    seen: set[bytes] = set()
    for row in rows:
        hashed = blake2b(orjson.dumps(list(row)), digest_size=SIZE).digest()
        count += 1
        total = (total + int.from_bytes(hashed)) % MODULUS
        seen.add(hashed)
    return {"rows": count, "distinct": len(seen), "sum": f"{total:032x}"}
