"""Reads a CSV file of prospects; turns a row into a prospect of the source's schema.

The first line names columns of `csv_columns`, in any order, and `custom.<key>` for fields of one's own.
Commas part the cells; a text with a comma or a line break stands in quotes. An empty cell is a blank. What
must be there: `prospect_id`, by which what was synced before is known again, and in each row `email`, or
`first_name` and `last_name`.

Without `revision` it is 1. Without `updated_at` it is the time the file was last written, so that of two
files the later one is newer. A row that tells of an event, a form or a capture counts as one submission:
complete, unless `submission.state` says otherwise, and captured when it was last changed, unless
`submission.captured_at` does.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from dynamics.captello.csv_columns import COLUMNS, CUSTOM, kind_of
from dynamics.captello.file_formats import Entry, NotUtf8Error, utf8_lines
from dynamics.core.crm import JsonObject
from dynamics.errors import Fault

Row = Mapping[str, Any]  # column -> value as its kind reads it; blanks are absent

_GROUPS = ("company", "owner", "rating", "privacy")


def csv_rows(path: Path) -> Iterator[Entry]:
    """(line, prospect) a row, or (line, Fault); a row that cannot be told from the next ends it. Raises OSError."""
    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
    records = csv.reader(utf8_lines(path), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(records, [])]
        faults = list(_header_faults(str(path), header))
        yield from ((1, fault) for fault in faults)
        line = records.line_num + 1
        for cells in records if not faults else ():
            if any(map(str.strip, cells)):
                yield from ((line, found) for found in _read(str(path), line, header, cells, written_at))
            line = records.line_num + 1
    except csv.Error as wrong:
        yield line, Fault(str(path), line, f"The row cannot be read: {wrong}.", "Check its quotes and line ends.")
    except NotUtf8Error as wrong:
        yield line, wrong.fault


def _header_faults(file: str, header: Sequence[str]) -> Iterator[Fault]:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        yield Fault(file, 1, "The cells are not parted by commas.", "Save the table as CSV with commas.")
        return
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            yield Fault(file, 1, f"The column '{name}' stands there twice.", "Keep one.")
        if kind_of(name) is None:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            remedy = f"Did you mean '{near[0]}'?" if near else "A field of your own is named custom.<key>."
            yield Fault(file, 1, f"There is no column '{name}'.", remedy)
    if "prospect_id" not in header:
        yield Fault(file, 1, "The column 'prospect_id' is missing.", "Give every prospect an id that stays the same.")
    if "email" not in header and not {"first_name", "last_name"} <= set(header):
        what = "The columns by which a person is known are missing."
        yield Fault(file, 1, what, "Add 'email', or 'first_name' and 'last_name'.")


def _read(
    file: str, line: int, header: Sequence[str], cells: Sequence[str], written_at: str
) -> Iterator[JsonObject | Fault]:
    """The row's prospect, or what is wrong with the row; a fault names columns, never values."""
    if len(cells) != len(header):
        what = f"The row has {len(cells)} cells, the header {len(header)}."
        yield Fault(file, line, what, "Put a text with a comma in quotes.")
        return
    row: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, cell in zip(header, cells, strict=True):
        kind, text = kind_of(name), cell.strip()
        if not text or kind is None:
            continue
        try:
            row[name] = kind.read(text)
        except (ValueError, LookupError, OverflowError):
            faults.append(Fault(file, line, f"Column '{name}' holds something else than {kind.wanted}.", "Correct it."))
    if "prospect_id" not in row:
        faults.append(Fault(file, line, "Column 'prospect_id' is empty.", "Every row needs one."))
    if "email" not in row and not ("first_name" in row and "last_name" in row):
        what = "Nothing tells who this is."
        faults.append(Fault(file, line, what, "Fill in 'email', or 'first_name' and 'last_name'."))
    if faults:
        yield from faults
    else:
        yield _prospect(row, written_at)


def _prospect(row: Row, written_at: str) -> JsonObject:
    updated_at = row.get("updated_at", written_at)
    captured_at = row.get("submission.captured_at", updated_at)
    address, custom = _members(row, "address"), _members(row, CUSTOM[:-1])
    parts: JsonObject = {
        **{group: _members(row, group) for group in _GROUPS},
        "phones": [{"kind": kind, "raw": number} for kind, number in _members(row, "phones").items()],
        "addresses": [{"kind": "work", **address}] if address else [],
        "custom_fields": custom,
        "notes": _notes(row, captured_at),
        "submissions": _submissions(row, captured_at),
    }
    return {
        "id": row["prospect_id"],
        "revision": 1,
        "status": "active",
        "created_at": updated_at,
        "updated_at": updated_at,
        **{name: value for name, value in row.items() if "." not in name and name != "prospect_id"},
        **{name: part for name, part in parts.items() if part},
    }


def _members(row: Row, group: str) -> dict[str, Any]:
    """What stands in the columns `group.<name>`, by name."""
    start = f"{group}."
    return {name.removeprefix(start): value for name, value in row.items() if name.startswith(start)}


def _notes(row: Row, captured_at: str) -> list[JsonObject]:
    text = row.get("notes.all")
    return [{"id": _own_id("not", row), "text": text, "created_at": captured_at, "kind": "typed"}] if text else []


def _submissions(row: Row, captured_at: str) -> list[JsonObject]:
    """One capture, when the row tells anything of it."""
    told, event, form = _members(row, "submission"), _members(row, "event"), _members(row, "form")
    if not told and not event and not form:
        return []
    own = {
        "id": _own_id("sub", row),
        "prospect_id": row["prospect_id"],
        "captured_at": captured_at,
        "received_at": captured_at,
        "method": "import",
        "state": "complete",
        "event": event or None,
        "form": form or None,
    }
    return [own | told]


def _own_id(kind: str, row: Row) -> str:
    """The same for the same prospect, whatever characters its id has."""
    return f"{kind}_{blake2b(str(row['prospect_id']).encode(), digest_size=10).hexdigest()}"
