"""A mapping tried out without a run: on one prospect of a file, and on the examples of its mapping set.

Brings together what lies in files: mapping tables, snapshots of columns, prospects, examples. What comes of them is
decided in `core.mapping`; nothing is claimed, stored or sent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from dynamics.captello.files import FileSource
from dynamics.captello.shape import shape_fault
from dynamics.config.columns import read_columns
from dynamics.config.include import read_text, shown
from dynamics.config.mapping_sets import MappingSet, load_mapping_set
from dynamics.core.capture import Selection
from dynamics.core.lookup import LookupAnswers, LookupKey
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import check_mapping, fixed_lookups, looked_up_tables, lookup_faults, wanted_lookups
from dynamics.core.mapping.examples import differences, example_fault, outcome_of
from dynamics.core.mapping.explaining import NewRecord, RuleStory, explain, new_record, stand_ins
from dynamics.core.metadata import TableMetadata
from dynamics.core.prospect import prospect_frame
from dynamics.errors import ConfigurationError, Fault

EXAMPLES = "examples"
Json = dict[str, Any]


class Organisation(Protocol):
    """What is asked of a live organisation."""

    def metadata(self, table: str) -> TableMetadata: ...

    def look_up(self, keys: Collection[LookupKey]) -> LookupAnswers: ...


@dataclass(frozen=True)
class Example:
    """One file of include/mappings/<set>/examples/."""

    file: str
    about: str
    prospect: Json
    expected: Json


@dataclass(frozen=True)
class Rehearsal:
    """A mapping set on the stage. `crm`: the live organisation, whose columns and records count; else the snapshots'
    columns do, and records that are looked up are taken to be there."""

    include: Path
    name: str
    crm: Organisation | None = None

    @cached_property
    def mappings(self) -> MappingSet:
        """Raises ConfigurationError."""
        return load_mapping_set(self.include, self.name)

    def columns(self, table: str) -> TableMetadata:
        """Raises ConfigurationError, and with a live organisation AccountError and TransientError."""
        if self.crm is not None:
            return self.crm.metadata(table)
        return read_columns(self.include, self.name, table)[0]

    def check(self, table: str) -> None:
        """Hold the table's mapping against the columns. Raises ConfigurationError with every fault."""
        mapping, columns = self._mapping(table), self.columns(table)
        looked_up = looked_up_tables(mapping, columns) if self.crm is not None else ()
        faults = check_mapping(mapping, columns, creates=True, others={each: self.columns(each) for each in looked_up})
        if self.crm is not None:
            faults = faults or lookup_faults(mapping, self.crm.look_up(fixed_lookups(mapping)))
        else:
            faults = [self._with_hint(fault, mapping, columns) for fault in faults]
        if faults:
            raise ConfigurationError(faults)

    def explain(self, table: str, prospect: Json) -> tuple[RuleStory, ...]:
        """How a prospect goes through each row of the table's mapping."""
        mapping, frame = self._mapping(table), frame_of(prospect)
        return explain(mapping, frame, self.columns(table), self._answers(mapping, frame))

    def new_record(self, table: str, prospect: Json) -> NewRecord:
        """The record it would make."""
        mapping, frame = self._mapping(table), frame_of(prospect)
        return new_record(mapping, frame, self.columns(table), self._answers(mapping, frame))

    def example(self, prospect: Json, about: str) -> Json:
        """A prospect with what now becomes of it in every table: an example, once a person has found it right."""
        made = {table: self._outcome(table, prospect) for table in self.mappings.tables}
        return {"about": about, "prospect": prospect, "expected": made}

    def examples(self) -> Sequence[Example]:
        """All examples of the set, by file name. Raises ConfigurationError: every file that is none."""
        files = sorted((self.include / "mappings" / self.name / EXAMPLES).glob("*.json"))
        faults: list[Fault] = []
        found = []
        for path in files:
            try:
                found.append(_example(self.include, path))
            except ConfigurationError as wrong:
                faults += wrong.faults
        if faults:
            raise ConfigurationError(faults)
        return found

    def differences(self, example: Example) -> Iterator[str]:
        """What comes out otherwise than the example expects; nothing when all is as expected."""
        for table, expected in example.expected.items():
            found = self._outcome(table, example.prospect)
            yield from (f"{table}: {line}" for line in differences(expected, found))

    def _with_hint(self, fault: Fault, mapping: MappingTable, columns: TableMetadata) -> Fault:
        """A column that the snapshot does not have may well be the organisation's own."""
        [target] = [rule.target for rule in mapping.rows if rule.line == fault.line] or [""]
        if target in columns.columns or not target:
            return fault
        hint = f"If it is your own: dynamics-sync map --mapping {self.name} --save-columns --account ID."
        return replace(fault, remedy=f"{fault.remedy} {hint}")

    def _outcome(self, table: str, prospect: Json) -> Json:
        """For examples: records are told in words, for an id is good in one organisation only."""
        mapping, frame = self._mapping(table), frame_of(prospect)
        answers = stand_ins(wanted_lookups(mapping, frame))
        return outcome_of(new_record(mapping, frame, self.columns(table), answers))

    def _answers(self, mapping: MappingTable, frame: pd.DataFrame) -> LookupAnswers:
        wanted = wanted_lookups(mapping, frame)
        return self.crm.look_up(wanted) if self.crm is not None else stand_ins(wanted)

    def _mapping(self, table: str) -> MappingTable:
        if table not in self.mappings.tables:
            known = ", ".join(self.mappings.tables)
            what = f"The mapping set '{self.name}' has no table '{table}'."
            raise ConfigurationError([Fault(f"include/mappings/{self.name}", None, what, f"It has {known}.")])
        return self.mappings.tables[table]


def frame_of(prospect: Mapping[str, Any]) -> pd.DataFrame:
    """One prospect as a chunk."""
    return prospect_frame(pd.DataFrame({"payload": pd.Series([prospect], dtype=object)}))


def nth_prospect(file: Path, number: int) -> Json:
    """The file's prospect of this number, the first is 1. Raises ConfigurationError, IndexError: it holds fewer."""
    entries = (entry for page in FileSource(file).pages(Selection()) for entry in page)
    found = next(islice(entries, number - 1, None), None)
    if found is None:
        raise IndexError(number)
    return dict(found.payload)


def _example(include: Path, path: Path) -> Example:
    name = shown(include, path)
    try:
        content = json.loads(read_text(include, path))
    except json.JSONDecodeError as wrong:
        raise ConfigurationError(
            [Fault(name, wrong.lineno, f"The text is no JSON: {wrong.msg}.", "Correct it.")]
        ) from None
    fault = example_fault(content)
    if fault is None and (odd := shape_fault(content["prospect"])) is not None:
        fault = f"'prospect' is none: {odd}"
    if fault is not None:
        remedy = "See docs/mapping.md, part 'Examples'."
        raise ConfigurationError([Fault(name, None, f"This is no example: {fault}.", remedy)])
    return Example(name, content["about"], content["prospect"], content["expected"])
