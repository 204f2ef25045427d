"""What can be set on a running sandbox: names, units, defaults and bounds. Nothing here acts on them.

A change is a JSON object merged into what is set, null being a value where a setting can be off; an unknown
name is refused, since a drill with a misspelt setting would pass for the wrong reason.

Source: learn.microsoft.com, "Service protection API limits" for the numbers of `Limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

IdHeaders = Literal["plain", "missing", "upper"]


class Settings(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def merged(self, change: Mapping[str, object]) -> Self:
        """These settings with a change merged in.

        Raises:
            ValueError: an unknown name, or a value out of bounds (pydantic's ValidationError).
        """
        return self.model_validate(merge(self.model_dump(), change))


class Latency(Settings):
    """Seconds a request takes; one `$batch` is one request, and its rows are the sum of its parts'."""

    per_request_s: float = Field(0.0, ge=0)
    per_row_s: float = Field(0.0, ge=0)


class Limits(Settings):
    """Service protection, for each user and web server; null switches one limit off."""

    requests: int | None = Field(6000, ge=1)
    window_s: float = Field(300.0, gt=0)
    execution_s: float | None = Field(1200.0, gt=0)
    concurrency: int | None = Field(52, ge=1)


class Application(Settings):
    """The standing of one application: its credentials at Entra, its user in the organisations."""

    secret: Literal["valid", "expired", "revoked"] = "valid"  # noqa: S105 - a state, not a secret
    rotated_secret: str | None = Field(None, min_length=8, repr=False)
    certificate: Literal["valid", "revoked"] = "valid"
    tokens: Literal["valid", "revoked"] = "valid"
    user: Literal["enabled", "disabled", "removed"] = "enabled"
    missing_privileges: frozenset[str] = frozenset()


class HubSettings(Settings):
    """What holds for Entra: one for the whole sandbox."""

    token_lifetime_s: int = Field(3599, ge=1)
    token_prefix: str = Field("", pattern=r"^[A-Za-z0-9_-]*$")
    applications: dict[str, Application] = {}


class EnvironmentSettings(Settings):
    """What holds for one organisation's web servers. The organisation's own settings are its own."""

    latency: Latency = Latency()
    limits: Limits | None = None
    servers: int = Field(1, ge=1, le=64)
    dop_hint: int = Field(4, ge=1)
    clock_offset_s: float = 0.0
    id_headers: IdHeaders = "plain"


def merge(target: Mapping[str, object], change: Mapping[str, object]) -> dict[str, object]:
    """Merge one JSON object into another, objects name by name, everything else as a whole."""
    merged = dict(target)
    for name, value in change.items():
        if isinstance(value, Mapping):
            below = merged.get(name)
            merged[name] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged
