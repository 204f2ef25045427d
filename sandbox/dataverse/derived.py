"""Columns the platform computes from others at write time: full names, composite addresses, amounts in base currency.

One currency and the name order "first last" are assumed, as in a stock organisation.
Source: Microsoft Learn, "Table reference" of lead, contact and account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from sandbox.dataverse.schema import Table
from sandbox.dataverse.store import Row

Derivation = tuple[frozenset[str], Callable[[Row], None]]


def derive(table: Table, row: Row, names: Iterable[str], currency_id: str) -> None:
    """Bring the computed columns that depend on `names` up to date, in place."""
    for inputs, compute in _derivations(table):
        if not inputs.isdisjoint(names):
            compute(row)
    if "exchangerate" in row and "_transactioncurrencyid_value" in table.properties:
        row.setdefault("_transactioncurrencyid_value", currency_id)


@lru_cache(maxsize=256)
def _derivations(table: Table) -> tuple[Derivation, ...]:
    found: list[Derivation] = []
    if {"fullname", "firstname", "lastname"} <= table.properties.keys():
        found.append((frozenset({"firstname", "lastname"}), _full_name))
    found.extend(
        _composite(name.removesuffix("_composite")) for name in table.properties if name.endswith("_composite")
    )
    money = [name for name, column in table.properties.items() if column.type == "Money"]
    converted = tuple(name for name in money if f"{name}_base" in table.properties)
    if converted and "exchangerate" in table.properties:
        found.append((frozenset(converted), lambda row: _base_amounts(row, converted)))
    return tuple(found)


def _set(row: Row, name: str, value: object) -> None:
    if value is None or value == "":
        row.pop(name, None)
    else:
        row[name] = value


def _full_name(row: Row) -> None:
    parts = (row.get("firstname"), row.get("lastname"))
    _set(row, "fullname", " ".join(part for part in parts if part))


def _composite(prefix: str) -> Derivation:
    lines = tuple(f"{prefix}_line{number}" for number in (1, 2, 3))
    city, region, postal, country = (
        f"{prefix}_{part}" for part in ("city", "stateorprovince", "postalcode", "country")
    )

    def compute(row: Row) -> None:
        place = " ".join(filter(None, (row.get(region), row.get(postal))))
        parts = [*(row.get(line) for line in lines), ", ".join(filter(None, (row.get(city), place))), row.get(country)]
        _set(row, f"{prefix}_composite", "\r\n".join(part for part in parts if part)[:1000])

    return frozenset({*lines, city, region, postal, country}), compute


def _base_amounts(row: Row, names: tuple[str, ...]) -> None:
    for name in names:
        _set(row, f"{name}_base", row.get(name))
    if any(name in row for name in names):
        row["exchangerate"] = 1.0
