"""A mapping table as types: one rule a Dataverse column. Decides nothing; built by `parsing` alone."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from dynamics.core.mapping.transforms import Step

REGION_PATHS = frozenset({"address.country_code", "address.country"})


class WriteMode(StrEnum):
    """When a value is written to a record."""

    ALWAYS = "always"
    CREATE_ONLY = "create_only"
    IF_EMPTY = "if_empty"
    APPEND = "append"


class Blank(StrEnum):
    """What a blank source does to a record that has a value."""

    KEEP = "keep"
    CLEAR = "clear"


@dataclass(frozen=True)
class Constant:
    """The same value for every prospect."""

    text: str

    def __str__(self) -> str:
        return f"={self.text}"


@dataclass(frozen=True)
class Path:
    """One value of the prospect."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Template:
    """Texts around values: `literals[0] paths[0] literals[1] ... literals[n]`."""

    literals: tuple[str, ...]
    paths: tuple[str, ...]

    @cached_property
    def between(self) -> str:
        """The literals with `%s` for each value."""
        return "%s".join(literal.replace("%", "%%") for literal in self.literals)

    def __str__(self) -> str:
        written = [text.replace("\n", "\\n").replace("\t", "\\t") for text in self.literals]
        between = zip(self.paths, written[1:], strict=True)
        return written[0] + "".join(f"{{{path}}}{text}" for path, text in between)


@dataclass(frozen=True)
class Later:
    """Nothing yet: the value is found when it is known where the prospect goes."""

    def __str__(self) -> str:
        return ""


Origin = Constant | Later | Path | Template
"""Where a value comes from; `str()` gives it as it stands in the table."""


class Choice(StrEnum):
    """The last step of a row whose column has options: labels are read, one or several."""

    ONE = "choice"
    SEVERAL = "choices"


class OnMissing(StrEnum):
    """What becomes of a prospect whose lookup names no record, or an inactive one, or several."""

    REJECT = "reject"
    BLANK = "blank"  # the column stays as it is, with a warning
    DEFER = "defer"  # it waits for a later run


@dataclass(frozen=True)
class Lookup:
    """The last step of a row: the record of `table` whose `column` says what the steps before gave."""

    table: str
    column: str
    on_missing: OnMissing

    def __str__(self) -> str:
        word = "" if self.on_missing is OnMissing.REJECT else f", {self.on_missing.value}"
        return f"lookup({self.table}.{self.column}{word})"


@dataclass(frozen=True)
class Rule:
    """One row. `default` is in the target's own form (with a lookup what is looked up, with a choice a label too) and
    counts for a create whose source is blank."""

    line: int
    target: str
    origin: Origin
    steps: tuple[Step, ...]
    truncates: bool
    default: str | None
    write: WriteMode
    blank: Blank
    lookup: Lookup | None = None
    choice: Choice | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        if isinstance(self.origin, Template):
            return self.origin.paths
        return (self.origin.path,) if isinstance(self.origin, Path) else ()

    @property
    def transform(self) -> tuple[str, ...]:
        """The steps as they stand in the table, the last one included."""
        last = self.lookup or self.choice or ("truncate" if self.truncates else "")
        return (*map(str, self.steps), *([str(last)] if last else []))

    @property
    def needs_region(self) -> bool:
        return any(step.name == "phone" for step in self.steps)


@dataclass(frozen=True)
class Mapping:
    """One table's mapping. `digest`: 32 hex characters that change with whatever changes what is written.

    `broken`: of a mapping that was read with faults, targets of the rows that are not among `rows` -> line.
    """

    table: str
    file: str
    digest: str
    rows: tuple[Rule, ...]
    broken: abc.Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that a prospect is asked for."""
        asked = frozenset(path for rule in self.rows for path in rule.paths)
        return asked | REGION_PATHS if self.needs_region else asked

    @cached_property
    def needs_region(self) -> bool:
        return any(rule.needs_region for rule in self.rows)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        return tuple(rule.target for rule in self.rows)

    @cached_property
    def lookups(self) -> tuple[Rule, ...]:
        """The rows that look up records."""
        return tuple(rule for rule in self.rows if rule.lookup is not None)

    @cached_property
    def write_modes(self) -> abc.Mapping[str, WriteMode]:
        return {rule.target: rule.write for rule in self.rows}
