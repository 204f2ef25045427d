"""Change tracking: a full read that ends with a delta link, and what has changed since such a link was given.

Changed rows come first, in the order of their versions, then deletions. A deletion of a row the caller never saw is
reported too.
Source: Microsoft Learn, "Use change tracking to synchronize data with external systems".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sandbox.dataverse.answers import applied, json_answer
from sandbox.dataverse.errors import Refusal, bad_request
from sandbox.dataverse.projection import Projection
from sandbox.dataverse.query import MOST_ROWS, Page, next_link, run
from sandbox.dataverse.schema import Table
from sandbox.dataverse.state import Session
from sandbox.dataverse.wire import Response

_TOKEN = re.compile(r"(\d+)!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)(?:!(\d+))?")
_STARTED_AT = "trackedfrom"
_REFUSED = ("$filter", "$orderby", "$expand", "$top")


def track(session: Session, table: Table, options: dict[str, str], preferences: dict[str, str], path: str) -> Response:
    """Answer a query with `odata.track-changes` or a `$deltatoken`."""
    if not table.is_tracked or table.name in session.state.settings.change_tracking_disabled:
        raise Refusal(400, "0x80072491", f"Change tracking is not enabled for the entity {table.name}.")
    for name in _REFUSED:
        if name in options:
            raise bad_request(f'The "${{{name}}}" query parameter isn\'t supported when Change Tracking is enabled.')
    page_size = int(preferences.get("odata.maxpagesize") or MOST_ROWS)
    if "$deltatoken" in options:
        page = _changes(session, table, options, page_size, path)
    else:
        # The link at the end starts from the version of the first page: changes made while paging come again.
        options.setdefault(_STARTED_AT, str(session.store.version))
        page = run(session, table, options, path=path, page_size=page_size)
        if "@odata.nextLink" not in page.body:
            page.body["@odata.deltaLink"] = _delta_link(session, options, path, int(options.pop(_STARTED_AT)))
    headers = applied(preferences, "odata.track-changes", "odata.maxpagesize")
    return json_answer(page.body, headers=headers, table=table.name, rows=page.rows, operation="RetrieveChanges")


def changed_count(session: Session, table: Table, token: str) -> int:
    """How many changes a delta token has ahead of it."""
    since, _ = _read_token(session, token)
    rows: int = sum(row["versionnumber"] > since for row in session.store.rows(table.name).values())
    return rows + sum(stone.version > since for stone in session.store.table(table.name).tombstones.values())


def _changes(session: Session, table: Table, options: dict[str, str], page_size: int, path: str) -> Page:
    since, skip = _read_token(session, options["$deltatoken"])
    data = session.store.table(table.name)
    changed = sorted(
        (row for row in data.rows.values() if row["versionnumber"] > since), key=lambda row: row["versionnumber"]
    )
    deleted = sorted((stone.version, row_id) for row_id, stone in data.tombstones.items() if stone.version > since)
    project = Projection(session, table, options.get("$select"))
    gone = f"{session.state.api}/$metadata#{table.entity_set}/$deletedEntity"
    window = slice(skip, skip + min(page_size, MOST_ROWS))
    value = [project(row) for row in changed[window]]
    left = slice(max(0, skip - len(changed)), max(0, (window.stop or 0) - len(changed)))
    value += [{"@odata.context": gone, "id": row_id, "reason": "deleted"} for _, row_id in deleted[left]]
    body = {"@odata.context": f"{project.context}/$delta", "value": value}
    if len(changed) + len(deleted) > skip + len(value):
        token = f"{_token(session, since)}!{skip + len(value)}"
        body["@odata.nextLink"] = next_link(session, path, options, "$deltatoken", token)
    else:
        body["@odata.deltaLink"] = _delta_link(session, options, path, session.store.version)
    return Page(body, len(value))


def _delta_link(session: Session, options: dict[str, str], path: str, version: int) -> str:
    return next_link(session, path, options, "$deltatoken", _token(session, version))


def _token(session: Session, version: int) -> str:
    return f"{version}!{session.now:%m/%d/%Y %H:%M:%S}"


def _read_token(session: Session, text: str) -> tuple[int, int]:
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise bad_request("The delta token is not valid.", "0x80040203")
    given = datetime.strptime(match[2], "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC)
    if session.now - given > timedelta(days=session.state.settings.change_tracking_days):
        raise Refusal(400, "0x80044352", "Version stamp associated with the client has expired. Please do a full sync.")
    return int(match[1]), int(match[3] or 0)
