"""The sample's prospects as files: JSON Lines, flat CSV, and the known results as one JSON document.

JSON Lines loses nothing. CSV holds what a flat row can: its columns are prospect paths as mappings write them, of a
prospect's newest submission; lists are joined by `; `.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

Json = Mapping[str, Any]

_PLAIN = ("prospect_id", "revision", "status", "created_at", "updated_at", "salutation", "first_name", "middle_name",
          "last_name", "email", "job_title", "department", "language", "lead_source")  # fmt: skip
_NESTED = ("company.name", "company.website", "company.domain", "company.industry", "company.employee_count",
           "owner.id", "owner.email", "rating.scale", "rating.value", "privacy.do_not_email",
           "privacy.do_not_bulk_email", "privacy.do_not_phone", "privacy.do_not_mail",
           "privacy.processing_restricted")  # fmt: skip
_PHONES = ("phones.work", "phones.mobile")
_ADDRESS = ("address.city", "address.region", "address.postal_code", "address.country", "address.country_code")
_CAPTURE = ("submission.id", "submission.captured_at", "submission.method", "submission.state", "event.id",
            "event.name", "event.code", "form.id", "form.name")  # fmt: skip
_CUSTOM = ("custom.budget", "custom.interests", "custom.visited_before", "custom.badge_number")
CSV_COLUMNS = (*_PLAIN, *_NESTED, *_PHONES, *_ADDRESS, *_CAPTURE, *_CUSTOM, "tags", "notes.all")


def write_json(path: Path, prospects: Iterable[Json]) -> None:
    """One prospect a line."""
    with path.open("wb") as file:
        file.writelines(orjson.dumps(prospect, option=orjson.OPT_APPEND_NEWLINE) for prospect in prospects)


def write_csv(path: Path, prospects: Iterable[Json]) -> None:
    """A header and one row a prospect, UTF-8, comma-separated; a blank is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS)
        writer.writeheader()
        writer.writerows(flat(prospect) for prospect in prospects)


def write_document(path: Path, content: Json) -> None:
    """One readable JSON document."""
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def flat(prospect: Json) -> dict[str, str]:
    """A prospect as one row: every column of `CSV_COLUMNS`, as text."""
    newest = max(prospect["submissions"], key=lambda submission: str(submission["captured_at"]))
    phones = {phone["kind"]: phone for phone in prospect.get("phones", ())}
    address: Json = next(iter(prospect.get("addresses", ())), {})
    custom = prospect.get("custom_fields", {})
    values: dict[str, object] = {name: prospect.get(name) for name in _PLAIN} | {"prospect_id": prospect["id"]}
    for path in _NESTED:
        group, _, name = path.partition(".")
        values[path] = prospect.get(group, {}).get(name)
    values |= {path: _number(phones.get(path.partition(".")[2])) for path in _PHONES}
    values |= {path: address.get(path.partition(".")[2]) for path in _ADDRESS}
    values |= {path: _captured(newest, path) for path in _CAPTURE}
    values |= {path: _custom(custom.get(path.partition(".")[2])) for path in _CUSTOM}
    values["tags"] = prospect.get("tags")
    values["notes.all"] = "\n".join(note["text"] for note in prospect.get("notes", ()))
    return {name: _text(value) for name, value in values.items()}


def _number(phone: Json | None) -> str | None:
    """As written down: whoever reads the file makes of it what a device would."""
    return None if phone is None else str(phone["raw"])


def _captured(submission: Json, path: str) -> object:
    group, _, name = path.partition(".")
    return submission.get(name) if group == "submission" else submission[group].get(name)


def _custom(value: object) -> object:
    if isinstance(value, Mapping):  # money
        return value["value"]["amount"]
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
