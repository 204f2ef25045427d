"""Mapping sets: the mapping tables of a folder include/mappings/<set>/ with their value tables.

What a table says is read by `core.mapping`; what an account's metadata says of it is checked there too.
Source: design part 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from dynamics.config.include import is_name, read_text, shown
from dynamics.config.wording import nearest
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import parse_value_table, read_mapping
from dynamics.errors import ConfigurationError, Fault

REQUIRED = ("lead", "contact")  # a match of either kind is updated with its own table's mapping
OPTIONAL = ("account",)


@dataclass(frozen=True)
class MappingSet:
    """`tables` by logical name, `values` by the name of the value table; `digest` is the SHA-256 over the names and
    contents of all files."""

    name: str
    tables: Mapping[str, MappingTable]
    digest: str
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def load_mapping_set(include: Path, name: str) -> MappingSet:
    """Read lead.csv, contact.csv, account.csv (where there is one) and values/*.csv.

    Raises:
        ConfigurationError: all faults of all files at once.
    """
    mappings, faults = read_mapping_set(include, name)
    if faults or mappings is None:
        raise ConfigurationError(faults)
    return mappings


def read_mapping_set(include: Path, name: str) -> tuple[MappingSet | None, list[Fault]]:
    """Read the files as far as they can be read, and every fault of theirs. None: there is no such set.

    With a fault it is there to be checked further, not to be used.
    """
    faults: list[Fault] = []
    try:
        folder = _folder(include, name)
    except ConfigurationError as wrong:
        return None, list(wrong.faults)
    texts = _texts(include, folder, faults)
    values: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        if path.parent != folder:
            try:
                values[path.stem] = parse_value_table(text, shown(include, path))
            except ConfigurationError as wrong:
                faults += wrong.faults
                values[path.stem] = {}  # it exists: a map() that names it is not at fault
    tables: dict[str, MappingTable] = {}
    for table in (*REQUIRED, *OPTIONAL):
        path = folder / f"{table}.csv"
        if path not in texts:
            continue
        mapping, wrong_rows = read_mapping(table, texts[path], shown(include, path), values)
        faults += wrong_rows
        if mapping is not None:
            tables[table] = mapping
    return MappingSet(name, tables, _digest(folder, texts), values), faults


def _folder(include: Path, name: str) -> Path:
    mappings = include / "mappings"
    if is_name(name) and (mappings / name).is_dir():
        return mappings / name
    known = sorted(path.name for path in mappings.iterdir() if path.is_dir()) if mappings.is_dir() else []
    what = f"There is no mapping set '{name}'."
    raise ConfigurationError([Fault("include/mappings", None, what, nearest(name, known))])


def _texts(include: Path, folder: Path, faults: list[Fault]) -> dict[Path, str]:
    """The files that count, in a stable order; what cannot be read becomes a fault."""
    texts: dict[Path, str] = {}
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in (*REQUIRED, *OPTIONAL):
            what = f"No table is mapped by the name '{path.stem}'."
            faults.append(Fault(shown(include, path), None, what, nearest(path.stem, (*REQUIRED, *OPTIONAL))))
    wanted = [folder / f"{table}.csv" for table in (*REQUIRED, *OPTIONAL)]
    for path in [*wanted, *sorted((folder / "values").glob("*.csv"))]:
        if not path.is_file():
            if path.stem in REQUIRED:
                remedy = "Copy it from include/mappings/default and change it."
                faults.append(Fault(shown(include, path), None, "The file is missing.", remedy))
            continue
        try:
            texts[path] = read_text(include, path)
        except ConfigurationError as wrong:
            faults += wrong.faults
    return texts


def _digest(folder: Path, texts: Mapping[Path, str]) -> str:
    whole = sha256()
    for path, text in sorted(texts.items()):
        for part in (path.relative_to(folder).as_posix(), text):
            content = part.encode()
            whole.update(len(content).to_bytes(8))  # so that no text can pass for another file's name
            whole.update(content)
    return whole.hexdigest()
