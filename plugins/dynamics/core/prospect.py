"""The chunk frame: one row a captured prospect, with when it was captured, whether it may be synced, and its values.

Reads payloads of the Capture Source API's prospect schema (v1). Leaves the names of values to `paths`, their form to
`mapping`. A blank is `None` in every column; `0` and `False` are values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from dynamics.core.paths import Prospects, path_fault, reader_of

__all__ = ["READY", "path_fault", "path_values", "prospect_frame", "source_values"]

READY = "ready"
_WAITING = ("on_hold", "awaiting_transcription", "awaiting_reconciliation")
_EPOCH = datetime.fromtimestamp(0, UTC)  # of a payload whose times cannot be read: the oldest


def prospect_frame(items: pd.DataFrame) -> pd.DataFrame:
    """The frame of a claimed chunk.

    Args:
        items: `Claim.items` of `sync.ports`: among others `payload` (dict), any unique index.
    Returns:
        the same rows and columns, and
        captured_at  datetime64[us, UTC]: newest complete submission, without one the payload's last change;
        state        object (str): "ready", or why it is not synced (now): payload_removed (by the nightly removal; it
                     says nothing any more), processing_restricted, recycled, deleted, on_hold, awaiting_transcription,
                     awaiting_reconciliation;
        captures     object (tuple of dict): complete submissions, newest first.
    """
    payloads: list[Mapping[str, Any]] = list(items["payload"])
    dated = [_newest_first(payload) for payload in payloads]
    captures = [tuple(entry for _, entry in found if entry.get("state") == "complete") for found in dated]
    captured = [
        _instant(done[0].get("captured_at") if done else payload.get("updated_at"))
        for payload, done in zip(payloads, captures, strict=True)
    ]
    states = [_state(payload, found) for payload, found in zip(payloads, dated, strict=True)]
    return items.assign(
        captured_at=pd.Series(captured, index=items.index, dtype="datetime64[us, UTC]"),
        state=pd.Series(states, index=items.index, dtype=object),
        captures=pd.Series(captures, index=items.index, dtype=object),
    )


def source_values(frame: pd.DataFrame, paths: Collection[str]) -> pd.DataFrame:
    """The prospects' values under these paths.

    Args:
        frame: as `prospect_frame` gives it.
        paths: paths without a fault.
    Returns:
        the frame's index, one object column a path in sorted order. Texts, numbers, booleans and lists as captured;
        nothing, empty text, blanks alone, NaN and empty lists are None.
    Raises:
        KeyError: a path that no prospect has.
    """
    columns = {
        path: pd.Series(values, index=frame.index, dtype=object) for path, values in path_values(frame, paths).items()
    }
    return pd.DataFrame(columns, index=frame.index)


def path_values(frame: pd.DataFrame, paths: Collection[str]) -> dict[str, list[Any]]:
    """The same as plain lists, in the order of the frame."""
    chunk = Prospects(list(frame["payload"]), list(frame["captures"]))
    columns: dict[str, list[Any]] = {}
    for path in sorted(paths):
        read = reader_of(path)
        if read is None:
            raise KeyError(path)
        columns[path] = _without_blanks(read(chunk))
    return columns


def _without_blanks(values: Sequence[object]) -> list[object]:
    """None for every blank. Most values are None or text: these take the short way, columns of None the shortest."""
    if values.count(None) == len(values):
        return list(values)
    return [
        value if value is None or (type(value) is str and value and not value.isspace()) else _full(value)
        for value in values
    ]


def _full(value: object) -> object:
    """The value, None when it is a blank."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if isinstance(value, list):
        kept = [item for item in value if _full(item) is not None]
        return kept or None
    # NaN comes with files read by pandas: the only value that differs from itself.
    return None if value != value or value == {} else value


def _newest_first(payload: Mapping[str, Any]) -> list[tuple[datetime, Mapping[str, Any]]]:
    """Submissions that were not deleted, by capture time; of equal times the greater id first."""
    entries = [entry for entry in payload.get("submissions") or () if entry.get("state") != "deleted"]
    dated = [(_instant(entry.get("captured_at")), entry) for entry in entries]
    return sorted(dated, key=lambda pair: (pair[0], str(pair[1].get("id"))), reverse=True)


def _state(payload: Mapping[str, Any], submissions: Sequence[tuple[datetime, Mapping[str, Any]]]) -> str:
    """What is final comes before what may pass. One complete submission is enough; else the newest tells why not."""
    if not payload:
        return "payload_removed"
    if payload.get("deleted_at") or payload.get("deletion_reason"):
        return "deleted"
    if (payload.get("privacy") or {}).get("processing_restricted"):
        return "processing_restricted"
    status = payload.get("status")
    if status in ("recycled", "on_hold"):
        return str(status)
    states = [str(entry.get("state")) for _, entry in submissions]
    if not states or "complete" in states:
        return READY
    # A state this version does not know is not complete: wait, a person will look.
    return states[0] if states[0] in _WAITING else "on_hold"


def _instant(text: object) -> datetime:
    """Aware UTC from an RFC 3339 text; a time without a zone counts as UTC."""
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return _EPOCH
