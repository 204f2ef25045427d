"""Maps a chunk of prospects: source values, transforms, the form a Dataverse column takes, and who does not fit.

A value that does not fit rejects its prospect with the column named; nothing but `truncate` ever shortens. Leaves what
a record holds already to `merge`. Works column by column over the whole chunk.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from dynamics.core.countries import country_code
from dynamics.core.lookup import LookupAnswers, LookupKey, LookupMiss
from dynamics.core.mapping.choices import chooser, takes
from dynamics.core.mapping.coercion import Coercer, Misfit, coercer, fits_as_it_is, text_of, value_class
from dynamics.core.mapping.rules import Blank, Constant, Later, Lookup, Mapping, OnMissing, Path, Rule
from dynamics.core.mapping.templates import filled
from dynamics.core.metadata import Column, TableMetadata
from dynamics.core.normalize import clean_text, is_clean, truncate_utf16, utf16_length
from dynamics.core.prospect import path_values
from dynamics.errors import ConfigurationError, Fault

Cells = list[object]
NO_ANSWERS: LookupAnswers = MappingProxyType({})


@dataclass(frozen=True)
class MappingReject:
    """Why a prospect cannot be written: the first column that does not take its value. Never holds the value.

    `passing`: nothing is wrong but that a record it points to is missing, and it may wait for that.
    """

    column: str
    rule: str
    value_class: str
    message: str
    passing: bool = False


@dataclass(frozen=True, eq=False)
class Mapped:
    """A mapped chunk.

    `values`: the chunk's index, one object column a target, JSON values, None = blank. `clear`: targets whose blank
    empties the record. `defaults`: for a create. `rejects` and `warnings` by index label.
    """

    values: pd.DataFrame
    clear: frozenset[str]
    defaults: dict[str, object]
    rejects: dict[Any, MappingReject]
    warnings: dict[Any, list[str]]

    @cached_property
    def by_label(self) -> dict[Any, dict[str, object]]:
        """Index label -> target -> value. Blanks are absent, but for columns that a blank clears."""
        rows: list[dict[str, object]] = [{} for _ in range(len(self.values))]
        for target in self.values.columns:
            cells = self.values[target].tolist()
            if target in self.clear:
                for row, value in zip(rows, cells, strict=True):
                    row[target] = value
            elif cells.count(None) < len(cells):  # many columns are of nobody
                for row, value in zip(rows, cells, strict=True):
                    if value is not None:
                        row[target] = value
        return dict(zip(self.values.index, rows, strict=True))


def wanted_lookups(mapping: Mapping, frame: pd.DataFrame) -> frozenset[LookupKey]:
    """Every record that the chunk's lookups ask for, by prospects' values as well as by defaults."""
    chunk = _Chunk(replace(mapping, rows=mapping.lookups), frame)
    cells = ((rule.lookup, cell) for rule in mapping.lookups for cell in (rule.default, *chunk.stepped(rule)))
    keys = (lookup_key(lookup, cell) for lookup, cell in cells if lookup is not None)
    return frozenset(key for key in keys if key is not None)


def lookup_key(lookup: Lookup, cell: object) -> LookupKey | None:
    """The record that a value asks for; None when it asks for none."""
    text = None if cell is None or isinstance(cell, Misfit) else text_of(cell)
    return LookupKey.of(lookup.table, lookup.column, text) if text else None


def missing_fault(mapping: Mapping, rule: Rule, key: LookupKey, miss: LookupMiss) -> Fault:
    """A record that the table itself names and that is not there: no prospect is to blame."""
    what = f"'{key.text}' for '{rule.target}' {miss.value} in {key.table}.{key.column}."
    return Fault(mapping.file, rule.line, what, "Correct the text, or the record in Dynamics.")


def apply_mapping(
    mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata, lookups: LookupAnswers = NO_ANSWERS
) -> Mapped:
    """Map a chunk.

    Args:
        mapping: checked against this metadata.
        frame: as `prospect_frame` gives it, unique index.
        metadata: of the mapping's table.
        lookups: an answer to each of `wanted_lookups`.
    Raises:
        ConfigurationError: a column or its type has changed since the mapping was checked, or a record that the table
            itself names (by a constant or a default) is no longer there.
        KeyError: a lookup has no answer.
    """
    chunk = _Chunk(mapping, frame, lookups)
    block = np.empty((len(frame), len(mapping.rows)), dtype=object)  # filled whole: a Series each would cost a fifth
    defaults: dict[str, object] = {}
    for position, rule in enumerate(mapping.rows):
        column, convert = _column_of(rule, mapping, metadata)
        block[:, position] = np.fromiter(chunk.fitted(rule, column, convert), dtype=object, count=len(frame))
        if (default := _default(rule, mapping, lookups)) is not None:
            defaults[rule.target] = _fitting(convert(default), rule, mapping)
    values = pd.DataFrame(block, index=frame.index, columns=[rule.target for rule in mapping.rows], dtype=object)
    clear = frozenset(rule.target for rule in mapping.rows if rule.blank is Blank.CLEAR)
    return Mapped(values, clear, defaults, chunk.rejects, chunk.warnings)


def update_values(mapped: Mapped, label: Hashable) -> dict[str, object]:
    """What an existing record is told: no blanks, but for columns that a blank clears, which are None."""
    return mapped.by_label[label]


def stages_of(rule: Rule, mapping: Mapping, frame: pd.DataFrame) -> list[Cells]:
    """The rule's column at its source and after each of its steps, as far as no record is looked up."""
    chunk = _Chunk(mapping, frame)
    return [chunk.stepped(replace(rule, steps=rule.steps[:count])) for count in range(len(rule.steps) + 1)]


class _Chunk:
    """One chunk on its way through a mapping: cleaned source values, and what was noted about them."""

    def __init__(self, mapping: Mapping, frame: pd.DataFrame, lookups: LookupAnswers = NO_ANSWERS) -> None:
        self.labels: list[Any] = frame.index.tolist()
        self.mapping = mapping
        self.lookups = lookups
        self.rejects: dict[Any, MappingReject] = {}
        self.warnings: dict[Any, list[str]] = {}
        self.values = {path: self._cleaned(path, cells) for path, cells in path_values(frame, mapping.paths).items()}
        self.regions = self._regions() if mapping.needs_region else [None] * len(frame)

    def fitted(self, rule: Rule, column: Column, convert: Coercer) -> Cells:
        """The rule's column; prospects whose value does not fit are noted."""
        cells = self.stepped(rule)
        if rule.lookup is not None:
            cells = self._looked_up(rule, rule.lookup, cells)
        if fits_as_it_is(column, cells):
            return cells
        if rule.truncates and column.max_length is not None:
            cells = self._truncated(column.logical_name, column.max_length, cells)
        fitted = [cell if cell is None or isinstance(cell, Misfit) else convert(cell) for cell in cells]
        if Misfit not in set(map(type, fitted)):
            return fitted
        for label, cell in zip(self.labels, fitted, strict=True):
            if isinstance(cell, Misfit):
                self._reject(label, rule.target, cell)
        return [None if isinstance(cell, Misfit) else cell for cell in fitted]

    def stepped(self, rule: Rule) -> Cells:
        """The rule's source after its steps; blanks are None."""
        cells = self._origin(rule)
        for step in rule.steps:
            cells = step.over(cells, self.regions)
        return cells

    def _looked_up(self, rule: Rule, lookup: Lookup, cells: Cells) -> Cells:
        """References in place of the texts that ask for them."""
        found: Cells = []
        for label, cell in zip(self.labels, cells, strict=True):
            key = lookup_key(lookup, cell)
            answer = cell if key is None else self.lookups[key]
            if not isinstance(answer, LookupMiss):
                found.append(answer)
                continue
            if key is not None and isinstance(rule.origin, Constant) and lookup.on_missing is OnMissing.REJECT:
                raise ConfigurationError([missing_fault(self.mapping, rule, key, answer)])
            problem = f"{answer.value} in {lookup.table}.{lookup.column}"
            if lookup.on_missing is OnMissing.BLANK:
                self._warn(label, f"{rule.target}: {value_class(cell)} {problem}")
                found.append(None)
            else:
                waits = lookup.on_missing is OnMissing.DEFER
                found.append(Misfit(answer.rule, value_class(cell), problem, waits))
        return found

    def _origin(self, rule: Rule) -> Cells:
        origin = rule.origin
        if isinstance(origin, Path):
            return self.values[origin.path]
        if isinstance(origin, Constant):
            return [origin.text] * len(self.labels)
        if isinstance(origin, Later):
            return [None] * len(self.labels)
        rows = zip(*(self.values[path] for path in origin.paths), strict=True)
        return [filled(origin, row) for row in rows]

    def _truncated(self, target: str, limit: int, cells: Cells) -> Cells:
        cut: Cells = []
        for label, cell in zip(self.labels, cells, strict=True):
            text = cell if cell is None or isinstance(cell, str) else text_of(cell)
            if text is None or 2 * len(text) <= limit or utf16_length(text) <= limit:
                cut.append(cell)
                continue
            cut.append(truncate_utf16(text, limit) or None)
            self._warn(label, f"{target}: {value_class(text)} was cut to {limit}")
        return cut

    def _cleaned(self, path: str, cells: Cells) -> Cells:
        """Texts without what Dynamics cannot hold; a list's items too."""
        if _all_clean(cells):
            return cells
        for position, cell in enumerate(cells):
            if isinstance(cell, (str, list)):
                cells[position], removed = _clean(cell)
                if removed:
                    self._warn(self.labels[position], f"{path}: {removed} unwritable characters were removed")
        return cells

    def _regions(self) -> list[str | None]:
        """The country whose national numbers a prospect's telephone numbers are."""
        pairs = zip(self.values["address.country_code"], self.values["address.country"], strict=True)
        named = [str(code or name or "") for code, name in pairs]
        codes = {name: country_code(name) for name in set(named)}
        return [codes[name] for name in named]

    def _reject(self, label: object, target: str, cell: Misfit) -> None:
        """Note the first column that does not fit; one that never will weighs more than one that waits."""
        before = self.rejects.get(label)
        if before is None or (before.passing and not cell.passing):
            message = f"{target}: {cell}"
            self.rejects[label] = MappingReject(target, cell.rule, cell.value_class, message, cell.passing)

    def _warn(self, label: object, text: str) -> None:
        self.warnings.setdefault(label, []).append(text)


def _all_clean(cells: Cells) -> bool:
    """Whether nothing of a column need be changed, seen at once. Most columns are like that."""
    try:
        return is_clean(" ".join(filter(None, cells)))  # type: ignore[arg-type]
    except TypeError:  # numbers or lists are among them
        return False


def _clean(cell: str | list[Any]) -> tuple[object, int]:
    if isinstance(cell, str):
        text, removed = clean_text(cell)
        return (text if text and not text.isspace() else None), removed
    items = [_clean(item) if isinstance(item, str) else (item, 0) for item in cell]
    return [item for item, _ in items if item is not None] or None, sum(removed for _, removed in items)


def _column_of(rule: Rule, mapping: Mapping, metadata: TableMetadata) -> tuple[Column, Coercer]:
    column = metadata.columns.get(rule.target)
    convert = None if column is None else converter(rule, column)
    if column is None or convert is None:
        what = f"{metadata.logical_name} has no column '{rule.target}' that can be mapped any more."
        raise ConfigurationError([Fault(mapping.file, rule.line, what, "Check the mapping against the account.")])
    return column, convert


def converter(rule: Rule, column: Column) -> Coercer | None:
    """How what the rule's steps give becomes a value of the column; None: that column does not take such a rule."""
    if isinstance(rule.origin, Later):
        return coercer(column)
    if rule.lookup is not None or column.is_lookup:
        points = rule.lookup is not None and rule.lookup.table in column.navigation
        return coercer(column) if points else None
    if rule.choice is not None:
        return chooser(column, rule.choice) if takes(column, rule.choice) else None
    return coercer(column)


def _default(rule: Rule, mapping: Mapping, lookups: LookupAnswers) -> str | None:
    """The rule's default, looked up where the rule looks up."""
    if rule.lookup is None or rule.default is None:
        return rule.default
    key = LookupKey.of(rule.lookup.table, rule.lookup.column, rule.default)
    answer = lookups[key]
    if isinstance(answer, str):
        return answer
    if rule.lookup.on_missing is OnMissing.BLANK:
        return None
    raise ConfigurationError([missing_fault(mapping, rule, key, answer)])


def _fitting(fitted: object, rule: Rule, mapping: Mapping) -> object:
    if isinstance(fitted, Misfit):
        what = f"The default does not go into '{rule.target}' any more: {fitted}."
        raise ConfigurationError([Fault(mapping.file, rule.line, what, "Change the default.")])
    return fitted
