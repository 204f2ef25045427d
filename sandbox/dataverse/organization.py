"""One Dataverse organisation in memory: answers requests, takes seeds, can be changed behind a client's back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID, uuid5

from sandbox.dataverse import controls, foundation, keeping
from sandbox.dataverse.answers import refusal_answer
from sandbox.dataverse.collation import fold_accents, fold_case
from sandbox.dataverse.errors import Refusal
from sandbox.dataverse.routes import dispatch
from sandbox.dataverse.seeding import load, shown
from sandbox.dataverse.settings import OrganizationSettings
from sandbox.dataverse.shipped import shipped_schema
from sandbox.dataverse.state import Session, State, parse_preferences
from sandbox.dataverse.store import Store, Transaction
from sandbox.dataverse.wire import Caller, Request, Response


class Organization:
    """The semantics of one organisation. `handle` never raises for what a client did wrong."""

    def __init__(self, organization_id: UUID, url: str, clock: Callable[[], datetime], name: str = "sandbox") -> None:
        """Start empty but for the rows every organisation has.

        Args:
            url: "https://localhost:8444", without a path.
            clock: the only source of time; returns aware moments.
        """
        self.organization_id = organization_id
        self.url = url
        self.name = name
        self._clock = clock
        self._callers: dict[str, Caller] = {}
        self._names: dict[str, str] = {}
        self._person = Caller(UUID(int=0), "")
        self._state = self._fresh()

    def _fresh(self) -> State:
        state = State(self.organization_id, self.url, self.name, self._clock, shipped_schema(), Store())
        state.draw = Random(self.organization_id.int)  # noqa: S311 - ids of a sandbox
        foundation.lay(state)
        self._person = Caller(foundation.person_id(state), "")
        for client_id, caller in self._callers.items():
            self._write_user(state, client_id, caller.user_id)
        return state

    @property
    def settings(self) -> OrganizationSettings:
        return self._state.settings

    @settings.setter
    def settings(self, settings: OrganizationSettings) -> None:
        before, self._state.settings = self._state.settings, settings
        if settings.deadlock_seed != before.deadlock_seed:
            self._state.deadlocks = Random(settings.deadlock_seed)  # noqa: S311 - drawn for drills

    def handle(self, request: Request) -> Response:
        """Answer one request; a refusal undoes whatever the request had written."""
        session = self._session(request.caller)
        with self._state.store.transaction() as transaction:
            try:
                response = dispatch(session, request)
            except Refusal as refusal:
                transaction.rollback()
                preferences = parse_preferences(request.headers.get("prefer", ""))
                annotations = preferences.get("odata.include-annotations", "")
                return refusal_answer(refusal, self.table_of(request.path), annotations)
            changes = transaction.changes()
        return replace(response, changes=changes, committed=True) if changes else response

    def _session(self, caller: Caller) -> Session:
        self._state.store.fold = fold_accents if self._state.settings.accent_insensitive else fold_case
        return Session(self._state, caller, self._state.clock())

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Group everything handled inside; `rollback()` on the transaction undoes it."""
        return self._state.store.transaction()

    def table_of(self, path: str) -> str | None:
        """Logical name of the table a relative path addresses, None for everything that is not a table."""
        name = path.strip("/").split("/", 1)[0].split("(", 1)[0]
        table = self._state.schema.by_set.get(name)
        return None if table is None else table.name

    def register_application_user(self, client_id: str, name: str, missing_privileges: Iterable[str] = ()) -> UUID:
        """Create the `systemuser` row of an application, or change its privileges; returns its id."""
        user_id = uuid5(self.organization_id, f"application {client_id}")
        self._names[client_id] = name
        self._callers[client_id] = Caller(user_id, client_id, frozenset(missing_privileges))
        self._write_user(self._state, client_id, user_id)
        return user_id

    def _write_user(self, state: State, client_id: str, user_id: UUID) -> None:
        row = foundation.user_row(state, self._names[client_id], f"{client_id}@example.test")
        row |= {
            "systemuserid": str(user_id),
            "applicationid": client_id,
            "azureactivedirectoryobjectid": str(uuid5(user_id, "service principal")),
            "accessmode": 4,
            "versionnumber": state.store.next_version(),
        }
        with state.store.transaction():
            state.store.put("systemuser", str(user_id), row)

    def remove_application_user(self, client_id: str) -> None:
        """Forget the application user: its tokens are then worth nothing here."""
        self._callers.pop(client_id, None)

    def caller_for(self, client_id: str) -> Caller | None:
        """The application user of a client id, or None when it is not registered here."""
        return self._callers.get(client_id)

    def reset(self) -> None:
        """Back to a freshly made organisation: seed rows, shipped schema, default settings; users stay."""
        self._state = self._fresh()

    def load(self, table: str, rows: Iterable[Mapping[str, object]]) -> int:
        """Seed rows past validation (ids, stamps and states as given); returns how many."""
        return load(self._session(self._person), table, rows)

    def rows(self, table: str) -> Iterator[dict[str, object]]:
        """Every row of a table with its non-null properties, for judges; ValueError for an unknown table."""
        if table not in self._state.schema.tables:
            raise ValueError(f"no table {table!r}")
        return shown(self._state, table)

    def content(self) -> dict[str, Any]:
        """Rows, deletions and changed tables as JSON values, for `restore`; good until the next request."""
        return keeping.content(self._state)

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take what `content` gave, in place of all there is now; ValueError for anything else."""
        self._state = self._fresh()
        try:
            keeping.restore(self._state, kept)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not the content of an organisation: {type(error).__name__}") from error

    def change_schema(self, change: Mapping[str, object]) -> None:
        """Change the schema, or install a plug-in, behind the client's back; ValueError for nonsense."""
        with self._state.store.transaction():
            controls.change_schema(self._session(self._person), change)

    def edit(self, change: Mapping[str, object]) -> None:
        """Do to a row what a person in the CRM would do; ValueError for nonsense or a refused value."""
        with self._state.store.transaction() as transaction:
            try:
                controls.edit(self._session(self._person), change)
            except Refusal as refusal:
                transaction.rollback()
                raise ValueError(refusal.message) from refusal
