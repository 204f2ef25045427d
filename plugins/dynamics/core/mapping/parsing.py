"""Reads a mapping table from its CSV text and finds every fault that shows without an account.

Leaves files and folders to whoever calls, and what only live metadata can tell to `checking`. Lines that begin with `#`
and empty lines are skipped. Source: design part 4.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Collection, Iterator, Sequence
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from string import Formatter
from typing import TypeVar

from dynamics.core.mapping.rules import (
    Blank,
    Choice,
    Constant,
    Lookup,
    Mapping,
    OnMissing,
    Origin,
    Path,
    Rule,
    Template,
    WriteMode,
)
from dynamics.core.mapping.transforms import (
    CHOICE,
    CHOICES,
    LOOKUP,
    STEP_NAMES,
    TRUNCATE,
    BadArgumentError,
    Step,
    ValueTables,
    build_step,
)
from dynamics.core.prospect import path_fault
from dynamics.errors import ConfigurationError, Fault

HEADER = ("target", "source", "transform", "default", "write", "blank", "comment")
REQUIRED_HEADER = ("target", "source")

_STEP = re.compile(r"\s*([A-Za-z_]+)\s*(?:\(([^()]*)\))?\s*(?:\||$)")
_LOOKED_UP = re.compile(r"\s*([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\s*(?:,\s*(\w+)\s*)?")
_LOGICAL_NAME = re.compile(r"[a-z][a-z0-9_]*")
_Word = TypeVar("_Word", bound=StrEnum)
_Line = tuple[int, list[str]]


def parse_mapping(table: str, text: str, file: str, value_tables: ValueTables) -> Mapping:
    """Read one mapping table.

    Args:
        table: logical name of the Dataverse table that the mapping fills.
        text: content of the CSV file.
        file: its name, for faults.
        value_tables: name -> (from -> to), what `map(name)` may use; see `parse_value_table`.
    Raises:
        ConfigurationError: all faults at once, each with file, line, what is wrong and what to do.
    """
    reader = _Reader(file, value_tables)
    rows = list(reader.rules(_lines(text)))
    if not rows and not reader.faults:
        reader.fault(None, "The mapping has no rows.", "Write at least one: target,source.")
    if reader.faults:
        raise ConfigurationError(reader.faults)
    return Mapping(table, file, _digest(table, reader.semantics, value_tables), tuple(rows))


def parse_value_table(text: str, file: str) -> dict[str, str]:
    """Read a value table (`from,to`); `*` in `from` stands for everything else, an empty `to` for a blank.

    Raises:
        ConfigurationError: wrong header, a row without two cells, or a `from` that stands there twice.
    """
    lines = list(_lines(text))
    if not lines or [cell.strip() for cell in lines[0][1]] != ["from", "to"]:
        line = lines[0][0] if lines else None
        raise ConfigurationError([Fault(file, line, "The first line is not from,to.", "Write from,to there.")])
    table: dict[str, str] = {}
    faults = []
    for line, cells in lines[1:]:
        if len(cells) != 2:
            faults.append(Fault(file, line, "The row has not two cells.", "Put a text with a comma in quotes."))
        elif cells[0].strip() in table:
            faults.append(Fault(file, line, "This value stands there twice.", "Keep one of the rows."))
        else:
            table[cells[0].strip()] = cells[1].strip()
    if faults:
        raise ConfigurationError(faults)
    return table


@dataclass
class _Reader:
    """Turns rows into rules and collects the faults met on the way."""

    file: str
    value_tables: ValueTables
    faults: list[Fault] = field(default_factory=list)
    semantics: list[list[str]] = field(default_factory=list)  # what the digest covers

    def fault(self, line: int | None, what: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, line, what, remedy))

    def rules(self, lines: Iterator[_Line]) -> Iterator[Rule]:
        """The rules of the rows without a fault."""
        line, header = next(lines, (1, []))
        names = [name.strip() for name in header]
        if not self._header_is_good(line, names):
            return
        seen: dict[str, int] = {}
        for line, cells in lines:
            if len(cells) > len(names):
                self.fault(line, "The row has more cells than the header.", "Put a text with a comma in quotes.")
                continue
            row = dict.fromkeys(HEADER, "") | dict(zip(names, (cell.strip() for cell in cells), strict=False))
            target = row["target"]
            if target in seen:
                self.fault(line, f"'{target}' is mapped in line {seen[target]} already.", "Keep one of the rows.")
            seen.setdefault(target, line)
            rule = self._rule(line, row)
            if rule is not None:
                self.semantics.append([row[name] for name in HEADER if name != "comment"])
                yield rule

    def _header_is_good(self, line: int, names: Sequence[str]) -> bool:
        before = len(self.faults)
        if len(names) == 1 and names[0].count(";") >= len(REQUIRED_HEADER) - 1:
            self.fault(line, "The cells are parted by semicolons.", "Save the table as CSV with commas.")
            return False
        for name in names:
            if name not in HEADER:
                self.fault(line, f"There is no column '{name}'.", _nearest(name, HEADER))
            elif names.count(name) > 1:
                self.fault(line, f"The column '{name}' stands there twice.", "Keep one.")
        for name in REQUIRED_HEADER:
            if name not in names:
                self.fault(line, f"The column '{name}' is missing.", f"The first line is {','.join(HEADER)}.")
        return len(self.faults) == before

    def _rule(self, line: int, row: ReadOnly[str, str]) -> Rule | None:
        before = len(self.faults)
        target = row["target"]
        if not _LOGICAL_NAME.fullmatch(target):
            self.fault(line, f"'{target}' is no logical name of a column.", "Write it as Dataverse does: jobtitle.")
        origin = self._origin(line, row["source"])
        steps, end = self._steps(line, row["transform"])
        lookup = end if isinstance(end, Lookup) else None
        if isinstance(origin, Constant) and (steps or end == TRUNCATE):
            what = "A constant takes no transform but choice, choices and lookup."
            self.fault(line, what, "Write the value as Dynamics is to get it.")
        write = self._word(line, "write", row["write"], WriteMode, WriteMode.ALWAYS)
        blank = self._word(line, "blank", row["blank"], Blank, Blank.KEEP)
        if blank is Blank.CLEAR and write is not WriteMode.ALWAYS:
            self.fault(line, f"'clear' does not go with '{write}'.", "Only a column written always can be cleared.")
        if blank is Blank.CLEAR and lookup is not None and lookup.on_missing is OnMissing.BLANK:
            what = "'clear' does not go with a lookup that is blank when nothing is found: a typing error would clear."
            self.fault(line, what, "Write keep, or reject or defer as the lookup's second word.")
        if origin is None or len(self.faults) > before:
            return None
        default = row["default"] or None
        choice = end if isinstance(end, Choice) else None
        return Rule(line, target, origin, steps, end == TRUNCATE, default, write, blank, lookup, choice)

    def _word(self, line: int, column: str, text: str, kind: type[_Word], default: _Word) -> _Word:
        if not text:
            return default
        try:
            return kind(text)
        except ValueError:
            self.fault(line, f"'{text}' is no word for '{column}'.", _nearest(text, [word.value for word in kind]))
            return default

    # ------------------------------------------------------------ source

    def _origin(self, line: int, source: str) -> Origin | None:
        if not source:
            self.fault(line, "The source is missing.", "Write a path, a {template} or =constant.")
            return None
        if source.startswith("="):
            return Constant(source[1:])
        if "{" in source or "}" in source:
            return self._template(line, source)
        return Path(source) if self._path_is_good(line, source) else None

    def _template(self, line: int, source: str) -> Template | None:
        try:
            parts = list(Formatter().parse(source))
        except ValueError as fault:
            self.fault(line, f"The template cannot be read: {fault}.", "Write paths as {first_name}, braces doubled.")
            return None
        literals, paths = [""], []
        for literal, path, form, conversion in parts:
            literals[-1] += literal.replace("\\n", "\n").replace("\\t", "\t")
            if path is None:
                continue
            if form or conversion:
                self.fault(line, f"'{{{path}}}' has more in its braces than a path.", "Leave out ':' and '!'.")
            paths.append(path.strip())
            literals.append("")
        if not paths:
            self.fault(line, "The template has no path in it.", "A fixed text is written =text.")
        good = [self._path_is_good(line, path) for path in paths]
        return Template(tuple(literals), tuple(paths)) if paths and all(good) else None

    def _path_is_good(self, line: int, path: str) -> bool:
        fault = path_fault(path)
        if fault is not None:
            self.fault(line, fault, "See the README, part 'Write a mapping'.")
        return fault is None

    # ------------------------------------------------------------ transform

    def _steps(self, line: int, text: str) -> tuple[tuple[Step, ...], Lookup | Choice | str | None]:
        """The steps in order, and the last one where it is one of `transforms.ENDINGS`, which look beyond the value."""
        steps: list[Step] = []
        end: Lookup | Choice | str | None = None
        position = 0
        while position < len(text):
            read = _STEP.match(text, position)
            if read is None:
                self.fault(line, f"'{text[position:]}' is no transform.", "Write steps as trim|join(; )|truncate.")
                break
            position = read.end()
            name, argument = read.groups()
            if end is not None:
                last = LOOKUP if isinstance(end, Lookup) else end
                self.fault(line, f"'{name}' comes after '{last}'.", f"Write {last} last.")
            if name == LOOKUP:
                end = self._lookup(line, argument or "")
            elif name in (TRUNCATE, CHOICE, CHOICES) and argument is None:
                end = name if name == TRUNCATE else Choice(name)
            else:
                step = self._step(line, name, argument)
                steps += [step] if step is not None else []
        return tuple(steps), end

    def _lookup(self, line: int, argument: str) -> Lookup | None:
        read = _LOOKED_UP.fullmatch(argument)
        if read is None:
            self.fault(line, f"'lookup({argument})' names no column.", "Write it like lookup(account.name, blank).")
            return None
        table, column, word = read.groups()
        return Lookup(table, column, self._word(line, "lookup", word or "", OnMissing, OnMissing.REJECT))

    def _step(self, line: int, name: str, argument: str | None) -> Step | None:
        if name == TRUNCATE:
            self.fault(line, "'truncate' takes no argument.", "The column's own length counts.")
        elif name in (CHOICE, CHOICES):
            self.fault(line, f"'{name}' takes no argument.", "The column's own labels count.")
        elif name not in STEP_NAMES:
            self.fault(line, f"There is no transform '{name}'.", _nearest(name, STEP_NAMES))
        else:
            try:
                return build_step(name, argument, self.value_tables)
            except BadArgumentError as fault:
                self.fault(line, f"{fault}.", "")
        return None


def _lines(text: str) -> Iterator[_Line]:
    """Records with the line on which they begin; a quoted cell may run over several."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    start = 1
    for cells in reader:
        if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
            yield start, cells
        start = reader.line_num + 1


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}."


def _digest(table: str, semantics: Sequence[Sequence[str]], value_tables: ValueTables) -> str:
    """Order and comments do not count; of the value tables only those that a row can use do."""
    transforms = " ".join(row[HEADER.index("transform")] for row in semantics)
    used = {name: dict(values) for name, values in value_tables.items() if f"map({name})" in transforms}
    canonical = json.dumps([table, sorted(semantics), used], sort_keys=True)
    return blake2b(canonical.encode("ascii"), digest_size=16).hexdigest()
