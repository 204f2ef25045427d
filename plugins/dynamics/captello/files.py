"""The port `Source` on a file of prospects: JSON Lines, JSON, or CSV. Nothing is guessed: what is not clear is a fault.

`.jsonl` and `.ndjson` hold one prospect a line, `.json` a list of prospects or one, `.csv` the columns of
`csv_rows`. JSON Lines and CSV are read as a stream. Text is UTF-8. A prospect that stands there twice with
the same content counts once; with other content it is a fault. Source: prospect schema of the Capture Source
API v1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from dynamics.captello.csv_rows import csv_rows
from dynamics.captello.file_formats import Entry, json_lines, json_values
from dynamics.captello.repeats import IdDigests, Repeats
from dynamics.captello.selection import chooser
from dynamics.captello.shape import shape_fault, sourced
from dynamics.clock import SystemClock
from dynamics.core.capture import Selection, SourcedProspect
from dynamics.core.crm import JsonObject
from dynamics.core.json_text import json_bytes
from dynamics.errors import ConfigurationError, Fault, StoppedError
from dynamics.sync.ports import Clock

PAGE_SIZE = 500
MAX_FAULTS = 50  # more than a person reads at once

_READERS: Mapping[str, Callable[[Path], Iterator[Entry]]] = {
    ".json": json_values,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".csv": csv_rows,
}


class FileSource:
    """Prospects of one file, in the order in which they stand there."""

    name = "file"

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """`clock`: tells when to stop reading. Then every method raises StoppedError."""
        self._path = path
        self._clock = clock or SystemClock()

    def check(self) -> int:
        """Read the whole file and say how many prospects it holds.

        Where ids are repeated it is read a second time, for these alone: a million prospects take no more memory than
        a thousand.

        Raises:
            ConfigurationError: the faults, each with file, line and, where there is one, column; `MAX_FAULTS` at most.
        """
        ids = IdDigests()
        count, faults = self._read_all(ids)
        if repeats := ids.repeated():
            count, faults = self._read_all(ids=None, repeats=repeats)
        if not faults and not count:
            faults.append(Fault(str(self._path), None, "The file holds no prospect.", "Name another file."))
        if faults:
            raise ConfigurationError(faults)
        return count

    def pages(self, selection: Selection) -> Iterator[Sequence[SourcedProspect]]:
        """Yield the selected prospects in pages of up to `PAGE_SIZE`. Raises ConfigurationError.

        Remembers no ids, so memory does not grow with the file: that each prospect stands there once, `check` has seen,
        and the ledger keeps one of equals.
        """
        is_chosen = chooser(selection)
        page: list[SourcedProspect] = []
        for _, entry in self._entries():
            if isinstance(entry, Fault):
                raise ConfigurationError([entry])
            if not is_chosen(entry):
                continue
            page.append(sourced(entry))
            if len(page) == PAGE_SIZE:
                yield page
                page = []
        if page:
            yield page

    def _read_all(self, ids: IdDigests | None, repeats: Repeats | None = None) -> tuple[int, list[Fault]]:
        """Count the prospects and collect what is wrong with the others.

        Args:
            ids: takes every id down.
            repeats: ids that may stand there twice; each counts once, and with two contents it is a fault.
        """
        count = 0
        faults: list[Fault] = []
        seen: dict[str, tuple[int, bytes]] = {}  # id -> line, digest of the content
        for line, entry in self._entries():
            found: JsonObject | Fault | None = entry
            if not isinstance(entry, Fault):
                if ids is not None:
                    ids.add(entry["id"])
                if repeats is not None and entry["id"] in repeats:
                    found = self._unless_seen(line, entry, seen)
            if isinstance(found, Fault):
                faults.append(found)
                if len(faults) == MAX_FAULTS:
                    faults.append(Fault(found.file, found.line, "There may be more faults below.", ""))
                    break
            elif found is not None:
                count += 1
        return count, faults

    def _unless_seen(
        self, line: int, prospect: JsonObject, seen: dict[str, tuple[int, bytes]]
    ) -> JsonObject | Fault | None:
        """The prospect, where it stands there for the first time; None where it stood there alike, else the fault."""
        digest = _digest(prospect)
        first = seen.get(prospect["id"])
        if first is None:
            seen[prospect["id"]] = (line, digest)
            return prospect
        if first[1] == digest:
            return None
        what = f"The prospect of line {first[0]} stands here again with other content."
        return Fault(str(self._path), line, what, "Keep one of the two.")

    def _entries(self) -> Iterator[tuple[int, JsonObject | Fault]]:
        """Each prospect with its line, and what is wrong with the others."""
        read = _READERS.get(self._path.suffix.lower())
        if read is None:
            remedy = f"Its name ends in one of: {', '.join(_READERS)}."
            yield 1, Fault(str(self._path), None, "Nothing is known of this kind of file.", remedy)
            return
        try:
            for line, found in read(self._path):
                if self._clock.stopping:
                    raise StoppedError("read", str(self._path), detail="this process was asked to stop")
                if not isinstance(found, Fault) and (wrong := shape_fault(found)) is not None:
                    yield line, Fault(str(self._path), line, f"This is no prospect: {wrong}.", "Correct it.")
                else:
                    yield line, found
        except OSError as wrong:
            what = f"The file cannot be read: {wrong.strerror}."
            yield 1, Fault(str(self._path), None, what, "Check its path and permissions.")


def _digest(prospect: JsonObject) -> bytes:
    return blake2b(json_bytes(prospect), digest_size=16).digest()
