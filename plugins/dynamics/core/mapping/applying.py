"""Maps a chunk of prospects: source values, transforms, the form a Dataverse column takes, and who does not fit.

A value that does not fit rejects its prospect with the column named; nothing but `truncate` ever shortens. Leaves what
a record holds already to `merge`. Works column by column over the whole chunk.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from dynamics.core.countries import country_code
from dynamics.core.mapping.coercion import Coercer, Misfit, coercer, text_of, value_class
from dynamics.core.mapping.rules import Blank, Constant, Mapping, Path, Rule, Template
from dynamics.core.metadata import Column, TableMetadata
from dynamics.core.normalize import clean_text, truncate_utf16, utf16_length
from dynamics.core.prospect import source_values
from dynamics.errors import ConfigurationError, Fault

Cells = list[object]


@dataclass(frozen=True)
class MappingReject:
    """Why a prospect cannot be written: the first column that does not take its value. Never holds the value."""

    column: str
    rule: str
    value_class: str
    message: str


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
        """Index label -> target -> value, blanks included."""
        targets = list(self.values.columns)
        rows = zip(*(self.values[target] for target in targets), strict=True)
        return {label: dict(zip(targets, row, strict=True)) for label, row in zip(self.values.index, rows, strict=True)}


def apply_mapping(mapping: Mapping, frame: pd.DataFrame, metadata: TableMetadata) -> Mapped:
    """Map a chunk.

    Args:
        mapping: checked against this metadata.
        frame: as `prospect_frame` gives it, unique index.
        metadata: of the mapping's table.
    Raises:
        ConfigurationError: a column or its type has changed since the mapping was checked.
    """
    chunk = Chunk(mapping, frame)
    columns: dict[str, pd.Series[Any]] = {}
    defaults: dict[str, object] = {}
    for rule in mapping.rows:
        column, convert = _column_of(rule, mapping, metadata)
        cells = chunk.fitted(rule, column, convert)
        columns[rule.target] = pd.Series(cells, index=frame.index, dtype=object)
        if rule.default is not None:
            defaults[rule.target] = _fitting(convert(rule.default), rule, mapping)
    values = pd.DataFrame(columns, index=frame.index)
    clear = frozenset(rule.target for rule in mapping.rows if rule.blank is Blank.CLEAR)
    return Mapped(values, clear, defaults, chunk.rejects, chunk.warnings)


def update_values(mapped: Mapped, label: Hashable) -> dict[str, object]:
    """What an existing record is told: no blanks, but for columns that a blank clears, which are None."""
    return {name: value for name, value in mapped.by_label[label].items() if value is not None or name in mapped.clear}


class Chunk:
    """One chunk on its way through a mapping: cleaned source values, and what was noted about them."""

    def __init__(self, mapping: Mapping, frame: pd.DataFrame) -> None:
        self.index = frame.index
        self.rejects: dict[Any, MappingReject] = {}
        self.warnings: dict[Any, list[str]] = {}
        values = source_values(frame, mapping.paths)
        self.values = {path: self._cleaned(path, list(values[path])) for path in values.columns}
        self.regions = self._regions() if mapping.needs_region else [None] * len(frame)

    def fitted(self, rule: Rule, column: Column, convert: Coercer) -> Cells:
        """The rule's column; prospects whose value does not fit are noted."""
        cells = self.origin(rule)
        for step in rule.steps:
            cells = step.over(cells, self.regions)
        if rule.truncates and column.max_length is not None:
            cells = self._truncated(column.logical_name, column.max_length, cells)
        fitted = [cell if cell is None or isinstance(cell, Misfit) else convert(cell) for cell in cells]
        for label, cell in zip(self.index, fitted, strict=True):
            if isinstance(cell, Misfit):
                reject = MappingReject(rule.target, cell.rule, cell.value_class, f"{rule.target}: {cell}")
                self.rejects.setdefault(label, reject)
        return [None if isinstance(cell, Misfit) else cell for cell in fitted]

    def origin(self, rule: Rule) -> Cells:
        """The rule's source, before any step."""
        origin = rule.origin
        if isinstance(origin, Path):
            return self.values[origin.path]
        if isinstance(origin, Constant):
            return [origin.text] * len(self.index)
        rows = zip(*(self.values[path] for path in origin.paths), strict=True)
        return [_filled(origin, row) for row in rows]

    def _truncated(self, target: str, limit: int, cells: Cells) -> Cells:
        cut: Cells = []
        for label, cell in zip(self.index, cells, strict=True):
            text = None if cell is None else text_of(cell)
            if text is None or utf16_length(text) <= limit:
                cut.append(cell)
                continue
            cut.append(truncate_utf16(text, limit) or None)
            self._warn(label, f"{target}: {value_class(text)} was cut to {limit}")
        return cut

    def _cleaned(self, path: str, cells: Cells) -> Cells:
        """Texts without what Dynamics cannot hold; a list's items too."""
        for position, cell in enumerate(cells):
            if isinstance(cell, str) and cell.isascii() and cell.isprintable():
                continue  # most are
            if isinstance(cell, (str, list)):
                cells[position], removed = _clean(cell)
                if removed:
                    self._warn(self.index[position], f"{path}: {removed} unwritable characters were removed")
        return cells

    def _regions(self) -> list[str | None]:
        """The country whose national numbers a prospect's telephone numbers are."""
        pairs = zip(self.values["address.country_code"], self.values["address.country"], strict=True)
        return [country_code(str(code or name)) if code or name else None for code, name in pairs]

    def _warn(self, label: object, text: str) -> None:
        self.warnings.setdefault(label, []).append(text)


def _clean(cell: str | list[Any]) -> tuple[object, int]:
    if isinstance(cell, str):
        text, removed = clean_text(cell)
        return (text if text and not text.isspace() else None), removed
    items = [_clean(item) if isinstance(item, str) else (item, 0) for item in cell]
    return [item for item, _ in items if item is not None] or None, sum(removed for _, removed in items)


def _filled(template: Template, values: Sequence[object]) -> str | Misfit | None:
    """The template with its values, each without outer blanks; None when all are blank.

    What stands between two values needs both. Words at the outer ends always stay, punctuation there goes with the
    value it stands next to: `{company.name} ({event.name})` without an event is the company alone.
    """
    texts = []
    for value in values:
        text = "" if value is None else text_of(value)
        if text is None:
            return Misfit("not_text", value_class(value), "cannot be written as text")
        texts.append(text.strip())
    return "".join(_parts(template.literals, texts)) if any(texts) else None


def _parts(literals: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
    if texts[0] or _has_words(literals[0]):
        yield literals[0]
    begun = False
    for number, text in enumerate(texts):
        if text:
            if begun:
                yield literals[number]
            yield text
            begun = True
    if texts[-1] or _has_words(literals[-1]):
        yield literals[-1]


def _has_words(literal: str) -> bool:
    return any(char.isalnum() for char in literal)


def _column_of(rule: Rule, mapping: Mapping, metadata: TableMetadata) -> tuple[Column, Coercer]:
    column = metadata.columns.get(rule.target)
    convert = None if column is None else coercer(column)
    if column is None or convert is None:
        what = f"{metadata.logical_name} has no column '{rule.target}' that can be mapped any more."
        raise ConfigurationError([Fault(mapping.file, rule.line, what, "Check the mapping against the account.")])
    return column, convert


def _fitting(fitted: object, rule: Rule, mapping: Mapping) -> object:
    if isinstance(fitted, Misfit):
        what = f"The default does not go into '{rule.target}' any more: {fitted}."
        raise ConfigurationError([Fault(mapping.file, rule.line, what, "Change the default.")])
    return fitted
