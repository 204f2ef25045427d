"""Reads prospects out of JSON Lines and JSON text, and text out of files: UTF-8 or a fault that says what to do.

A reader yields (line, prospect) in the order of the file, or (line, Fault) and goes on where that is
possible. Whether an entry is a prospect is asked by `files`.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from dynamics.core.json_text import parse_json
from dynamics.errors import Fault

Entry = tuple[int, Any]  # line, and what stands there: JSON as parsed, or a Fault

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE = "Save the file as UTF-8; spreadsheets call it 'CSV UTF-8'."


class NotUtf8Error(ValueError):
    """The text of a file cannot be read from `fault.line` on."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def utf8_lines(path: Path) -> Iterator[str]:
    """The lines with their ends, without a byte order mark, one at a time. Raises NotUtf8Error, OSError."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if number == 1 and raw.startswith(_UTF16):
                raise NotUtf8Error(Fault(str(path), 1, "The text is UTF-16.", _SAVE))
            try:
                yield (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).decode()
            except UnicodeDecodeError as wrong:
                what = f"The text is not UTF-8 (byte {wrong.start + 1} of the line)."
                raise NotUtf8Error(Fault(str(path), number, what, _SAVE)) from None


def json_lines(path: Path) -> Iterator[Entry]:
    """One JSON value a line; empty lines are skipped."""
    try:
        for number, line in enumerate(utf8_lines(path), 1):
            if not line.strip():
                continue
            try:
                yield number, parse_json(line.strip())
            except json.JSONDecodeError as wrong:
                yield number, _not_json(path, number, wrong.colno, wrong.msg.partition(":")[0])
    except NotUtf8Error as wrong:
        yield wrong.fault.line or 1, wrong.fault


def json_values(path: Path) -> Iterator[Entry]:
    """The values of a JSON list, or one JSON value, each with the line on which it begins. Reads the file whole."""
    try:
        text = "".join(utf8_lines(path))
        content = json.loads(text, parse_constant=_refuse_constant)
    except NotUtf8Error as wrong:
        yield wrong.fault.line or 1, wrong.fault
        return
    except json.JSONDecodeError as wrong:
        yield wrong.lineno, _not_json(path, wrong.lineno, wrong.colno, wrong.msg)
        return
    except (ValueError, RecursionError):
        yield (
            1,
            Fault(str(path), None, "The text is no JSON: it holds NaN or Infinity, or nests too deep.", "Correct it."),
        )
        return
    if not isinstance(content, list):
        yield 1, content
        return
    decoder = json.JSONDecoder()
    line, counted, at = 1, 0, text.index("[") + 1
    for _ in content:  # again, one by one, for the lines
        while text[at] in " \t\r\n,":
            at += 1
        line += text.count("\n", counted, at)
        counted = at
        value, at = decoder.raw_decode(text, at)
        yield line, value


def _not_json(path: Path, line: int, column: int, message: str) -> Fault:
    return Fault(str(path), line, f"The text is no JSON (column {column}): {message}.", "Correct it.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
