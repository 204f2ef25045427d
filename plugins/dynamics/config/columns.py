"""What is known of a table's columns where no organisation is asked: snapshots, as JSON, one column a line.

Shipped are the tables of a stock Dynamics 365 Sales organisation. A mapping set may bring its own, taken from its
organisation, as include/mappings/<set>/columns/<table>.json: these go before. Source: `dataverse.metadata`, by which a
snapshot is taken.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dynamics.config.include import read_text, shown
from dynamics.core.metadata import TableMetadata
from dynamics.errors import ConfigurationError, Fault

STOCK = Path(__file__).parent / "stock"
FOLDER = "columns"
_TABLE = TypeAdapter(TableMetadata)


def snapshot_text(table: TableMetadata) -> str:
    """The snapshot: what is not said there is as `Column` has it by default."""
    plain = _TABLE.dump_python(table, mode="json", exclude_defaults=True)
    columns = plain.pop("columns")
    lines = [f"    {_json(name)}: {_json(columns[name])}" for name in sorted(columns)]
    head = [f"  {_json(name)}: {_json(value)}," for name, value in plain.items()]
    return "\n".join(["{", *head, '  "columns": {', ",\n".join(lines), "  }", "}", ""])


def read_columns(include: Path, mapping_set: str, table: str) -> tuple[TableMetadata, Path]:
    """The table's columns and the file they stand in: the mapping set's own, else the stock organisation's.

    Raises:
        ConfigurationError: the set's file cannot be read or is no snapshot.
    """
    own = include / "mappings" / mapping_set / FOLDER / f"{table}.json"
    if not own.is_file():
        stock = STOCK / f"{table}.json"
        return _TABLE.validate_json(stock.read_bytes()), stock
    try:
        return _TABLE.validate_json(read_text(include, own)), own
    except ValidationError as odd:
        where = ".".join(map(str, odd.errors()[0]["loc"]))
        what = f"The file is no snapshot of a table's columns{f' (at {where})' if where else ''}."
        remedy = "Take it anew: dynamics-sync map --save-columns --account ID --mapping SET."
        raise ConfigurationError([Fault(shown(include, own), None, what, remedy)]) from None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
