"""Tells how one prospect goes through a mapping: each rule's value at its source, after every step, and in the column.

The values are those of `applying`, which this asks rule by rule; here nothing is decided anew. For people who write a
mapping and for its examples; the engine has no use for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import NAMESPACE_OID, uuid5

import pandas as pd

from dynamics.core.lookup import LookupAnswers, LookupKey, lookup_value
from dynamics.core.mapping.applying import MappingReject, apply_mapping, stages_of
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


def stand_ins(keys: Iterable[LookupKey]) -> dict[LookupKey, str]:
    """References to records that nobody has looked up, for where there is no CRM. `in_words` tells them."""
    return {key: lookup_value(key.table, uuid5(NAMESPACE_OID, "\0".join(key))) for key in keys}


def in_words(value: object, answers: LookupAnswers) -> object:
    """A stand-in as `campaign where codename = FLOW25`; any other value as it is."""
    named = {answer: key for key, answer in answers.items() if answer == stand_ins([key])[key]}
    key = named.get(value) if isinstance(value, str) else None
    return value if key is None else f"{key.table} where {key.column} = {key.text}"


def new_record(mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata, answers: LookupAnswers) -> NewRecord:
    """What a create would send of one prospect: values, defaults where the source is blank, no blanks.

    Args:
        frame: one row, as `prospect_frame` gives it.
        answers: to the mapping's `wanted_lookups`; stand-ins are told in words.
    """
    mapped = apply_mapping(mapping, frame, metadata, answers)
    label = frame.index[0]
    merged = mapped.defaults | {name: value for name, value in mapped.by_label[label].items() if value is not None}
    values = {name: in_words(merged[name], answers) for name in mapping.targets if name in merged}
    reject = mapped.rejects.get(label) or _incomplete(metadata, values)
    return NewRecord({} if reject else values, reject, tuple(mapped.warnings.get(label, ())))


def explain(
    mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata, answers: LookupAnswers
) -> tuple[RuleStory, ...]:
    """How one prospect goes through each rule, in the order of the table. Arguments as for `new_record`."""
    return tuple(_story(rule, mapping, frame, metadata, answers) for rule in mapping.rows)


def _story(
    rule: Rule, mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata, answers: LookupAnswers
) -> RuleStory:
    mapped = apply_mapping(replace(mapping, rows=(rule,)), frame, metadata, answers)
    label = frame.index[0]
    names = ["", *map(str, rule.steps)]
    stages = [Stage(name, cells[0]) for name, cells in zip(names, stages_of(rule, mapping, frame), strict=True)]
    reject = mapped.rejects.get(label)
    if reject is not None:
        return RuleStory(rule, tuple(stages), Fate.REJECTED, None, (reject.message,))
    value = in_words(mapped.by_label[label].get(rule.target), answers)
    if len(rule.transform) > len(rule.steps) and value is not None:
        stages.append(Stage(rule.transform[-1], value))
    told = mapped.warnings.get(label, ())
    own = tuple(text for text in told if text.partition(":")[0] in (rule.target, *rule.paths))
    if value is not None:
        return RuleStory(rule, tuple(stages), Fate.VALUE, value, own)
    default = in_words(mapped.defaults.get(rule.target), answers)
    return RuleStory(rule, tuple(stages), Fate.BLANK if default is None else Fate.DEFAULT, default, own)


def _incomplete(metadata: TableMetadata, values: dict[str, object]) -> MappingReject | None:
    missing = missing_required(metadata, values)
    if not missing:
        return None
    message = f"a new {metadata.logical_name} needs {', '.join(missing)}; the source is blank and there is no default"
    return MappingReject(missing[0], REQUIRED, "a blank", message)
