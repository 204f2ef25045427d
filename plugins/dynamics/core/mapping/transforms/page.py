"""The reference page of transforms, made of the registry: `python -m dynamics.core.mapping.transforms.page`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from dynamics.core.mapping.transforms import ENDINGS, REGISTRY

_HEAD = """# Transforms

<!-- Made by `make docs` from plugins/dynamics/core/mapping/transforms. -->

The steps of a mapping table's `transform` column, joined by `|` and carried out from left to right:
`trim|lower`. A blank passes every step. Where a step cannot read a value, or what comes out does not fit the target
column, the prospect is rejected with the column named; nothing is guessed and nothing but `truncate` shortens.

Dates and times: a *date only* column gets the date where the time was captured, so an offset never moves it to
another day; a *time-zone independent* column gets the time as it was on the wall there; a *user local* column gets the
instant. A time without an offset counts as UTC, and a date as its midnight, unless `zone` says where.
"""


def page() -> str:
    """The page's Markdown."""
    return "\n".join([_HEAD, "## Steps\n", *_steps(), "\n## Last steps\n", *_endings()]) + "\n"


def _steps() -> Iterator[str]:
    yield "| step | what it does | for example |"
    yield "|---|---|---|"
    for each in sorted(REGISTRY.values(), key=lambda each: each.name):
        examples = "<br>".join(f"{_shown(given)} → {_shown(gives)}" for given, gives in each.examples)
        yield f"| `{each.usage}` | {_line(each.doc)} | {examples} |"


def _endings() -> Iterator[str]:
    yield "One of these may end a transform.\n"
    yield "| step | what it does |"
    yield "|---|---|"
    for each in ENDINGS.values():
        yield f"| `{each.usage}` | {_line(each.doc)} |"


def _line(doc: str) -> str:
    return " ".join(doc.split())


def _shown(value: object) -> str:
    if value is None:
        return "blank"
    if isinstance(value, list):
        return "a list of " + " and ".join(map(_shown, value))
    if isinstance(value, date):
        return f"`{value.isoformat()}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "`" + str(value).replace("\n", "⏎") + "`"


if __name__ == "__main__":
    print(page(), end="")
