"""Tells how one prospect goes through a mapping: each rule's value at its source, after every step, and in the column.

The values are those of `applying`, which this asks rule by rule; here nothing is decided anew. For people who write a
mapping and for its examples; the engine has no use for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import pandas as pd

from dynamics.core.mapping.applying import Chunk, MappingReject, apply_mapping
from dynamics.core.mapping.checking import missing_required
from dynamics.core.mapping.rules import Mapping, Rule
from dynamics.core.metadata import TableMetadata

REQUIRED = "required"  # the rule that a new record breaks when a column it needs is blank


class Fate(StrEnum):
    """What a rule has come to for a new record."""

    VALUE = "value"
    DEFAULT = "default"
    BLANK = "blank"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Stage:
    """A value on its way: at the source (`step` is ""), or after a step. None is a blank; it may be a Misfit."""

    step: str
    value: object


@dataclass(frozen=True)
class RuleStory:
    """One rule with this prospect. `value`: what a new record gets; `told`: the reject or the warnings, in words."""

    rule: Rule
    stages: tuple[Stage, ...]
    fate: Fate
    value: object
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewRecord:
    """The record that this prospect would make: its columns, or why it makes none."""

    values: dict[str, object]
    reject: MappingReject | None
    warnings: tuple[str, ...]


def new_record(mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata) -> NewRecord:
    """What a create would send of one prospect: values, defaults where the source is blank, no blanks.

    Args:
        frame: one row, as `prospect_frame` gives it.
    """
    mapped = apply_mapping(mapping, frame, metadata)
    label = frame.index[0]
    found = {name: value for name, value in mapped.by_label[label].items() if value is not None}
    merged = mapped.defaults | found
    values = {name: merged[name] for name in mapping.targets if name in merged}
    reject = mapped.rejects.get(label) or _incomplete(metadata, values)
    return NewRecord({} if reject else values, reject, tuple(mapped.warnings.get(label, ())))


def explain(mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata) -> tuple[RuleStory, ...]:
    """How one prospect goes through each rule, in the order of the table. Arguments as for `new_record`."""
    chunk = Chunk(mapping, frame)
    return tuple(_story(rule, mapping, chunk, frame, metadata) for rule in mapping.rows)


def _story(rule: Rule, mapping: Mapping, chunk: Chunk, frame: pd.DataFrame, metadata: TableMetadata) -> RuleStory:
    mapped = apply_mapping(replace(mapping, rows=(rule,)), frame, metadata)
    label = frame.index[0]
    stages = tuple(_stages(rule, chunk))
    reject = mapped.rejects.get(label)
    if reject is not None:
        return RuleStory(rule, stages, Fate.REJECTED, None, (reject.message,))
    value = mapped.by_label[label][rule.target]
    told = tuple(
        text for text in mapped.warnings.get(label, ()) if text.partition(":")[0] in (rule.target, *rule.paths)
    )
    if value is not None:
        return RuleStory(rule, stages, Fate.VALUE, value, told)
    default = mapped.defaults.get(rule.target)
    return RuleStory(rule, stages, Fate.BLANK if default is None else Fate.DEFAULT, default, told)


def _stages(rule: Rule, chunk: Chunk) -> Iterator[Stage]:
    cells = chunk.origin(rule)
    yield Stage("", cells[0])
    for step in rule.steps:
        cells = step.over(cells, chunk.regions)
        yield Stage(str(step), cells[0])


def _incomplete(metadata: TableMetadata, values: dict[str, object]) -> MappingReject | None:
    missing = missing_required(metadata, values)
    if not missing:
        return None
    message = f"a new {metadata.logical_name} needs {', '.join(missing)}; the source is blank and there is no default"
    return MappingReject(missing[0], REQUIRED, "a blank", message)
