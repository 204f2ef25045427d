"""Drafts a mapping: which of the source's fields fits which column, how, why, and how sure that is.

Names, labels, types and options are compared; what another mapping of the table fills already is taken over. A draft is
for a person to edit: what is but a guess comes as a comment. Leaves reading metadata and fields to the edges.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dynamics.core.mapping.checking import missing_required
from dynamics.core.mapping.coercion import NUMBER_TYPES, SEVERAL_OPTIONS, TEXT_TYPES, coercer
from dynamics.core.mapping.parsing import HEADER
from dynamics.core.mapping.rules import Mapping, Rule, WriteMode
from dynamics.core.mapping.transforms import CHOICE, CHOICES
from dynamics.core.metadata import Column, TableMetadata

SURE, LIKELY, GUESS = 85, 65, 50
SPELLED_ALIKE = 0.93  # interest and interests are, county and country are not
# A publisher's prefix, then the name; address1_ is none.
_CUSTOM = re.compile(r"(?!address[0-9]_|msdyn_)[a-z][a-z0-9]{1,7}_[a-z0-9_]+")
_WORD = re.compile(r"[^\W_]+")
_NOISE = frozenset({"code", "id", "the", "a", "of", "your", "you", "do", "is", "us", "custom", "answer"})

_TEXT, _CHOICE, _CHOICES = "text", "choice", "choices"
_KINDS = {
    **dict.fromkeys(("string", "text", "textarea", "email", "url", "phone", "time", "rank"), _TEXT),
    **dict.fromkeys(("single_choice", "option"), _CHOICE),
    **dict.fromkeys(("multi_choice", "options"), _CHOICES),
    **dict.fromkeys(("number", "integer", "rating"), "number"),
    **{name: name for name in ("money", "boolean", "date", "datetime")},
}
_NUMERIC = {"Integer", *NUMBER_TYPES}
# Kind of source -> column types -> how well it goes there, from 0 to 1. What is absent does not go at all.
_FITS: dict[str, dict[str, float]] = {
    _TEXT: dict.fromkeys(TEXT_TYPES, 1.0) | {"Picklist": 0.5, "DateTime": 0.3} | dict.fromkeys(_NUMERIC, 0.3),
    _CHOICE: {"Picklist": 1.0, "String": 0.6, "Memo": 0.4, "Boolean": 0.3},
    _CHOICES: {"MultiSelectPicklist": 1.0, "Memo": 0.7, "String": 0.6, "Picklist": 0.3},
    "number": dict.fromkeys(_NUMERIC, 1.0) | {"String": 0.5, "Picklist": 0.4},
    "money": {"Money": 1.0, "Decimal": 0.8, "Double": 0.8, "Integer": 0.5, "String": 0.4},
    "boolean": {"Boolean": 1.0, "String": 0.4, "Picklist": 0.3},
    "date": {"DateTime": 1.0, "String": 0.4},
    "datetime": {"DateTime": 1.0, "String": 0.4},
}


@dataclass(frozen=True)
class SourceField:
    """A field of the source. `options`: label of each; `kind`: the source's word for its type."""

    path: str
    label: str
    kind: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """One row of a draft. `score` from 0 to 100; `why` names what speaks for it, and where it is not `ready` what a
    person has to do first."""

    target: str
    source: str
    transform: str
    write: WriteMode
    score: int
    why: str
    ready: bool = True

    @property
    def surety(self) -> str:
        return "sure" if self.score >= SURE else "likely" if self.score >= LIKELY else "a guess"


def suggest(metadata: TableMetadata, fields: Iterable[SourceField], known: Mapping | None = None) -> list[Suggestion]:
    """A row for each column that something fits, by column.

    Args:
        metadata: of the organisation.
        fields: of the source.
        known: a mapping of the same table whose rows are taken over where the organisation has the column.
    """
    taken = [
        _taken_over(rule) for rule in (known.rows if known else ()) if _writable(metadata.columns.get(rule.target))
    ]
    filled = {row.target for row in taken}
    used = {rule.paths[0] for rule in (known.rows if known else ()) if len(rule.paths) == 1}
    open_columns = [c for c in metadata.columns.values() if c.logical_name not in filled and _writable(c)]
    pairs = [
        pair
        for field in fields
        if field.path not in used
        for column in open_columns
        # Where a mapping knows the table, it has put the usual fields into the usual columns.
        if known is None or _is_own(field) or _CUSTOM.fullmatch(column.logical_name)
        if (pair := _pair(field, column))
    ]
    best: dict[str, Suggestion] = {}
    for pair in sorted(pairs, key=lambda pair: (-pair.score, pair.target, pair.source)):
        if pair.target not in best and pair.source not in {other.source for other in best.values()}:
            best[pair.target] = pair
    return sorted([*taken, *best.values()], key=lambda row: row.target)


def draft(metadata: TableMetadata, suggestions: Sequence[Suggestion]) -> str:
    """The suggestions as a mapping table. What cannot be used as it is, and what was not found, are comments."""
    usable = [row for row in suggestions if row.ready and row.score >= LIKELY]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEADER)
    for row in suggestions:
        comment = f"{row.surety} ({row.score}): {row.why}"
        target = row.target if row in usable else f"# {row.target}"
        lines.writerow((target, row.source, row.transform, "", row.write.value, "", comment))
    for name in missing_required(metadata, dict.fromkeys((row.target for row in usable), "filled")):
        text.write(f"# {name} is required and nothing of the source fits: write a row for it.\n")
    guessed = {row.target for row in suggestions}
    for name, column in sorted(metadata.columns.items()):
        if _CUSTOM.fullmatch(name) and _writable(column) and name not in guessed:
            text.write(f"# {name} ({column.label or name}, {column.type}): nothing of the source looks like it.\n")
    return text.getvalue()


# ---------------------------------------------------------------- pieces


def _writable(column: Column | None) -> bool:
    """Whether values go there; records to point to are not guessed."""
    if column is None or not (column.creatable and column.updatable):
        return False
    return column.is_lookup or coercer(column) is not None


def _is_own(field: SourceField) -> bool:
    """Whether the customer has made it: a custom field or a question."""
    return field.path.startswith(("custom.", "answer."))


def _taken_over(rule: Rule) -> Suggestion:
    return Suggestion(rule.target, str(rule.origin), "|".join(rule.transform), rule.write, 100, "as in the mapping set")


def _pair(field: SourceField, column: Column) -> Suggestion | None:
    """How well they go together; None when they do not, or nothing but chance speaks for it."""
    kind = _KINDS.get(field.kind, _TEXT)
    type_fits = _FITS[kind].get(column.type)
    if type_fits is None:
        return None
    likeness, by_what = _likeness(field, column)
    shared = _shared(field.options, column)
    fits = (type_fits + shared) / 2 if field.options and column.options else type_fits
    score = round(100 * likeness * (0.6 + 0.4 * fits))
    if score < GUESS:
        return None
    transform, to_do = _transform(kind, field, column, shared)
    reasons = [by_what, f"{field.kind} into {column.type}", *([to_do] if to_do else [])]
    return Suggestion(
        column.logical_name, field.path, transform, WriteMode.ALWAYS, score, "; ".join(reasons), not to_do
    )


def _likeness(field: SourceField, column: Column) -> tuple[float, str]:
    """From 0 to 1, and what is alike."""
    key = field.path.partition(".")[2] or field.path
    name = column.logical_name.partition("_")[2] if _CUSTOM.fullmatch(column.logical_name) else column.logical_name
    by_name, by_label = _alike(key, name), _alike(field.label, column.label)
    crossed = max(_alike(key, column.label), _alike(field.label, name))
    if by_label >= max(by_name, crossed) and by_label > 0:
        return by_label, f"labels '{field.label}' and '{column.label}'"
    return (by_name, "names") if by_name >= crossed else (crossed, "name and label")


def _alike(one: str, other: str) -> float:
    words = [_words(text) for text in (one, other)]
    if not all(words):
        return 0.0
    telling = [{word for word in each if word not in _NOISE} or set(each) for each in words]
    common = len(telling[0] & telling[1]) / len(telling[0] | telling[1])
    spelled = difflib.SequenceMatcher(None, "".join(words[0]), "".join(words[1]), autojunk=False).ratio()
    return max(common, spelled if spelled >= SPELLED_ALIKE else 0.0)


def _words(text: str) -> list[str]:
    """`InterestArea`, `interest_area` and `Interest area` are the same words."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word.casefold() for word in _WORD.findall(parted)]


def _shared(options: Sequence[str], column: Column) -> float:
    """The part of the source's options that the column has under one of its labels."""
    if not options or not column.options:
        return 0.0
    labels = {label.casefold() for labels in (column.labels or {}).values() for label in labels}
    return sum(option.casefold() in labels for option in options) / len(options)


def _transform(kind: str, field: SourceField, column: Column, shared: float) -> tuple[str, str]:
    """The steps, and what a person has to do before the row can be used."""
    ending = {"Picklist": CHOICE, SEVERAL_OPTIONS: CHOICES}.get(column.type)
    if ending is not None:
        if shared == 1:
            return ending, ""
        name = field.path.rpartition(".")[2]
        return f"map({name})|{ending}", f"write values/{name}.csv first: its options beside the column's"
    if column.type in TEXT_TYPES:
        by_kind = {_CHOICES: "join(; )", _TEXT: "phone" if field.kind == "phone" else "trim"}
        return by_kind.get(kind, ""), ""
    if column.type == "Boolean":
        return "bool", ""
    return ("number" if column.type in _NUMERIC and kind == _TEXT else ""), ""


def standard_fields(paths: Iterable[str]) -> Iterator[SourceField]:
    """The source's fixed paths as fields, for where its own list does not name them."""
    for path in paths:
        yield SourceField(path, path.replace(".", " ").replace("_", " ").capitalize(), "string")
