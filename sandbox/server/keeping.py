"""Keeps what organisations and capture system hold in the state folder, from a clean stop to the next start.

One JSON document for each organisation and one for the capture system, replaced as a whole. Settings, faults, journal,
tokens and webhook subscriptions are not kept. What stands in a document is decided by whoever holds the content.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from sandbox.server.certificates import write_private
from sandbox.server.world import World

FORMAT = 1


class KeptContentError(Exception):
    """What stands in the state folder cannot be taken back; the text says which file, and what to do."""


def save(folder: Path, world: World) -> None:
    """Write everything, readable by its owner only. Organisations that do not run now keep what they have."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for environment in world.environments:
        _write(_path(folder, environment.organization_id), environment.organization.content())
    _write(_path(folder, "capture"), world.capture.content())


def load(folder: Path, world: World) -> bool:
    """Take back what was kept; False when there is nothing.

    Raises:
        KeptContentError: a file is damaged, or of another version of the sandbox.
    """
    takers: dict[str, Callable[[dict[str, Any]], object]] = {
        environment.organization_id: environment.organization.restore for environment in world.environments
    }
    takers["capture"] = lambda kept: world.capture.load(**kept)
    found = [_take(_path(folder, name), into) for name, into in takers.items()]
    return any(found)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _write(path: Path, content: object) -> None:
    write_private(path, orjson.dumps({"format": FORMAT, "content": content}))


def _take(path: Path, into: Callable[[dict[str, Any]], object]) -> bool:
    if not path.exists():
        return False
    try:
        document = orjson.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} instead of {FORMAT}")
        into(document["content"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise KeptContentError(f"{path} cannot be read; move it away to begin anew") from error
    return True
