"""The actions that have an automation, as the DAG folder needs them: a schedule each, and what a person reads there.

An action whose file has faults is one of them as long as its schedule can be read, so that its DAG stays and its
preflight says what is wrong. All faults are there for whoever wants to show them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dynamics.config.actions import SyncAction, list_actions, read_action
from dynamics.config.automation import Automation, Where
from dynamics.errors import Fault

_SINGLE_RUN = {
    "automation": "Each run takes what is new or changed in the source since the last one, by a cursor: what was "
    "missed while this DAG was off is found by its next run. Triggered by hand it does the same, at once.",
    "backfill": "It never runs by itself. `airflow backfill create --dag-id dynamics_backfill__{name} --from-date "
    "2025-01-01 --to-date 2025-12-31` (or **Trigger > Backfill** here) brings in the prospects captured in these "
    "{every}s, one run a {every}. The newest revision wins, whatever came before. After a change of the mapping, "
    "`--reprocess-behavior completed` runs the same {every}s again; `--dag-run-conf '{{\"dry_run\": true}}'` writes "
    "nothing.",
}


@dataclass(frozen=True)
class ScheduledAction:
    """An action with an automation, of which the schedule is certain. `action` is None when its file has faults."""

    name: str
    automation: Automation
    action: SyncAction | None

    def doc(self, kind: str) -> str:
        """The text of its DAG's page, in Markdown.

        Args:
            kind: "automation" or "backfill".
        """
        file = f"`include/actions/{self.name}.yaml`"
        if self.action is None:
            return f"{file} has faults. No run will begin until they are corrected: the log of *preflight* lists them."
        action, duplicates = self.action, self.action.duplicates
        lines = [
            _SINGLE_RUN[kind].format(name=self.name, every=self.automation.backfill_every),
            "",
            f"Its rules stand in {file}:",
            "",
            f"- into the account `{action.account}`, by the mapping `{action.mapping}`",
            f"- duplicates: look in {duplicates.check.replace('_', ' ')}, by {duplicates.match_by.replace('_', ' ')}; "
            f"of several {duplicates.several.replace('_', ' ')}",
            f"- nothing matches: {'leave it' if action.create == 'none' else f'create a {action.create}'}",
            *(f"- only prospects whose {text}" for text in _conditions(self.automation.where)),
            "",
            "**When it is red:** the log of the red task says what to do. *preflight* lists every fault with file and "
            "line; *report* says how many prospects were rejected, and why.",
        ]
        return "\n".join(lines)


def scheduled_actions(include: Path) -> list[ScheduledAction]:
    """The actions with an automation whose schedule can be read, by name. Reads the files of actions alone."""
    found = []
    for name in list_actions(include):
        read = read_action(include, name)
        automation = read.action.triggers.automation if read.action is not None else _as_far_as_it_goes(read.triggers)
        if automation is not None:
            found.append(ScheduledAction(name, automation, read.action))
    return found


def action_faults(include: Path) -> list[Fault]:
    """Everything that is wrong with the files of actions."""
    return [fault for name in list_actions(include) for fault in read_action(include, name).faults]


def _as_far_as_it_goes(triggers: object) -> Automation | None:
    """The automation of a file with faults: its schedule, in its time zone, and where these are wrong nothing."""
    written: Any = triggers.get("automation") if isinstance(triggers, Mapping) else None
    if not isinstance(written, Mapping):
        return None
    known = {name: written[name] for name in ("schedule", "timezone") if name in written}
    try:
        return Automation.model_validate(known)
    except ValidationError:
        return None


def _conditions(where: Where) -> list[str]:
    """Each condition in words."""
    ids = {"event": where.event_id, "form": where.form_id, "owner": where.owner_id, "tags hold": where.tags}
    texts = [f"{name} is {_any_of(values)}" for name, values in ids.items() if values]
    texts = [text.replace("tags hold is", "tags hold") for text in texts]
    texts += [f"answer to `{key}` is {_any_of(values)}" for key, values in where.answers.items()]
    return texts + [f"consent to `{purpose}` is {_any_of(states)}" for purpose, states in where.consent.items()]


def _any_of(values: tuple[Any, ...]) -> str:
    return " or ".join(f"`{value}`" for value in values)
