"""Finds the ids that stand in a file more than once, at eight bytes a prospect however long the ids are.

An id is remembered by a digest of 64 bits. Two ids may share one by chance, so what is found here is looked at again by
whoever asked (`files`), on the ids themselves.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

import numpy as np


class IdDigests:
    """The digests of a file's ids, in any order."""

    def __init__(self) -> None:
        self._digests = array("Q")

    def add(self, prospect_id: str) -> None:
        self._digests.append(_digest(prospect_id))

    def repeated(self) -> Repeats:
        """Those added more than once. Nothing may be added afterwards: they are sorted in place."""
        ordered = np.frombuffer(self._digests, dtype=np.uint64) if self._digests else np.empty(0, np.uint64)
        ordered.sort()
        return Repeats(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist())


class Repeats:
    """Ids that stand there more than once, or share a digest with one that does."""

    def __init__(self, digests: list[int]) -> None:
        self._digests = frozenset(digests)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, prospect_id: str) -> bool:
        return _digest(prospect_id) in self._digests


def _digest(prospect_id: str) -> int:
    # JSON can hold half of a surrogate pair, which UTF-8 cannot.
    return int.from_bytes(blake2b(prospect_id.encode("utf-8", "surrogatepass"), digest_size=8).digest())
