"""One Dataverse organisation in memory (skeleton: the seam the server codes against)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID, uuid4

from sandbox.dataverse.settings import OrganizationSettings
from sandbox.dataverse.wire import Caller, Request, Response


class Transaction:
    """Everything handled while it is open; `rollback` undoes it."""

    def rollback(self) -> None:
        """Undo every write since the transaction began."""


class Organization:
    """The semantics of one organisation. `handle` never raises for what a client did wrong."""

    def __init__(self, organization_id: UUID, url: str, clock: Callable[[], datetime], name: str = "sandbox") -> None:
        self.organization_id = organization_id
        self.url = url
        self.clock = clock
        self.name = name
        self.settings = OrganizationSettings()
        self._callers: dict[str, Caller] = {}

    def handle(self, request: Request) -> Response:
        """Answer one request; refusals come back as responses."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Group everything handled inside; call `rollback()` on it to undo."""
        yield Transaction()

    def register_application_user(self, client_id: str, name: str, missing_privileges: Iterable[str] = ()) -> UUID:
        """Create the `systemuser` row of an application, or change its privileges; returns its id."""
        user_id = uuid4()
        self._callers[client_id] = Caller(user_id, client_id, frozenset(missing_privileges))
        return user_id

    def remove_application_user(self, client_id: str) -> None:
        """Forget the application user: its tokens are then worth nothing here."""
        self._callers.pop(client_id, None)

    def caller_for(self, client_id: str) -> Caller | None:
        """The application user of a client id, or None when it is not registered here."""
        return self._callers.get(client_id)

    def table_of(self, path: str) -> str | None:
        """Logical name of the table a relative path addresses, None for everything that is not a table."""
        return None

    def reset(self) -> None:
        """Back to a freshly made organisation: seed rows, shipped schema, default settings; users stay."""

    def load(self, table: str, rows: Iterable[Mapping[str, object]]) -> int:
        """Seed rows past validation (ids, stamps and states as given); returns how many."""
        raise NotImplementedError

    def rows(self, table: str) -> Iterator[dict[str, object]]:
        """Every row of a table, for judges."""
        raise NotImplementedError

    def change_schema(self, change: Mapping[str, object]) -> None:
        """Change the schema behind the client's back."""
        raise NotImplementedError

    def edit(self, change: Mapping[str, object]) -> None:
        """Do to a row what a person in the CRM would do."""
        raise NotImplementedError
