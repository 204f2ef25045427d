"""Decides which requests go wrong, and how: an ordered list of rules, the first that fires wins.

A rule matches by what a request is (method, path, table, operation, organisation) and fires by count (`nth`,
`times`) or by seeded chance, so that a drill repeats exactly. Pure: `exchange` and `batch` carry effects out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Effect = Literal["drop_before_commit", "drop_after_commit", "status", "delay", "hang", "edit", "schema"]
_ADDRESSED = re.compile(r"\(([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\)", re.IGNORECASE)


class Match(BaseModel):
    """Which requests a rule is about; what is not named matches all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str | None = None
    path: str | None = Field(None, description="regular expression, searched in the decoded path")
    table: str | None = Field(None, description="logical name")
    operation: str | None = Field(None, description="such as Create, Update, CreateMultiple, Batch, Token")
    organization: str | int | None = Field(None, description="index from 0, or id")
    port: int | None = None
    inner: bool = Field(False, description="match the parts of a $batch instead of HTTP requests")
    nth: int | None = Field(None, ge=1, description="only the nth request that matches, from 1")
    probability: float = Field(1.0, ge=0, le=1)
    seed: int = 0

    @field_validator("path")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value


class Fault(BaseModel):
    """One rule, as PUT to the control API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: Match = Match()
    effect: Effect
    status: int = Field(500, ge=400, le=599)
    code: str | None = Field(None, description="such as 0x80072322")
    message: str | None = None
    body: str | None = Field(None, description="answered instead of an error in the service's own form")
    committed: bool = Field(False, description="carry the request out, then answer `status`")
    retry_after: int | str | None = Field(None, description="value of the header Retry-After")
    retry_after_as: Literal["value", "date"] = Field(
        "value", description="date: so many seconds from now, as HTTP date"
    )
    delay_s: float | None = Field(None, ge=0)
    times: int | None = Field(None, ge=1, description="fires so often; null: always")
    edit: Mapping[str, Any] | None = Field(None, description="as POST edit; the row is the request's unless named")

    schema_change: Mapping[str, Any] | None = Field(None, description="as POST schema")

    @model_validator(mode="after")
    def _is_complete(self) -> Fault:
        for effect, needed in (("edit", self.edit), ("schema", self.schema_change)):
            if (self.effect == effect) != (needed is not None):
                name = "edit" if effect == "edit" else "schema_change"
                raise ValueError(f"the effect {effect} and the field {name} need each other")
        return self

    def edit_of(self, call: Call) -> dict[str, Any]:
        """What a person does just before the request is carried out, to the row that it addresses."""
        found = _ADDRESSED.search(call.path)
        return {"action": "change", "table": call.table, "id": found and found[1], **(self.edit or {})}

    @model_validator(mode="after")
    def _date_has_seconds(self) -> Fault:
        if self.retry_after_as == "date" and not isinstance(self.retry_after, int):
            raise ValueError("retry_after must be whole seconds to be told as a date")
        return self


@dataclass(frozen=True)
class Call:
    """What a rule can match of a request, or of a part of a `$batch`."""

    method: str
    path: str
    table: str | None
    operation: str | None
    organization: tuple[int, str] | None
    port: int
    inner: bool = False


class _Rule:
    """A rule with its counts."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.matched = 0
        self.fired = 0
        self._random = random.Random(fault.match.seed)  # noqa: S311 - repeatable is what is wanted
        self._path = re.compile(fault.match.path) if fault.match.path is not None else None

    def fires(self, call: Call) -> bool:
        if not self._matches(call):
            return False
        self.matched += 1
        match = self.fault.match
        if self.fault.times is not None and self.fired >= self.fault.times:
            return False
        if match.nth is not None and self.matched != match.nth:
            return False
        if match.probability < 1 and self._random.random() >= match.probability:
            return False
        self.fired += 1
        return True

    def _matches(self, call: Call) -> bool:
        match = self.fault.match
        return (
            match.inner == call.inner
            and (match.method is None or match.method.upper() == call.method)
            and (match.table is None or match.table == call.table)
            and (match.operation is None or match.operation == call.operation)
            and (match.port is None or match.port == call.port)
            and (match.organization is None or _names(match.organization, call.organization))
            and (self._path is None or self._path.search(call.path) is not None)
        )


def _names(wanted: str | int, organization: tuple[int, str] | None) -> bool:
    return organization is not None and str(wanted).lower() in (str(organization[0]), organization[1])


class FaultPlan:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self.has_inner = False

    def replace(self, faults: Sequence[Fault]) -> None:
        """Put these rules in force, counts at zero, in place of all before."""
        self._rules = [_Rule(fault) for fault in faults]
        self.has_inner = any(fault.match.inner for fault in faults)

    def fault_for(self, call: Call) -> Fault | None:
        """The effect a request meets, if any; counts it."""
        return next((rule.fault for rule in self._rules if rule.fires(call)), None)

    def describe(self) -> list[dict[str, object]]:
        """The rules with what they have matched, fired and have left."""
        return [
            {
                **rule.fault.model_dump(exclude_defaults=True),
                "matched": rule.matched,
                "fired": rule.fired,
                "remaining": None if rule.fault.times is None else rule.fault.times - rule.fired,
            }
            for rule in self._rules
        ]
