"""Settings of the whole project: include/settings.yaml as a frozen type. Without the file the defaults count.

Says how long what is kept, how many links are looked at a night, and who is told of a run that failed. What those mean
is decided elsewhere; whether a notifier is there is checked by whoever can import it (`dynamics.hooks.notifiers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dynamics.config.action_faults import unusable
from dynamics.config.include import read_text, shown
from dynamics.config.located_yaml import Place, read_yaml
from dynamics.errors import ConfigurationError, Fault

FILE = "settings.yaml"
Days = Annotated[int, Field(ge=1, le=36_500)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Retention(_Settings):
    """Days after which things are removed; null: never.

    `personal_data_days`: since a prospect was last delivered, where its own `privacy.retain_until` says nothing.
    `audit_days`: since a run has ended. `webhook_delivery_days`: as long as a delivery may be repeated, and then some.
    """

    personal_data_days: Days | None = 365
    audit_days: Annotated[int, Field(ge=30, le=36_500)] | None = 730
    webhook_delivery_days: Annotated[int, Field(ge=7, le=36_500)] = 30


class Links(_Settings):
    """How many links of an organisation are held against it in one night; the next night goes on from there. 0: none.

    When more than `gone_at_most_percent` of the records asked for at once cannot be found, nothing is marked.
    """

    checked_a_night: Annotated[int, Field(ge=0, le=2_000_000)] = 40_000
    gone_at_most_percent: Annotated[float, Field(ge=0, le=100)] = 20


class Notice(_Settings):
    """Who is told of a run that failed, or is good again: a notifier of Airflow, and what it is made with."""

    notifier: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
    arguments: Mapping[str, Any] = Field(default_factory=dict, alias="with")


class Settings(_Settings):
    """The whole file."""

    retention: Retention = Retention()
    links: Links = Links()
    notices: tuple[Notice, ...] = ()


def load_settings(include: Path) -> Settings:
    """Read include/settings.yaml.

    Raises:
        ConfigurationError: all its faults, each with its line and what to do.
    """
    path = include / FILE
    if not path.is_file():
        return Settings()
    file, text = shown(include, path), read_text(include, path)
    if not _says_anything(text):
        return Settings()
    written = read_yaml(text, file)
    try:
        return Settings.model_validate(written.content)
    except ValidationError as wrong:
        raise ConfigurationError(unusable(wrong, Settings, written, file, {})) from None


def settings_fault(include: Path, place: Place, what: str, remedy: str) -> Fault:
    """A fault of the file that was found after it was read."""
    path = include / FILE
    line = read_yaml(read_text(include, path), shown(include, path)).line(place)
    return Fault(shown(include, path), line, what, remedy)


def _says_anything(text: str) -> bool:
    """A file of comments alone is no fault: it is how one begins."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())
