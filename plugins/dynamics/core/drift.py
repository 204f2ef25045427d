"""Compares what a mapping saw of a table with what the table is like today, and says in plain words what has changed.

Seen is what the mapping depends on: the columns it fills, and those that a new record needs. A change that would reject
prospects is told apart from one that only wants to be known. What the mapping gets wrong today, changed or not, is said
by `mapping.checking`; where the snapshots are kept is left to the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamics.core.crm import JsonObject
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import Rule, WriteMode, check_mapping, missing_required, required_columns
from dynamics.core.mapping.coercion import Misfit, coercer
from dynamics.core.mapping.rules import Constant
from dynamics.core.metadata import Column, DateBehavior, RequiredLevel, TableMetadata
from dynamics.errors import Fault

Seen = Mapping[str, Column]  # by logical name
_ENFORCED = frozenset({RequiredLevel.APPLICATION, RequiredLevel.SYSTEM})
_PLAIN = ("max_length", "minimum", "maximum", "precision", "creatable", "updatable")
_WORDS = {
    DateBehavior.USER_LOCAL: "a moment",
    DateBehavior.DATE_ONLY: "a day without a time",
    DateBehavior.ZONELESS: "a time without a zone",
}


@dataclass(frozen=True)
class Change:
    """One change of a column since it was seen. `rejects`: prospects would be rejected for it."""

    table: str
    column: str
    what: str
    remedy: str
    rejects: bool
    file: str
    line: int | None

    @property
    def fault(self) -> Fault:
        """The change as something a person has to act on."""
        return Fault(self.file, self.line, f"{self.what[:1].upper()}{self.what[1:]}.", self.remedy, self.column)

    def __str__(self) -> str:
        return f"{self.table}: {self.what}"


def seen_by(mapping: MappingTable, metadata: TableMetadata) -> dict[str, Column]:
    """What the mapping depends on, as it is now."""
    wanted = {*mapping.targets, *required_columns(metadata)}
    return {name: metadata.columns[name] for name in sorted(wanted) if name in metadata.columns}


def compare(mapping: MappingTable, before: Seen, now: Seen, creates: bool) -> list[Change]:
    """What has changed, in the order of the mapping's rows, then columns that are required without being mapped.

    Args:
        mapping: of today: what it does not fill any more is no concern, what it fills newly was never seen.
        before, now: as `seen_by` gives them.
        creates: whether the sync action creates records of this table.
    """
    return [
        Change(mapping.table, name, what, remedy, rejects, mapping.file, rule.line if rule else None)
        for rule, name in _concerned(mapping, before, now)
        for what, remedy, rejects in _changes(rule, before.get(name), now.get(name), creates)
    ]


def remembered(before: Seen, now: Seen, untold: Iterable[Change]) -> dict[str, Column]:
    """What to compare with next time: today, but for columns with a change that is to be told again."""
    again = {change.column for change in untold}
    lasting = {name: column for name, column in before.items() if name in again}
    return {name: column for name, column in now.items() if name not in again} | lasting


def faults_since(mapping: MappingTable, began: Seen | None, metadata: TableMetadata, creates: bool) -> list[Fault]:
    """Why a run cannot go on with what a table is like now.

    Args:
        began: what the mapping saw when the run began; None when nobody remembers.
    """
    faults = check_mapping(mapping, metadata, creates)
    if began is not None:
        changes = compare(mapping, began, seen_by(mapping, metadata), creates)
        faults += [change.fault for change in changes if change.rejects]
    return faults


def is_outdated(values: Mapping[str, object], metadata: TableMetadata, creates: bool) -> bool:
    """Whether a write shows that it was decided on by other metadata than this, which would not let it pass."""
    if creates and missing_required(metadata, values):
        return True
    for name, value in values.items():
        column = metadata.columns.get(name)
        convert = coercer(column) if column is not None else None
        if column is None or (convert is not None and value is not None and isinstance(convert(value), Misfit)):
            return True
    return False


# ---------------------------------------------------------------- as JSON


def as_json(seen: Seen) -> JsonObject:
    """Columns as JSON values; what is as it usually is, is left out."""
    return {name: _column_json(column) for name, column in seen.items()}


def from_json(content: Mapping[str, Any]) -> dict[str, Column]:
    """The columns that `as_json` wrote, perhaps of another release: names it does not know are passed over."""
    return {
        name: Column(
            name,
            facts["type"],
            RequiredLevel(facts.get("required", RequiredLevel.NONE)),
            behavior=DateBehavior(facts.get("behavior", DateBehavior.USER_LOCAL)),
            options={int(value): labels[0] for value, labels in facts.get("options", {}).items()},
            labels={int(value): tuple(labels) for value, labels in facts.get("options", {}).items()},
            navigation=facts.get("navigation", {}),
            **{fact: facts[fact] for fact in _PLAIN if fact in facts},
        )
        for name, facts in content.items()
    }


def _column_json(column: Column) -> JsonObject:
    usual = Column("", "")
    facts: JsonObject = {"type": column.type}
    for fact in (*_PLAIN, "required", "behavior"):
        value = getattr(column, fact)
        if value != getattr(usual, fact):
            facts[fact] = value
    if column.options:
        facts["options"] = {
            str(value): [label, *column.labels.get(value, ())[1:]] for value, label in column.options.items()
        }
    if column.navigation:
        facts["navigation"] = dict(column.navigation)
    return facts


# ---------------------------------------------------------------- one column

_Told = tuple[str, str, bool]  # what, remedy, whether it rejects


def _concerned(mapping: MappingTable, before: Seen, now: Seen) -> Iterator[tuple[Rule | None, str]]:
    for rule in mapping.rows:
        if rule.target in before:
            yield rule, rule.target
    for name in now:
        if name not in before and name not in mapping.targets:  # else it would have been seen
            yield None, name


def _changes(rule: Rule | None, before: Column | None, now: Column | None, creates: bool) -> Iterator[_Told]:
    if rule is None or before is None:
        if creates and now is not None:
            yield f"column {now.logical_name} is required now", "Add a row for it.", True
        return
    name = rule.target
    if now is None:
        yield f"column {name} is gone", "Remove the row, or name the column that took its place.", True
        return
    if now.type != before.type:
        yield f"column {name} is a {now.type} instead of a {before.type}", "Adapt the row.", True
        return
    yield from _requirement(rule, before, now, creates)
    yield from _writability(rule, before, now, creates)
    yield from _bounds(rule, before, now)
    yield from _options(rule, before, now)
    yield from _targets(rule, before, now)


def _requirement(rule: Rule, before: Column, now: Column, creates: bool) -> Iterator[_Told]:
    was, needed = before.required in _ENFORCED, now.required in _ENFORCED
    if needed and not was:
        filled = rule.default is not None or isinstance(rule.origin, Constant)
        yield f"column {rule.target} is required now", "Give it a default.", creates and not filled
    elif was and not needed:
        yield f"column {rule.target} is not required any more", "Nothing needs to be done.", False


def _writability(rule: Rule, before: Column, now: Column, creates: bool) -> Iterator[_Told]:
    if before.creatable and not now.creatable:
        what = f"column {rule.target} cannot be set on a new record any more"
        yield what, "Remove the row.", creates
    if before.updatable and not now.updatable:
        what = f"column {rule.target} cannot be changed any more"
        yield what, "Write create_only.", rule.write is not WriteMode.CREATE_ONLY


def _bounds(rule: Rule, before: Column, now: Column) -> Iterator[_Told]:
    name = rule.target
    if now.max_length != before.max_length:
        shorter = now.max_length is not None and (before.max_length is None or now.max_length < before.max_length)
        what = f"{name} holds {_length(now)} characters instead of {_length(before)}"
        rejects = shorter and not rule.truncates and not isinstance(rule.origin, Constant)
        yield (
            what,
            "Add the step truncate, or map something shorter." if rejects else "Nothing needs to be done.",
            rejects,
        )
    if (now.minimum, now.maximum) != (before.minimum, before.maximum):
        narrower = _beyond(now.minimum, before.minimum, 1) or _beyond(now.maximum, before.maximum, -1)
        what = f"{name} takes {_range(now)} instead of {_range(before)}"
        yield what, "Map what fits." if narrower else "Nothing needs to be done.", narrower
    if now.precision != before.precision:
        what = f"{name} keeps {now.precision} decimals instead of {before.precision}"
        yield what, "Nothing needs to be done.", False
    if now.behavior is not before.behavior:
        what = f"{name} holds {_WORDS[now.behavior]} instead of {_WORDS[before.behavior]}"
        yield what, "Look at what is written there.", False


def _options(rule: Rule, before: Column, now: Column) -> Iterator[_Told]:
    name = rule.target
    for value, label in before.options.items():
        can_come = _can_come(rule, value, before.labels.get(value, (label,)))
        said = f"option *{label}* of {name}"
        if value not in now.options:
            remedy = "Map it to another option." if can_come else "Nothing needs to be done."
            yield f"{said} is gone", remedy, can_come
        elif now.options[value] != label:
            by_label = rule.choice is not None and can_come and label not in now.labels.get(value, ())
            remedy = "Map the old name to the new one." if by_label else "Nothing needs to be done."
            yield f"{said} was renamed to *{now.options[value]}*", remedy, by_label
    for value, label in now.options.items():
        if value not in before.options:
            yield f"option *{label}* of {name} is new", "Map what is to become of it, if anything.", False


def _targets(rule: Rule, before: Column, now: Column) -> Iterator[_Told]:
    name = rule.target
    for table in before.navigation:
        if table not in now.navigation:
            used = rule.lookup is not None and rule.lookup.table == table
            remedy = "Look up another table, or remove the row." if used else "Nothing needs to be done."
            yield f"lookup {name} does not point to {table} any more", remedy, used
    for table in now.navigation:
        if table not in before.navigation:
            yield f"lookup {name} can point to {table} too", "Nothing needs to be done.", False


def _can_come(rule: Rule, value: int, labels: Sequence[str]) -> bool:
    """Whether the rule may give this option. What prospects say themselves may be anything."""
    words = {str(value), *(label.casefold() for label in labels)}
    if rule.default is not None and rule.default.casefold() in words:
        return True
    if isinstance(rule.origin, Constant):
        return rule.origin.text.casefold() in words
    fixed = next((step.outputs for step in reversed(rule.steps) if step.outputs), ())
    return not fixed or any(text.casefold() in words for text in fixed)


def _length(column: Column) -> str:
    return "any number of" if column.max_length is None else str(column.max_length)


def _range(column: Column) -> str:
    low = "anything" if column.minimum is None else f"{column.minimum:.15g}"
    high = "anything" if column.maximum is None else f"{column.maximum:.15g}"
    return f"{low} to {high}"


def _beyond(now: float | None, before: float | None, direction: int) -> bool:
    """Whether a bound has moved in this direction."""
    return now is not None and (before is None or direction * (now - before) > 0)
