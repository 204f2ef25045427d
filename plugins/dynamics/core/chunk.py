"""A chunk of prospects on its way from claim to settlement, and the values the steps of the engine hand to each other.

Decides nothing. What the engine settles is noted here and reaches the ledger at the chunk's end, in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pandas as pd

from dynamics.core.crm import JsonObject, RecordWrite
from dynamics.core.identity import content_hash, value_hash
from dynamics.core.ledger import AttemptResult, Claim, Intent, Link, OpenAttempt, Outcome, Settlement
from dynamics.core.prospect import prospect_frame


@dataclass(frozen=True)
class Content:
    """What one prospect has to say about a record of one table: its own mapped values, and their hashes."""

    values: JsonObject
    column_hashes: Mapping[str, str]
    content_hash: str
    warnings: tuple[str, ...] = ()

    def with_company(self, column: str, account: str | None, problem: str | None) -> Content:
        """The same with the company's account. Without one the hash is another than the company's, so that the next
        sync tries again."""
        warnings = (*self.warnings, problem) if problem else self.warnings
        if account is None:
            return replace(self, content_hash=content_hash(self.values), warnings=warnings)
        hashes = {**self.column_hashes, column: value_hash(account)}
        return replace(self, values={**self.values, column: account}, column_hashes=hashes, warnings=warnings)


@dataclass
class Target:
    """One record that one or more prospects of the chunk go to. `members` are prospect keys, oldest first."""

    operation: str  # "create" | "update"
    table: str
    record_id: UUID
    members: list[int]
    record: JsonObject | None = None  # as read; None for a create
    matched_by: str | None = None
    duplicates_found: int = 0
    generation: int = 0
    values: JsonObject = field(default_factory=dict)  # to be sent
    defaults: JsonObject = field(default_factory=dict)  # of the mapping, for a create
    contents: dict[int, Content] = field(default_factory=dict)  # member -> its content

    @property
    def leader(self) -> int:
        return self.members[0]

    def as_write(self, isolated: bool) -> RecordWrite:
        """What is sent of it, on the version that was read."""
        return RecordWrite(self.record_id, self.values, self.record["@etag"] if self.record else None, isolated)


@dataclass(frozen=True)
class Release:
    """A prospect to be given back, to be taken up again after so many seconds."""

    prospect_key: int
    after_s: float
    reason: str


class Chunk:
    """A claim with its frame (indexed by prospect key) and what has been decided so far.

    `open` holds the prospects that have neither a settlement nor a release yet, in the order of the claim.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.frame: pd.DataFrame = prospect_frame(claim.items.set_index("prospect_key", drop=False))
        self.open: dict[int, None] = dict.fromkeys(int(key) for key in self.frame.index)
        self.settlements: list[Settlement] = []
        self.results: list[AttemptResult] = []
        self.releases: list[Release] = []
        self.suspects: dict[int, list[OpenAttempt]] = {}  # updates that may have landed: see recovery
        self.landed: set[int] = set()  # attempts of suspects whose values stand in the record as it was read
        self.links: dict[int, Link] = {}
        self.followed: set[int] = set()  # prospects whose link led to a record that was merged into another
        self.resent: dict[int, Intent] = {}  # creates that had not landed when looked at, and go out again as they were
        self.attempt_keys: dict[int, int] = {}  # attempt of this run -> the prospect that it was made for
        sources = zip(self.frame["source"], self.frame["prospect_id"], strict=True)
        self._identities = dict(zip(self.open, sources, strict=True))
        self._fences = {int(k): int(f) for k, f in zip(self.frame.index, self.frame["fence"], strict=True)}
        self._revisions = {int(k): int(r) for k, r in zip(self.frame.index, self.frame["revision"], strict=True)}
        self._attempts = {int(k): int(a) for k, a in zip(self.frame.index, self.frame["attempts"], strict=True)}

    def fence(self, key: int) -> int:
        return self._fences[key]

    def revision(self, key: int) -> int:
        return self._revisions[key]

    def identity(self, key: int) -> tuple[str, str]:
        """The prospect's source and its id there."""
        return self._identities[key]

    def late_create(self, members: Iterable[int], record_id: UUID) -> Target | None:
        """The create that has made this record after all, on its way for longer than anybody waited; None if it was not
        one of ours. Sent once more, it is told of by the id that is taken."""
        intents = (self.resent[key] for key in members if key in self.resent)
        intent = next((intent for intent in intents if intent.record_id == record_id), None)
        if intent is None:
            return None
        return Target("create", intent.table, record_id, list(members), generation=intent.generation)

    def attempts(self, key: int) -> int:
        """Writes already tried for this prospect in this run."""
        return self._attempts[key]

    def settle(self, key: int, outcome: Outcome, **facts: Any) -> None:
        """Record a prospect's terminal outcome; `facts` are the other fields of `Settlement`."""
        if key in self.open:
            del self.open[key]
            self.settlements.append(Settlement(key, self.fence(key), self.revision(key), outcome, **facts))

    def release(self, keys: Iterable[int], after_s: float, reason: str) -> None:
        """Give prospects back unsettled."""
        for key in list(keys):
            if key in self.open:
                del self.open[key]
                self.releases.append(Release(key, after_s, reason))

    def take_back(self, keys: Collection[int], after_s: float, reason: str) -> None:
        """Give back prospects that had been settled. Their attempts stay open: recovery finds what has landed."""
        self.releases += [Release(s.prospect_key, after_s, reason) for s in self.settlements if s.prospect_key in keys]
        self.settlements = [s for s in self.settlements if s.prospect_key not in keys]
        self.results = [r for r in self.results if self.attempt_keys.get(r.attempt_id) not in keys]
