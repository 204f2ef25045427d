"""Holds a mapping against an account's live metadata, before anything is claimed, and rows against what must be there.

Leaves what can be seen in the table alone to `parsing`. Source: Dataverse page "AttributeMetadata" (IsValidForCreate,
IsValidForUpdate, RequiredLevel).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from collections.abc import Mapping as ReadOnly
from types import MappingProxyType

from dynamics.core.lookup import KEY_TYPES, LookupAnswers, LookupKey, LookupMiss
from dynamics.core.mapping.applying import converter, missing_fault
from dynamics.core.mapping.choices import takes
from dynamics.core.mapping.coercion import NUMBER_TYPES, OPTION_TYPES, SEVERAL_OPTIONS, TEXT_TYPES, Misfit, coercer
from dynamics.core.mapping.rules import Blank, Choice, Constant, Mapping, OnMissing, Rule, WriteMode
from dynamics.core.metadata import Column, RequiredLevel, TableMetadata
from dynamics.errors import Fault

# A new record must bring these when they are required. Owner, state, ids and yes/no columns are filled by the server.
SUPPLIED_TYPES = TEXT_TYPES | NUMBER_TYPES | {"Integer", "Picklist", SEVERAL_OPTIONS, "DateTime", "Lookup", "Customer"}
_REQUIRED = frozenset({RequiredLevel.APPLICATION, RequiredLevel.SYSTEM})


def looked_up_tables(mapping: Mapping, metadata: TableMetadata) -> list[str]:
    """The tables that a mapping looks up records of, as far as its columns point there: what a check must know."""
    pairs = ((metadata.columns.get(rule.target), rule.lookup) for rule in mapping.lookups)
    return sorted({lookup.table for column, lookup in pairs if column and lookup and lookup.table in column.navigation})


def check_mapping(
    mapping: Mapping,
    metadata: TableMetadata,
    creates: bool,
    others: ReadOnly[str, TableMetadata] = MappingProxyType({}),
) -> list[Fault]:
    """Everything about a mapping that would fail in this account.

    Args:
        mapping: without faults of its own.
        metadata: of the mapping's table in the account.
        creates: whether the sync action creates records of this table.
        others: of all `looked_up_tables`.
    Returns:
        0..n faults, each with file, line and remedy.
    """
    faults = [
        Fault(mapping.file, rule.line, what, remedy)
        for rule in mapping.rows
        for what, remedy in _rule_faults(rule, metadata, creates, others)
    ]
    if creates:
        faults += [
            Fault(mapping.file, None, f"A new {mapping.table} needs '{name}'; it is not mapped.", "Add a row for it.")
            for name in _required_columns(metadata)
            if name not in mapping.targets
        ]
    return faults


def fixed_lookups(mapping: Mapping) -> dict[LookupKey, Rule]:
    """The records that the table itself names, by constants and defaults, and that must exist beforehand."""
    fixed: dict[LookupKey, Rule] = {}
    for rule in mapping.lookups:
        if rule.lookup is None or rule.lookup.on_missing is OnMissing.BLANK:
            continue
        named = [rule.default]
        if isinstance(rule.origin, Constant) and rule.lookup.on_missing is OnMissing.REJECT:
            named.append(rule.origin.text)
        fixed |= {LookupKey.of(rule.lookup.table, rule.lookup.column, text): rule for text in named if text}
    return fixed


def lookup_faults(mapping: Mapping, answers: LookupAnswers) -> list[Fault]:
    """The fixed lookups that name no record, or several. `answers` to all of them."""
    return [
        missing_fault(mapping, rule, key, miss)
        for key, rule in fixed_lookups(mapping).items()
        if isinstance(miss := answers[key], LookupMiss)
    ]


def missing_required(metadata: TableMetadata, values: ReadOnly[str, object]) -> list[str]:
    """Columns without which Dynamics regards a new record as incomplete, sorted, that `values` does not fill."""
    return [name for name in _required_columns(metadata) if values.get(name) is None]


def _required_columns(metadata: TableMetadata) -> list[str]:
    return sorted(
        column.logical_name
        for column in metadata.columns.values()
        if column.required in _REQUIRED and column.creatable and column.type in SUPPLIED_TYPES
    )


def _rule_faults(
    rule: Rule, metadata: TableMetadata, creates: bool, others: ReadOnly[str, TableMetadata]
) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do."""
    column = metadata.columns.get(rule.target)
    if column is None:
        yield f"{metadata.logical_name} has no column '{rule.target}'.", _nearest(rule.target, metadata)
        return
    if coercer(column) is None:
        yield f"'{rule.target}' has the type {column.type}, which cannot be mapped.", "Remove the row."
        return
    yield from _writing_faults(rule, column, creates)
    if column.is_lookup or rule.lookup is not None:
        yield from _lookup_faults(rule, column, others)
    elif rule.choice is not None and not takes(column, rule.choice):
        yield _choice_fault(rule, column)
    else:
        yield from _fixed_value_faults(rule, column)


def _choice_fault(rule: Rule, column: Column) -> tuple[str, str]:
    other = next((choice for choice in Choice if takes(column, choice)), None)
    if other is None:
        return f"'{rule.target}' has no options to choose from.", f"Remove the step {rule.choice}."
    return f"'{rule.target}' is filled by '{other}', not by '{rule.choice}'.", f"Write {other}."


def _lookup_faults(rule: Rule, column: Column, others: ReadOnly[str, TableMetadata]) -> Iterator[tuple[str, str]]:
    name, lookup, tables = rule.target, rule.lookup, ", ".join(column.navigation)
    if not column.is_lookup:
        yield f"'{name}' is no lookup.", "Remove the step lookup."
    elif lookup is None:
        remedy = f"End the transform with lookup({next(iter(column.navigation), 'table')}.<column>)."
        yield f"'{name}' is a lookup, it takes no value of its own.", remedy
    elif lookup.table not in column.navigation:
        yield f"'{name}' cannot point to '{lookup.table}'.", f"It points to {tables}."
    elif lookup.table in others:
        other = others[lookup.table]
        key = other.columns.get(lookup.column)
        if key is None:
            yield f"{lookup.table} has no column '{lookup.column}'.", _nearest(lookup.column, other)
        elif key.type not in KEY_TYPES:
            what = f"No record of {lookup.table} can be looked up by '{lookup.column}', which has the type {key.type}."
            yield what, f"Look it up by a text column, like {other.primary_name or 'its name'}."


def _nearest(name: str, table: TableMetadata) -> str:
    near = difflib.get_close_matches(name, table.columns, n=1)
    return f"Did you mean '{near[0]}'?" if near else "Write the column's logical name."


def _writing_faults(rule: Rule, column: Column, creates: bool) -> Iterator[tuple[str, str]]:
    name = rule.target
    if not column.creatable and not column.updatable:
        yield f"'{name}' is filled by Dynamics and cannot be written.", "Remove the row."
    elif not column.updatable and rule.write is not WriteMode.CREATE_ONLY:
        yield f"'{name}' can be set on a new record only.", "Write create_only."
    elif not column.creatable and (creates or rule.write is WriteMode.CREATE_ONLY):
        yield f"'{name}' cannot be set on a new record.", "Remove the row."
    if rule.write is WriteMode.APPEND and column.type not in TEXT_TYPES:
        yield f"'{name}' is no text, nothing can be appended to it.", "Write always or if_empty."
    if rule.truncates and column.type not in TEXT_TYPES:
        yield f"'{name}' is no text and is never cut.", "Remove truncate."
    if rule.blank is Blank.CLEAR and column.required in _REQUIRED:
        yield f"'{name}' is required and cannot be cleared.", "Write keep."


def _fixed_value_faults(rule: Rule, column: Column) -> Iterator[tuple[str, str]]:
    """Constants, defaults and what a value table gives stand in the files: whether they fit can be told now."""
    convert = converter(rule, column)
    fixed = [("default", rule.default), ("constant", rule.origin.text if isinstance(rule.origin, Constant) else None)]
    if rule.steps and not rule.truncates:
        fixed += [(f"value table's '{text}'", text) for text in rule.steps[-1].outputs]
    for kind, text in fixed:
        fitted = convert(text) if convert is not None and text else None
        if isinstance(fitted, Misfit):
            options = ", ".join(f"{value} {label}" for value, label in column.options.items())
            with_options = column.type in OPTION_TYPES | {SEVERAL_OPTIONS} and options
            remedy = f"It takes {options}." if with_options else f"It takes a {column.type}."
            yield f"The {kind} does not go into '{rule.target}': {fitted}.", remedy
