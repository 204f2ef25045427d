"""Reads docker-compose.yaml, .env and the Dockerfile as the engine would: what each service runs, and with what.

Source: Compose specification, "Interpolation"; Dockerfile reference, "ENV".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE, DOCKERFILE, EXAMPLE = ROOT / "docker-compose.yaml", ROOT / "Dockerfile", ROOT / ".env.example"

# $$, ${NAME}, ${NAME:-default} and ${NAME:?message}: all that the file uses; anything else with a dollar is refused.
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}|(?P<odd>))")


class MissingVariableError(LookupError):
    """A variable without a default is not set; the text is what a person is told."""


@dataclass(frozen=True)
class Service:
    """One service. `environment` holds the image's variables too, where the image is built of the Dockerfile."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    healthcheck: tuple[str, ...]
    raw: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        return "build" in self.raw


def read_variables(path: Path) -> dict[str, str]:
    """The assignments of an .env file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Raises MissingVariableError for ${X:?...} without X, ValueError for a form that is not known here."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found["name"], found["kind"], found["rest"]
        if found["dollar"]:
            return "$"
        if name is None:
            raise ValueError(f"a lone $ in {text!r}")
        if kind == "?" and not variables.get(name):
            raise MissingVariableError(f"{name}: {rest}")
        return variables.get(name) or (rest if kind == "-" else "")

    return _VARIABLE.sub(value, text)


def image_environment() -> dict[str, str]:
    """What the Dockerfile's last stage sets."""
    stage = DOCKERFILE.read_text().split("\nFROM ")[-1].replace("\\\n", " ")
    lines = (line.removeprefix("ENV ") for line in stage.splitlines() if line.startswith("ENV "))
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service of every profile, by name."""
    content = _interpolated(yaml.safe_load(COMPOSE.read_text()), variables)
    image = image_environment()
    found = {}
    for name, raw in content["services"].items():
        environment = {key: str(value) for key, value in raw.get("environment", {}).items()}
        if "build" in raw:
            environment = image | environment
        found[name] = Service(
            name,
            tuple(raw.get("command", ())),
            environment,
            tuple(raw.get("healthcheck", {}).get("test", ())),
            raw,
        )
    return found


def _interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _interpolated(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(value, variables) for value in node]
    return interpolate(node, variables) if isinstance(node, str) else node
