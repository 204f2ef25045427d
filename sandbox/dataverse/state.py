"""What one organisation holds, and what one request may know of it: clock reading, caller, privileges."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sandbox.dataverse.errors import missing_privilege
from sandbox.dataverse.schema import Schema, Table
from sandbox.dataverse.settings import OrganizationSettings
from sandbox.dataverse.store import WRITTEN_AT, Row, Store
from sandbox.dataverse.values import stamp
from sandbox.dataverse.wire import Caller

_PRIVILEGED_AS = {
    "activityparty": "Activity",
    "annotation": "Note",
    "campaignresponse": "Activity",
    "listmember": "List",
    "systemuser": "User",
}
"""Tables whose privileges carry another name than their own."""


@dataclass
class Plugin:
    """A synchronous plug-in that refuses rows: all of them, a share, or those whose column holds a value."""

    table: str
    event: str
    message: str
    probability: float
    draw: Random
    column: str | None = None
    value: Any = None

    def refuses(self, row: Row) -> bool:
        if self.column is not None and row.get(self.column) != self.value:
            return False
        return self.draw.random() < self.probability


@dataclass
class State:
    """Everything one organisation holds."""

    organization_id: UUID
    url: str
    name: str
    clock: Callable[[], datetime]
    schema: Schema
    store: Store
    settings: OrganizationSettings = field(default_factory=OrganizationSettings)
    plugins: list[Plugin] = field(default_factory=list)
    deadlocks: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - drawn for drills, not for secrets
    draw: Random = field(default_factory=lambda: Random(0))  # noqa: S311

    @property
    def api(self) -> str:
        """The service root, without a slash at its end."""
        return f"{self.url}/api/data/v9.2"

    @cached_property
    def business_unit_id(self) -> str:
        return str(uuid5(self.organization_id, "businessunit"))

    @cached_property
    def currency_id(self) -> str:
        return str(uuid5(self.organization_id, "transactioncurrency"))

    def new_id(self) -> str:
        """An id for a row whose creator gave none."""
        return str(UUID(int=self.draw.getrandbits(128), version=4))


@dataclass
class Session:
    """One request's view: who asks, and when."""

    state: State
    caller: Caller
    now: datetime
    stamp: str = ""
    templates: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stamp = stamp(self.now)
        self.user_id = str(self.caller.user_id)

    @property
    def schema(self) -> Schema:
        return self.state.schema

    @property
    def store(self) -> Store:
        return self.state.store

    def require(self, verb: str, table: Table) -> None:
        """Refuse when the caller's roles lack a privilege; verb is Create, Read, Write, Delete, ..."""
        missing = self.caller.missing_privileges
        if missing and (privilege := privilege_name(verb, table)) in missing:
            raise missing_privilege(
                self.user_id, privilege, privilege_id(privilege), table.object_type_code, table.name
            )

    def marks(self, table: Table) -> Row:
        """The columns every write sets."""
        marks: Row = {"modifiedon": self.stamp, "_modifiedby_value": self.user_id, WRITTEN_AT: self.now.timestamp()}
        return {name: value for name, value in marks.items() if name in table.properties or name[0] == "#"}

    def template(self, table: Table) -> Row:
        """A new row before the caller's values: defaults of the columns, owner, stamps."""
        found = self.templates.get(table.name)
        if found is None:
            found = self.templates[table.name] = self._template(table)
        return found

    def _template(self, table: Table) -> Row:
        row: Row = {}
        for name, column in table.properties.items():
            if column.default is not None:
                row[name] = bool(column.default) if column.type == "Boolean" else column.default
        if "statecode" in table.columns:
            first = table.columns["statecode"].options[0]
            row |= {"statecode": first.value, "statuscode": first.linked}
        if table.is_owned:
            row |= {
                "_ownerid_value": self.user_id,
                "_owninguser_value": self.user_id,
                "_owningbusinessunit_value": self.state.business_unit_id,
            }
        row |= {"createdon": self.stamp, "_createdby_value": self.user_id}
        return {name: value for name, value in row.items() if name in table.properties} | self.marks(table)


def privilege_name(verb: str, table: Table) -> str:
    """ "prvCreateLead" for Create on lead."""
    return f"prv{verb}{_PRIVILEGED_AS.get(table.name, table.schema_name)}"


def privilege_id(name: str) -> str:
    """The id of a privilege, the same in every sandbox."""
    return str(uuid5(NAMESPACE_URL, name))


def parse_preferences(header: str) -> dict[str, str]:
    """A Prefer header as name -> value without quotes; an option without a value has an empty one."""
    found = re.findall(r'\s*([\w.\-]+)\s*(?:=\s*(?:"([^"]*)"|([^,;\s]*)))?\s*(?:[,;]|$)', header)
    return {name.lower(): quoted or bare for name, quoted, bare in found}
