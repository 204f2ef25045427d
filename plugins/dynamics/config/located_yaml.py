"""YAML with the line on which each key stands, so that a fault can name it.

Plain data only: maps with text keys, lists, scalars. A key that stands twice is a fault; PyYAML keeps the
last in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from dynamics.errors import ConfigurationError, Fault

Place = tuple[str | int, ...]
_OFFERED = "Write `name: value` lines."


@dataclass(frozen=True)
class Located:
    """`content` as plain data; `lines` tells on which line (from 1) each key or list item begins."""

    content: dict[str, Any]
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, path: Place) -> int | None:
        """The line of a path, or of the nearest one above it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read_yaml(text: str, file: str) -> Located:
    """Read one document that is a map.

    Raises:
        ConfigurationError: it cannot be read, is no map, or has a key twice.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ConfigurationError([Fault(file, 1, "The file is no list of settings.", _OFFERED)])
        lines: dict[Place, int] = {(): 1}
        faults = list(_walk(root, (), lines, file))
        content: dict[str, Any] = loader.construct_document(root) if not faults else {}
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else None
        what = f"The YAML cannot be read: {wrong.problem}."
        raise ConfigurationError([Fault(file, line, what, "Check indentation, quotes and brackets.")]) from None
    except yaml.YAMLError:
        raise ConfigurationError(
            [Fault(file, None, "The YAML cannot be read.", "Remove control characters.")]
        ) from None
    finally:
        loader.dispose()
    if faults:
        raise ConfigurationError(faults)
    return Located(content, lines)


def _walk(node: yaml.Node, path: Place, lines: dict[Place, int], file: str) -> list[Fault]:
    faults: list[Fault] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                faults.append(Fault(file, line, "A name is no text.", "Put it in quotes."))
                continue
            inner = (*path, key.value)
            if inner in lines:
                what = f"'{key.value}' stands in line {lines[inner]} already."
                faults.append(Fault(file, line, what, "Keep one of the two."))
            lines.setdefault(inner, line)
            faults += _walk(value, inner, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            faults += _walk(value, (*path, index), lines, file)
    return faults
