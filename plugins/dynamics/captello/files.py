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
from dynamics.captello.json_text import json_bytes
from dynamics.captello.selection import chooser
from dynamics.captello.shape import shape_fault, sourced
from dynamics.core.capture import Selection, SourcedProspect
from dynamics.core.crm import JsonObject
from dynamics.errors import ConfigurationError, Fault

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

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> int:
        """Read the whole file and say how many prospects it holds.

        Raises:
            ConfigurationError: the faults, each with file, line and, where there is one, column; `MAX_FAULTS` at most.
        """
        faults: list[Fault] = []
        count = 0
        for entry in self._entries({}):
            if isinstance(entry, Fault):
                faults.append(entry)
                if len(faults) == MAX_FAULTS:
                    faults.append(Fault(entry.file, entry.line, "There may be more faults below.", ""))
                    break
            else:
                count += 1
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
        for entry in self._entries(None):
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

    def _entries(self, seen: dict[str, tuple[int, bytes]] | None) -> Iterator[JsonObject | Fault]:
        """Each prospect, and what is wrong with the others. With `seen` (id -> line, digest) each only once."""
        read = _READERS.get(self._path.suffix.lower())
        if read is None:
            remedy = f"Its name ends in one of: {', '.join(_READERS)}."
            yield Fault(str(self._path), None, "Nothing is known of this kind of file.", remedy)
            return
        try:
            for line, found in read(self._path):
                if isinstance(found, Fault):
                    yield found
                elif (wrong := shape_fault(found)) is not None:
                    yield Fault(str(self._path), line, f"This is no prospect: {wrong}.", "Correct it.")
                elif seen is None:
                    yield found
                elif (first := seen.get(found["id"])) is None:
                    seen[found["id"]] = (line, _digest(found))
                    yield found
                elif first[1] != _digest(found):
                    what = f"The prospect of line {first[0]} stands here again with other content."
                    yield Fault(str(self._path), line, what, "Keep one of the two.")
        except OSError as wrong:
            what = f"The file cannot be read: {wrong.strerror}."
            yield Fault(str(self._path), None, what, "Check its path and permissions.")


def _digest(prospect: JsonObject) -> bytes:
    return blake2b(json_bytes(prospect), digest_size=16).digest()
