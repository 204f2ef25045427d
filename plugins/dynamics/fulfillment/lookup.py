"""Reads prospects at their source that a delivery only names, with a client for each source that stays open."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack

from dynamics.captello.client import CaptelloClient
from dynamics.captello.source import CaptelloSource
from dynamics.core.capture import Selection, SourcedProspect
from dynamics.errors import AccountError, ContractError


class LookUp:
    """`connect` makes the client of a source, by its connection id. For one thread; close it."""

    def __init__(self, connect: Callable[[str], CaptelloClient]) -> None:
        self._connect = connect
        self._open: dict[str, tuple[CaptelloSource, ExitStack]] = {}

    def find(self, source: str, prospect_ids: Collection[str]) -> dict[str, SourcedProspect]:
        """Those of the prospects that the source knows, by id; it warns of the others.

        Raises: AccountError, ContractError, TransientError, as `CaptelloSource.pages`.
        """
        if not prospect_ids:
            return {}
        if source not in self._open:
            closing = ExitStack()
            self._open[source] = CaptelloSource(closing.enter_context(self._connect(source))), closing
        try:
            pages = self._open[source][0].pages(Selection(prospect_ids=tuple(prospect_ids)))
            return {found.prospect_id: found for page in pages for found in page}
        except ContractError:  # of what it has answered: the connection is right
            raise
        except AccountError:  # the connection may be corrected meanwhile: read it anew
            self._open.pop(source)[1].close()
            raise

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1][1].close()
