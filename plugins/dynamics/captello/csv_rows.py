"""Reads a CSV file of prospects by one documented list of columns; turns a row into a prospect of the source's schema.

A first line names the columns, in any order; commas part the cells, UTF-8, a text with a comma or a line break stands in
quotes. Empty cells are blanks. `prospect_id` must be there, and in each row `email`, or `first_name` and `last_name`.

| column | what it fills |
|---|---|
| prospect_id | the prospect's id; what was synced before is known again by it |
| revision | whole number, greater with each change; without it 1 |
| updated_at | last change, RFC 3339 with its zone; without it the time the file was last written, so a later file is newer |
| first_name, last_name, email, job_title | |
| phone_work, phone_mobile | numbers as written |
| company_name, company_website | |
| address_line1, city, region, postal_code, country, country_code | the work address; `country_code` has two letters |
| event_id, event_name, form_id, captured_at | where and when the prospect was captured; without `captured_at`, `updated_at` |
| notes | one note |
| custom.<key> | a custom field, as text |
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from dynamics.captello.file_formats import Entry, NotUtf8Error, utf8_lines
from dynamics.captello.shape import instant, is_instant
from dynamics.errors import Fault
from dynamics.sync.ports import JsonObject

COLUMNS = (
    "prospect_id",
    "revision",
    "updated_at",
    "first_name",
    "last_name",
    "email",
    "phone_work",
    "phone_mobile",
    "job_title",
    "company_name",
    "company_website",
    "address_line1",
    "city",
    "region",
    "postal_code",
    "country",
    "country_code",
    "event_id",
    "event_name",
    "form_id",
    "captured_at",
    "notes",
)
CUSTOM = "custom."

_CUSTOM_KEY = re.compile(r"custom\.[a-z][a-z0-9_]{0,62}")
_REVISION = re.compile(r"[1-9][0-9]{0,17}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_COMPANY = {"company_name": "name", "company_website": "website"}
_ADDRESS = {"address_line1": "line1"} | {n: n for n in ("city", "region", "postal_code", "country", "country_code")}

Row = Mapping[str, str]  # column -> text; blank cells are absent


def csv_rows(path: Path) -> Iterator[Entry]:
    """(line, prospect) a row, or (line, Fault); what cannot be read on ends it. Raises OSError."""
    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    records = csv.reader(utf8_lines(path), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(records, [])]
        faults = list(_header_faults(str(path), header))
        if faults:
            yield from ((1, fault) for fault in faults)
            return
        line = records.line_num + 1
        for cells in records:
            if any(map(str.strip, cells)):
                yield from ((line, found) for found in _prospect(str(path), line, header, cells, written_at))
            line = records.line_num + 1
    except csv.Error as wrong:
        yield line, Fault(str(path), line, f"The row cannot be read: {wrong}.", "Check its quotes and line ends.")
    except NotUtf8Error as wrong:
        yield line, wrong.fault


def _header_faults(file: str, header: Sequence[str]) -> Iterator[Fault]:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        yield Fault(file, 1, "The cells are not parted by commas.", "Save the table as CSV with commas.")
        return
    for name in header:
        if header.count(name) > 1:
            yield Fault(file, 1, f"The column '{name}' stands there twice.", "Keep one.")
        if name not in COLUMNS and not _CUSTOM_KEY.fullmatch(name):
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            remedy = f"Did you mean '{near[0]}'?" if near else "A field of your own is named custom.<key>."
            yield Fault(file, 1, f"There is no column '{name}'.", remedy)
    if "prospect_id" not in header:
        yield Fault(file, 1, "The column 'prospect_id' is missing.", "Give every prospect an id that stays the same.")
    if "email" not in header and not {"first_name", "last_name"} <= set(header):
        what = "The columns by which a person is known are missing."
        yield Fault(file, 1, what, "Add 'email', or 'first_name' and 'last_name'.")


def _prospect(
    file: str, line: int, header: Sequence[str], cells: Sequence[str], written_at: datetime
) -> Iterator[JsonObject | Fault]:
    """The row's prospect, or what is wrong with the row."""
    if len(cells) != len(header):
        what = f"The row has {len(cells)} cells, the header {len(header)}."
        yield Fault(file, line, what, "Put a text with a comma in quotes.")
        return
    row = {name: text.strip() for name, text in zip(header, cells, strict=True) if text.strip()}
    faults = [Fault(file, line, f"Column '{name}': {what}.", remedy) for name, what, remedy in _cell_faults(row)]
    if faults:
        yield from faults
    else:
        yield _RowReader(row, written_at).prospect()


def _cell_faults(row: Row) -> Iterator[tuple[str, str, str]]:
    """Column, what is wrong, what to do; never the value."""
    if "prospect_id" not in row:
        yield "prospect_id", "it is empty", "Every row needs one."
    if "email" not in row and not ("first_name" in row and "last_name" in row):
        yield "email", "it is empty, and so is a name", "A row needs 'email', or 'first_name' and 'last_name'."
    if not _REVISION.fullmatch(row.get("revision", "1")):
        yield "revision", "it is no whole number from 1", "Write 1, 2, 3 ..., or leave it empty."
    for name in ("updated_at", "captured_at"):
        if name in row and not is_instant(row[name]):
            yield name, "it is no time with its zone", "Write it as 2026-03-14T09:15:30Z."
    if not _COUNTRY.fullmatch(row.get("country_code", "GB")):
        yield "country_code", "it has not two capital letters", "Write GB, DE ...; a name goes into 'country'."


@dataclass(frozen=True)
class _RowReader:
    """Turns a row without a fault into a prospect."""

    row: Row
    written_at: datetime  # of the file

    def prospect(self) -> JsonObject:
        row = self.row
        plain = ("first_name", "last_name", "email", "job_title")
        prospect: JsonObject = {
            "id": row["prospect_id"],
            "revision": int(row.get("revision", "1")),
            "status": "active",
            "created_at": self._updated_at(),
            "updated_at": self._updated_at(),
            **{name: row[name] for name in plain if name in row},
        }
        address = self._renamed(_ADDRESS)
        parts: JsonObject = {
            "phones": [
                {"kind": kind, "raw": row[f"phone_{kind}"]} for kind in ("work", "mobile") if f"phone_{kind}" in row
            ],
            "company": self._renamed(_COMPANY),
            "addresses": [{"kind": "work", **address}] if address else [],
            "custom_fields": {name.removeprefix(CUSTOM): text for name, text in row.items() if name.startswith(CUSTOM)},
            "notes": self._notes(),
            "submissions": self._submissions(),
        }
        return prospect | {name: part for name, part in parts.items() if part}

    def _renamed(self, names: Mapping[str, str]) -> dict[str, str]:
        return {name: self.row[column] for column, name in names.items() if column in self.row}

    def _updated_at(self) -> str:
        return _utc(instant(self.row["updated_at"]) if "updated_at" in self.row else self.written_at)

    def _captured_at(self) -> str:
        return _utc(instant(self.row["captured_at"])) if "captured_at" in self.row else self._updated_at()

    def _notes(self) -> list[JsonObject]:
        if "notes" not in self.row:
            return []
        return [
            {"id": self._own_id("not"), "text": self.row["notes"], "created_at": self._captured_at(), "kind": "typed"}
        ]

    def _submissions(self) -> list[JsonObject]:
        """One capture, when the row tells anything of it."""
        event, form = self._renamed({"event_id": "id", "event_name": "name"}), self._renamed({"form_id": "id"})
        if not event and not form and "captured_at" not in self.row:
            return []
        return [
            {
                "id": self._own_id("sub"),
                "prospect_id": self.row["prospect_id"],
                "captured_at": self._captured_at(),
                "received_at": self._captured_at(),
                "method": "import",
                "state": "complete",
                "event": event or None,
                "form": form or None,
                "answers": [],
            }
        ]

    def _own_id(self, kind: str) -> str:
        """The same for the same prospect, whatever characters its id has."""
        return f"{kind}_{blake2b(self.row['prospect_id'].encode(), digest_size=10).hexdigest()}"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
