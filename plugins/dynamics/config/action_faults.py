"""Says what pydantic found wrong in a sync action as a person would: file, line, words to choose from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dynamics.config.located_yaml import Located, Place
from dynamics.config.wording import nearest
from dynamics.errors import Fault


def unusable(
    error: ValidationError,
    model: type[BaseModel],
    written: Located,
    file: str,
    overridden: Mapping[Place, str],
) -> list[Fault]:
    """One fault per finding. What a run's params brought in is blamed on them, not on the file."""
    faults = []
    for found in error.errors(include_url=False):
        place = found["loc"]
        param = overridden.get(place)
        what, remedy = _told(found, model, param or _named(place))
        faults.append(Fault("params", None, what, remedy) if param else Fault(file, written.line(place), what, remedy))
    return faults


def _told(found: ErrorDetails, model: type[BaseModel], name: str) -> tuple[str, str]:
    """What is wrong, and the remedy."""
    kind, place = found["type"], found["loc"]
    if kind == "extra_forbidden":
        return f"There is no setting '{name}'.", nearest(str(place[-1]), _settings(model, place[:-1]))
    if kind == "missing":
        words = _words_at(model, place)
        return f"'{name}' is missing.", f"Write one of: {', '.join(words)}." if words else "Write it."
    words = _words_at(model, place)
    if words and not isinstance(found["input"], dict | list):
        return f"'{found['input']}' is no word for '{name}'.", nearest(str(found["input"]), words)
    if kind in ("model_type", "model_attributes_type"):
        return f"'{name}' is no list of settings.", f"Known: {', '.join(_settings(model, place))}."
    if kind == "bool_type":
        return f"'{name}' is neither true nor false.", "Write true or false."
    wrong = found["msg"].partition("should")  # "Input should be ...", "String should have ..."
    return f"'{name}' {''.join(wrong[1:]) or wrong[0]}.", "Correct it."


def _named(place: Place) -> str:
    """duplicates.check; an entry of a list by its number from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in place)


def _settings(model: type[BaseModel], place: Place) -> Collection[str]:
    """The names that may stand at a place, but those that are given by where the file stands."""
    for kind in _kinds_at(model, place):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return [name for name in _fields(kind) if name != "name"]
    return ()


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by the names that a person writes."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _words_at(model: type[BaseModel], place: Place) -> tuple[str, ...]:
    """The words that may stand at a place; none where anything may."""
    for kind in _kinds_at(model, place):
        if get_origin(kind) is Literal:
            return tuple(map(str, get_args(kind)))
        if isinstance(kind, type) and issubclass(kind, Enum):
            return tuple(str(word.value) for word in kind)
    return ()


def _kinds_at(model: type[BaseModel], place: Place) -> Iterator[Any]:
    """The types that the model declares for a place, unions and containers unfolded."""
    kinds: list[Any] = [model]
    for name in place:
        inner: list[Any] = []
        for kind in kinds:
            if isinstance(name, str) and isinstance(kind, type) and issubclass(kind, BaseModel):
                field = _fields(kind).get(name)
                inner += _unfolded(field.annotation) if field else []
            elif isinstance(name, str) and get_origin(kind) is dict:  # names of the customer's own
                inner += _unfolded(get_args(kind)[1])
            elif isinstance(name, int):
                inner += [part for arg in get_args(kind) for part in _unfolded(arg)]
        kinds = inner
    return iter(kinds)


def _unfolded(annotation: Any) -> list[Any]:
    """A union's members; of anything else itself."""
    if get_origin(annotation) in (tuple, list, dict, Literal) or not get_args(annotation):
        return [annotation]
    return [part for arg in get_args(annotation) for part in _unfolded(arg)]
