"""Reads the schema a new organisation starts with from `tables.csv`, `attributes.csv` and `relationships.csv`.

`attributes.csv` holds one column a line: options as `value=label` (a state adds `@default status`, a status
`@state`), navigation as `target:name`. Standard names and lengths are Microsoft's; `cap_badgeid` is ours, a custom
column with an active alternate key on lead and contact.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from sandbox.dataverse.schema import CHOICE_TYPES, Column, Key, Option, Schema, Table

_HERE = Path(__file__).parent
_BADGE_KEY = Key("cap_BadgeKey", ("cap_badgeid",))
_BADGED = ("lead", "contact")


def shipped_schema() -> Schema:
    """A schema of its own for one organisation."""
    return _read().copy()


@cache
def _read() -> Schema:
    columns: dict[str, dict[str, Column]] = {}
    for line in _lines("attributes.csv"):
        column = _column(line)
        columns.setdefault(column.table, {})[column.name] = column
    tables = {line["table"]: _table(line, columns[line["table"]].values()) for line in _lines("tables.csv")}
    names = {
        (line["table"], line["column"], line["target"]): line["schema_name"] for line in _lines("relationships.csv")
    }
    return Schema(tables, names)


def _lines(name: str) -> list[dict[str, str]]:
    with (_HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _table(line: dict[str, str], columns: Iterable[Column]) -> Table:
    own = list(columns)
    return Table(
        name=line["table"],
        schema_name=line["schema_name"],
        entity_set=line["entity_set"],
        object_type_code=int(line["object_type_code"]),
        primary_id=line["primary_id"],
        primary_name=line["primary_name"],
        is_owned=bool(line["owned"]),
        has_bulk=bool(line["bulk"]),
        is_tracked=bool(line["tracked"]),
        columns={column.name: column for column in (*own, *companions(own))},
        keys=(_BADGE_KEY,) if line["table"] in _BADGED else (),
    )


def companions(columns: Iterable[Column]) -> Iterator[Column]:
    """The read-only `<column>name` column that metadata lists beside each lookup and choice."""
    columns = list(columns)
    taken = {column.name for column in columns}
    for column in columns:
        name = f"{column.name}name"
        if (column.is_lookup or column.type in CHOICE_TYPES | {"Boolean"}) and name not in taken:
            yield Column(
                column.table,
                name,
                f"{column.schema_name}Name",
                "Virtual",
                can_create=False,
                can_update=False,
                companion_of=column.name,
            )


def _column(line: dict[str, str]) -> Column:
    return Column(
        table=line["table"],
        name=line["column"],
        schema_name=line["schema_name"],
        type=line["type"],
        max_length=int(line["max_length"]) if line["max_length"] else None,
        required=line["required"] or "None",
        can_create=bool(line["create"]),
        can_update=bool(line["update"]),
        options=tuple(_options(line["options"])),
        minimum=float(line["minimum"]) if line["minimum"] else None,
        maximum=float(line["maximum"]) if line["maximum"] else None,
        precision=int(line["precision"]) if line["precision"] else None,
        behavior=line["behavior"],
        format=line["format"],
        default=int(line["default"]) if line["default"] else None,
        navigation=dict(pair.split(":", 1) for pair in line["navigation"].split("|") if pair),
    )


def _options(text: str) -> Iterator[Option]:
    for part in filter(None, text.split(";")):
        value, label = part.split("=", 1)
        label, _, linked = label.partition("@")
        yield Option(int(value), label, int(linked) if linked else None)
