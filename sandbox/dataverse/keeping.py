"""Turns what an organisation holds into plain JSON values, and takes them back: rows, deletions, changed tables.

Versions, stamps and ids come back as they were, and delta tokens stay good. Settings and plug-ins are not kept: they
are a test's disturbances, not the organisation's content. Where the values are stored is the server's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from pydantic import TypeAdapter

from sandbox.dataverse.schema import Table
from sandbox.dataverse.shipped import shipped_schema
from sandbox.dataverse.state import State

_TABLES = TypeAdapter(list[Table])


def content(state: State) -> dict[str, Any]:
    """Everything `restore` needs.

    Returns:
        `version`; `schema`: tables that are not as shipped; `removed`: names of shipped tables that are gone;
        `rows`: table -> id -> row; `deleted`: table -> id -> version of the deletion.
    """
    shipped, tables = shipped_schema().tables, state.schema.tables
    held = {name: state.store.table(name) for name in tables}
    return {
        "version": state.store.version,
        "schema": _TABLES.dump_python([table for name, table in tables.items() if table is not shipped.get(name)]),
        "removed": sorted(shipped.keys() - tables.keys()),
        "rows": {name: data.rows for name, data in held.items() if data.rows},
        "deleted": {
            name: {row_id: stone.version for row_id, stone in data.tombstones.items()}
            for name, data in held.items()
            if data.tombstones
        },
    }


def restore(state: State, kept: Mapping[str, Any]) -> None:
    """Put kept content over that of a fresh organisation.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: this is nothing that `content` gave.
    """
    for table in _TABLES.validate_python(kept["schema"]):
        state.schema.put(table)
    for name in kept["removed"]:
        state.schema.remove(name)
        state.store.forget(name)
    for name in kept["rows"].keys() | kept["deleted"].keys():
        state.store.refill(name, kept["rows"].get(name, {}), kept["deleted"].get(name, {}))
    state.store.version = max(state.store.version, kept["version"])
    # Not from the beginning again: the ids drawn before are taken.
    state.draw = Random(state.organization_id.int + state.store.version)  # noqa: S311 - ids of a sandbox
