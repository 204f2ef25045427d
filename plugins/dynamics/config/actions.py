"""Sync actions: include/actions/<name>.yaml as a frozen type, with what one run overrides.

Says which account, mapping, duplicate policy and create rule a sync has; what they mean is decided in
`core.policy`. The mapping's files and the connection are read elsewhere. Source: design part 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from dynamics.config.action_faults import unusable
from dynamics.config.automation import Automation
from dynamics.config.extras import Extras
from dynamics.config.include import is_name, read_text, shown
from dynamics.config.located_yaml import Located, Place, read_yaml
from dynamics.config.wording import nearest
from dynamics.core.policy import Check, CreateRule, MatchBy, Policy, Several
from dynamics.errors import ConfigurationError, Fault

EmailColumn = Literal["emailaddress1", "emailaddress2", "emailaddress3"]
Text = Annotated[str, Field(min_length=1, max_length=250)]

# Params of a run -> where they stand in the action.
OVERRIDES: Mapping[str, tuple[str, ...]] = {
    "account": ("account",),
    "duplicate_check": ("duplicates", "check"),
    "match_by": ("duplicates", "match_by"),
    "duplicate_action": ("duplicates", "several"),
    "create": ("create",),
    "max_rejected_percent": ("max_rejected_percent",),
}


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Duplicates(_Settings):
    """Where existing records are looked for, what makes them the same person, and which of several is updated."""

    check: Check
    match_by: MatchBy = MatchBy.EMAIL
    several: Several = Several.UPDATE_MOST_RECENTLY_UPDATED


class Fulfillment(_Settings):
    """At once, when a webhook says so: of these events and forms, of all where none is named."""

    events: tuple[Text, ...] = ()
    forms: tuple[Text, ...] = ()


class Triggers(_Settings):
    """What may start this action."""

    fulfillment: Fulfillment | None = None
    automation: Automation | None = None
    bulk: StrictBool = True


class SyncAction(_Settings):
    """One sync action. `name` is its file's; `max_rejected_percent` is the share of a run that may be rejected."""

    name: Text
    account: Text
    mapping: Text = "default"
    duplicates: Duplicates
    create: CreateRule
    triggers: Triggers = Triggers()
    extras: Extras = Extras()
    max_rejected_percent: float = Field(0.0, ge=0, le=100)
    include_inactive: StrictBool = False
    email_columns: tuple[EmailColumn, ...] = Field(("emailaddress1",), min_length=1)
    on_resync: Literal["update", "create"] = "update"
    update_existing: StrictBool = True

    def policy(self) -> Policy:
        """What `core.policy` decides by. With `update_existing: false` existing records are left alone."""
        return Policy(
            check=self.duplicates.check,
            match_by=self.duplicates.match_by,
            several=self.duplicates.several if self.update_existing else Several.SKIP,
            create=self.create,
            include_inactive=self.include_inactive,
            email_columns=self.email_columns,
            on_resync=self.on_resync,
        )


def list_actions(include: Path) -> tuple[str, ...]:
    """The names of all actions, sorted. Reads no file."""
    return tuple(sorted(path.stem for path in (include / "actions").glob("*.yaml") if is_name(path.stem)))


def line_of(include: Path, name: str, place: Place) -> int | None:
    """The line of an action's file on which a setting stands, for faults found after it was read."""
    path = include / "actions" / f"{name}.yaml"
    return read_yaml(read_text(include, path), shown(include, path)).line(place)


def load_action(include: Path, name: str, overrides: Mapping[str, Any] | None = None) -> SyncAction:
    """Read include/actions/<name>.yaml.

    Args:
        include: the folder of `include_directory`.
        name: the action's.
        overrides: param -> value, for one run; None is no value. `duplicate_action` also settles `update_existing`.
    Raises:
        ConfigurationError: no such action, or all faults of its file and of the overrides.
    """
    read = read_action(include, name, overrides)
    if read.action is None:
        raise ConfigurationError(read.faults)
    return read.action


@dataclass(frozen=True)
class ReadAction:
    """An action as far as its file can be read. `action`: only without a fault; `account` and `mapping` even with some,
    so that what they name can be looked at in the same round."""

    action: SyncAction | None
    account: str | None = None
    mapping: str | None = None
    faults: tuple[Fault, ...] = ()
    triggers: object = None  # as they are written


def read_action(include: Path, name: str, overrides: Mapping[str, Any] | None = None) -> ReadAction:
    """Read include/actions/<name>.yaml with all its faults. Takes what `load_action` takes."""
    try:
        written, file = _written(include, name)
    except ConfigurationError as wrong:
        return ReadAction(None, faults=wrong.faults)
    faults = _own_faults(written, name, file)
    content, overridden = _with_overrides(written.content, overrides or {}, faults)
    action: SyncAction | None = None
    try:
        action = SyncAction.model_validate({**content, "name": name})
    except ValidationError as wrong:
        faults += unusable(wrong, SyncAction, written, file, overridden)
    account, mapping = content.get("account"), content.get("mapping", "default")
    return ReadAction(
        action=None if faults else action,
        account=account if isinstance(account, str) and account else None,
        mapping=mapping if isinstance(mapping, str) and mapping else None,
        faults=tuple(faults),
        triggers=content.get("triggers"),
    )


def _written(include: Path, name: str) -> tuple[Located, str]:
    """The action's file, and how it is named. Raises ConfigurationError."""
    path = include / "actions" / f"{name}.yaml"
    if not is_name(name) or not path.is_file():
        what = f"There is no action '{name}'."
        raise ConfigurationError([Fault("include/actions", None, what, nearest(name, list_actions(include)))])
    file = shown(include, path)
    return read_yaml(read_text(include, path), file), file


def _own_faults(written: Located, name: str, file: str) -> list[Fault]:
    """What the types cannot tell."""
    faults = []
    if written.content.pop("name", name) != name:
        what = "'name' is not the file's name."
        faults.append(Fault(file, written.line(("name",)), what, "Leave it out: an action is named by its file."))
    return faults


def _with_overrides(
    content: Mapping[str, Any], overrides: Mapping[str, Any], faults: list[Fault]
) -> tuple[dict[str, Any], dict[Place, str]]:
    """The content with the overrides put in, and where which param stands now."""
    changed = dict(content)
    overridden: dict[Place, str] = {}
    for param, value in overrides.items():
        place = OVERRIDES.get(param)
        if place is None:
            faults.append(Fault("params", None, f"There is no param '{param}'.", nearest(param, OVERRIDES)))
        elif value is not None:
            overridden[place] = param
            if len(place) == 1:
                changed[place[0]] = value
            else:
                inner = changed.get(place[0])
                changed[place[0]] = {**(inner if isinstance(inner, Mapping) else {}), place[1]: value}
    if ("duplicates", "several") in overridden:
        changed.pop("update_existing", None)
    return changed, overridden
