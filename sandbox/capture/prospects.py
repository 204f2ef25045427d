"""Handlers of prospects and submissions: list, read, look up, write, and note down where a CRM keeps them.

Storage and order are `documents`' and `listing`'s. Source: Capture Source API v1, endpoints.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from aiohttp import web

from sandbox.capture import query, schema
from sandbox.capture.documents import Prospects, merge_patch, visible
from sandbox.capture.listing import Page, Pager, Row, Table
from sandbox.capture.query import PARTS
from sandbox.capture.wire import Fault, Json, Problem, answer, json_object
from sandbox.capture.writing import Writing

PROSPECT_FILTERS = ("event_id", "form_id", "owner_id", "captured_by_id", "email", "status")
SUBMISSION_FILTERS = ("event_id", "form_id", "captured_by_id", "prospect_id", "state")
MAX_LOOKUP = 200
_MANAGED = ("id", "revision", "created_at", "updated_at", "crm_links")
_ALNUM = string.ascii_letters + string.digits
Envelope = Callable[[web.Request, list[Any], Json, Json], web.Response]


class ProspectRoutes:
    """What `/v1/prospects` and `/v1/submissions` do."""

    def __init__(self, prospects: Prospects, pager: Pager, writing: Writing, envelope: Envelope) -> None:
        self._prospects = prospects
        self._pager = pager
        self._writing = writing
        self._envelope = envelope

    # ------------------------------------------------------------ reading

    async def list_prospects(self, request: web.Request) -> web.Response:
        """`GET /v1/prospects`."""
        window, cursor, limit = query.listing(request, PROSPECT_FILTERS)
        page = self._pager.page(self._prospects.table, window, cursor, limit)
        return self._page(request, page, [_shown(row, window.include) for row in page.rows], limit)

    async def list_submissions(self, request: web.Request) -> web.Response:
        """`GET /v1/submissions`."""
        window, cursor, limit = query.listing(request, SUBMISSION_FILTERS)
        page = self._pager.page(self._prospects.submissions, window, cursor, limit)
        return self._page(request, page, [orjson.Fragment(row.body) for row in page.rows], limit)

    async def get_prospect(self, request: web.Request) -> web.Response:
        """`GET /v1/prospects/{id}`: the whole prospect with its ETag; of a deleted one its tombstone."""
        prospect = self._known(request.match_info["id"])
        if prospect.get("deletion_reason") == "erasure":
            raise Problem(410, "erased", "The prospect was erased.")
        headers = {"ETag": etag(prospect)}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return answer(prospect, headers=headers)

    async def get_submission(self, request: web.Request) -> web.Response:
        """`GET /v1/submissions/{id}`."""
        row = self._prospects.submissions.get(request.match_info["id"])
        if row is None:
            raise Problem(404, "not_found", "There is no such submission.")
        return answer(orjson.Fragment(row.body))

    async def lookup(self, request: web.Request) -> web.Response:
        """`POST /v1/prospects:lookup`: `{"ids": [...]}` or `{"emails": [...]}`, up to 200; unknown ones are absent."""
        content = await json_object(request)
        ids, emails = content.get("ids", []), content.get("emails", [])
        wanted = [*ids, *emails] if isinstance(ids, list) and isinstance(emails, list) else []
        if not wanted or len(wanted) > MAX_LOOKUP or not all(isinstance(text, str) for text in wanted):
            fault = Fault("/", "invalid_value", f"Give ids or emails, 1 to {MAX_LOOKUP} texts in all.")
            raise Problem(422, "validation_failed", "Nothing to look up.", errors=[fault])
        found = [*ids, *(prospect_id for address in emails for prospect_id in self._prospects.with_email(address))]
        return answer({"data": [orjson.Fragment(row.body) for row in self._rows(self._prospects.table, found)]})

    # ------------------------------------------------------------ writing

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/prospects`."""
        content = await json_object(request)
        now = self._writing.now()
        prospect = {
            "status": "active",
            **content,
            "id": "pro_" + "".join(secrets.choice(_ALNUM) for _ in range(12)),
            "revision": 1,
            "created_at": now,
            "updated_at": now,
        }
        schema.check(prospect, others=_managed(content))
        self._refuse_taken_email(prospect)
        stored = self._writing.create(prospect)
        headers = {"ETag": etag(stored), "Location": f"/v1/prospects/{stored['id']}"}
        return answer(stored, 201, headers)

    async def patch(self, request: web.Request) -> web.Response:
        """`PATCH /v1/prospects/{id}`: a JSON merge patch (RFC 7396) on the version named by `If-Match`."""
        old = self._alive(request.match_info["id"])
        expected = request.headers.get("If-Match")
        if expected is None:
            raise Problem(428, "precondition_required", "Send the ETag you read as If-Match.")
        if expected not in ("*", etag(old)):
            raise Problem(412, "precondition_failed", "The prospect has changed since.", headers={"ETag": etag(old)})
        content = await json_object(request)
        prospect = merge_patch(old, content)
        schema.check(prospect, others=_managed(content))
        self._refuse_taken_email(prospect)
        stored = self._writing.change(old, prospect)
        return answer(stored, headers={"ETag": etag(stored)})

    async def link(self, request: web.Request) -> web.Response:
        """`POST /v1/prospects/{id}/crm_links`: one link per system, account and table.

        The prospect itself does not change by it: no new revision, or every sync would bring about the next.
        """
        prospect = self._alive(request.match_info["id"])
        link = await json_object(request)
        schema.check(link, "crm_link")
        link.setdefault("synced_at", self._writing.now())
        place = [link[name] for name in ("system", "account", "table")]
        others = [
            known
            for known in prospect.get("crm_links", [])
            if [known[name] for name in ("system", "account", "table")] != place
        ]
        self._prospects.annotate({**prospect, "crm_links": [*others, link]})
        return answer({"data": [*others, link]})

    # ------------------------------------------------------------ pieces

    def _page(self, request: web.Request, page: Page, data: list[Any], limit: int) -> web.Response:
        paging = {"next_cursor": page.next_cursor, "limit": limit, "has_more": page.next_cursor is not None}
        return self._envelope(request, data, paging, {"high_watermark": page.high_watermark})

    def _known(self, prospect_id: str) -> Json:
        prospect = self._prospects.get(prospect_id)
        if prospect is None:
            raise Problem(404, "not_found", "There is no such prospect.")
        return prospect

    def _alive(self, prospect_id: str) -> Json:
        prospect = self._known(prospect_id)
        if "deleted_at" in prospect:
            raise Problem(410, "deleted", "The prospect was deleted.")
        return prospect

    def _refuse_taken_email(self, prospect: Json) -> None:
        email = prospect.get("email")
        if email and set(self._prospects.with_email(email)) - {prospect["id"]}:
            fault = Fault("/email", "email_taken", "Another prospect has this address.")
            raise Problem(409, "email_taken", "E-mail addresses are unique.", errors=[fault])

    @staticmethod
    def _rows(table: Table, ids: Iterable[str]) -> Iterable[Row]:
        rows = (table.get(row_id) for row_id in dict.fromkeys(ids))
        return (row for row in rows if row is not None)


def etag(prospect: Json) -> str:
    """Strong, and new with every revision."""
    return f'"{prospect["id"]}.{prospect["revision"]}"'


def _shown(row: Row, parts: frozenset[str]) -> object:
    # Written JSON goes out as it is when nothing has to be left out of it.
    if row.deleted or parts == PARTS:
        return orjson.Fragment(row.body)
    return visible(orjson.loads(row.body), parts)


def _managed(content: Json) -> list[Fault]:
    return [
        Fault(f"/{name}", "read_only", "Kept by the capture system itself.") for name in _MANAGED if name in content
    ]
