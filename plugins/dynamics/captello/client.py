"""The calls of the Capture Source API that we make: health, fields, prospects by listing, prospects by id.

Leaves signing and repeating to `transport`, choosing to `source`. Source: Capture Source API v1, endpoints
and paging.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import requests

from dynamics.captello.account import CaptelloAccount
from dynamics.captello.transport import CaptelloTransport, CursorExpiredError
from dynamics.clock import SystemClock
from dynamics.core.crm import JsonObject
from dynamics.errors import ContractError
from dynamics.sync.ports import Clock

PAGE_SIZE = 200  # the most a page may hold
LOOKUP_SIZE = 200  # the most ids one lookup may name
PARTS = ("submissions", "answers", "consents")

_PROSPECTS = "/v1/prospects"
_FIELDS = "/v1/fields"


class CaptelloClient:
    """One Captello account. Close it, or use it as a context manager.

    Every method raises AccountError (we are not let in), ContractError (an answer outside the contract) and
    TransientError (not served now, tried often enough).
    """

    def __init__(
        self,
        account: CaptelloAccount,
        *,
        session: requests.Session | None = None,
        clock: Clock | None = None,
        on_token: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`session`: whose proxies and adapters to use; `on_token` is told every access token, to mask it in logs."""
        self.account = account
        self.transport = CaptelloTransport(account, session or requests.Session(), clock or SystemClock(), on_token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def health(self) -> JsonObject:
        """Liveness, version and server time."""
        return self.transport.get("ask health", "/v1/health")

    def test(self) -> str:
        """Say whether prospects can be read, in a sentence for a person."""
        version = self.health().get("version")
        readable = isinstance(version, str) and len(version) <= 20 and version.isprintable()
        first = next(self.prospects({}, page_size=1), ())
        found = "prospects can be read" if first else "prospects can be read, there is none yet"
        return f"Connected to {self.account.origin}{f', version {version}' if readable else ''}: {found}."

    def fields(self) -> Sequence[JsonObject]:
        """What a mapping may ask for: standard fields, custom fields and questions, each with path, label and type."""
        found: list[JsonObject] = []
        cursor: str | None = None
        while True:
            page = self.transport.get("list", _FIELDS, {"cursor": cursor} if cursor else None)
            items = _items("list", page, _FIELDS)
            found += items
            following = _next_cursor(page, _FIELDS)
            if following is None:
                return found
            if following == cursor or not items:
                raise ContractError("list", _FIELDS, detail="the cursor does not advance")
            cursor = following

    def prospects(self, filters: Mapping[str, str], page_size: int = PAGE_SIZE) -> Iterator[Sequence[JsonObject]]:
        """Walk a listing, page by page, in the order of (updated_at, id).

        Its end is pinned by the service when it begins. When the walk outlives its cursor it goes on from the last
        change seen; prospects of that instant and prospects changed meanwhile then come again.
        """
        asked = {**filters, "include": ",".join(PARTS), "limit": str(page_size)}
        cursor: str | None = None
        since = ""
        while True:
            try:
                page = self.transport.get("list", _PROSPECTS, asked | ({"cursor": cursor} if cursor else {}))
            except CursorExpiredError:
                if cursor is None:  # there is no progress to go on from
                    raise
                asked["updated_since"] = since
                cursor = None
                continue
            found = _items("list", page)
            if found:
                since = _text(found[-1], "updated_at")
                yield found
            following = _next_cursor(page)
            if following is None:
                return
            if following == cursor or not found:
                raise ContractError("list", _PROSPECTS, detail="the cursor does not advance")
            cursor = following

    def lookup(self, prospect_ids: Sequence[str]) -> Iterator[Sequence[JsonObject]]:
        """Prospects and tombstones by id, up to 200 a page; ids that nobody knows are absent."""
        for start in range(0, len(prospect_ids), LOOKUP_SIZE):
            body = {"ids": list(prospect_ids[start : start + LOOKUP_SIZE]), "include": list(PARTS)}
            yield _items("look up", self.transport.post("look up", f"{_PROSPECTS}:lookup", body))


def _items(operation: str, page: JsonObject, path: str = _PROSPECTS) -> list[JsonObject]:
    items = page.get("data")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ContractError(operation, path, detail=f"'data' is no list of {path.rpartition('/')[2]}")
    return items


def _next_cursor(page: JsonObject, path: str = _PROSPECTS) -> str | None:
    paging = page.get("page")
    cursor: Any = paging.get("next_cursor") if isinstance(paging, dict) else 0
    if cursor is None or (isinstance(cursor, str) and cursor):
        return cursor
    raise ContractError("list", path, detail="'page.next_cursor' is neither a cursor nor null")


def _text(item: JsonObject, name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise ContractError("list", _PROSPECTS, detail=f"a prospect has no '{name}'")
    return value
