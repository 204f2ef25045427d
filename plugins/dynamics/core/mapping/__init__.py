"""Mapping tables: which Dataverse column gets what of a prospect, and how.

`parsing` reads a table, `checking` holds it against the account's live metadata, `applying` maps a chunk with it.
Source: design part 4.
"""

from __future__ import annotations

from dynamics.core.mapping.applying import (
    Mapped,
    MappingReject,
    apply_mapping,
    update_values,
    wanted_lookups,
)
from dynamics.core.mapping.checking import (
    check_mapping,
    fixed_lookups,
    looked_up_tables,
    lookup_faults,
    missing_required,
)
from dynamics.core.mapping.parsing import parse_mapping, parse_value_table
from dynamics.core.mapping.rules import Blank, Mapping, Rule, WriteMode

__all__ = [
    "Blank",
    "Mapped",
    "Mapping",
    "MappingReject",
    "Rule",
    "WriteMode",
    "apply_mapping",
    "check_mapping",
    "fixed_lookups",
    "looked_up_tables",
    "lookup_faults",
    "missing_required",
    "parse_mapping",
    "parse_value_table",
    "update_values",
    "wanted_lookups",
]
