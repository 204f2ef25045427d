"""The folder include/, where actions and mappings stand, and its files as text. Leaves their meaning to others."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dynamics.errors import ConfigurationError, Fault

VARIABLE = "DYNAMICS_SYNC_INCLUDE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def include_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """DYNAMICS_SYNC_INCLUDE if it is set, else include/ in AIRFLOW_HOME, else include/ where we stand.

    Raises:
        ConfigurationError: there is none.
    """
    named = environment.get(VARIABLE)
    if named:
        places = [Path(named)]
    else:
        home = Path(environment.get("AIRFLOW_HOME") or "~/airflow").expanduser()
        places = [home / "include", Path("include")]
    for place in places:
        if place.is_dir():
            return place.absolute()
    looked = " or ".join(str(place) for place in places)
    what = f"There is no folder {looked}."
    raise ConfigurationError(
        [Fault("include", None, what, f"Set {VARIABLE} to the folder with actions/ and mappings/.")]
    )


def is_name(text: str) -> bool:
    """Whether it can be the name of an action, a mapping set or a value table, and no way out of its folder."""
    return _NAME.fullmatch(text) is not None


def shown(include: Path, path: Path) -> str:
    """How faults name a file: include/actions/booth-leads.yaml."""
    return f"include/{path.relative_to(include).as_posix()}"


def read_text(include: Path, path: Path) -> str:
    """The content of a UTF-8 file, without a byte order mark.

    Raises:
        ConfigurationError: it cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = wrong.object.count(b"\n", 0, wrong.start) + 1
        fault = Fault(shown(include, path), line, "The text is not UTF-8.", "Save the file as UTF-8.")
        raise ConfigurationError([fault]) from None
    except OSError as wrong:
        what = f"The file cannot be read: {wrong.strerror}."
        fault = Fault(shown(include, path), None, what, "Correct its permissions.")
        raise ConfigurationError([fault]) from None
