"""Runs, prospects, intents and settlements for the tests, with everything filled in that a test does not care about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa

from dynamics.core.capture import DiscoveredProspect, SourcedProspect
from dynamics.core.ledger import Claim, Intent, Link, LinkState, Outcome, Run, Settlement
from dynamics.sync.ports import Ledger

ORGANIZATION = UUID("b7a1c2d3-0000-4000-8000-000000000001")
SEEN_AT = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


def new_run(**changes: Any) -> Run:
    run = Run(
        run_id=uuid4(),
        action="booth-leads",
        account="dynamics_default",
        trigger="bulk",
        dry_run=False,
        settings={"action": {"create": "lead"}, "request": {"source": "captello"}},
        mapping_hash="m1",
        organization_id=ORGANIZATION,
    )
    return replace(run, **changes)


def prospect(
    name: str,
    *,
    revision: int = 1,
    updated_at: datetime = SEEN_AT,
    payload: dict[str, Any] | None = None,
    email: str | None = None,
    by_name: str | None = None,
) -> DiscoveredProspect:
    """`email` and `by_name` are its match keys."""
    sourced = SourcedProspect(name, revision, updated_at, {"id": name} if payload is None else payload)
    return DiscoveredProspect(sourced, email, by_name)


def discovered(ledger: Ledger, run: Run, names: Iterable[str]) -> None:
    ledger.store_prospects(run.run_id, "captello", [prospect(name) for name in names])


def claimed(ledger: Ledger, run: Run, *, worker: str = "w1", size: int = 100, lease_s: float = 60.0) -> Claim:
    return ledger.claim(run.run_id, worker, size, lease_s)


def keys_of(claim: Claim) -> list[int]:
    return [int(key) for key in claim.items["prospect_key"]]


def names_of(claim: Claim) -> list[str]:
    return [str(name) for name in claim.items["prospect_id"]]


def fence_of(claim: Claim, key: int) -> int:
    return {int(k): int(f) for k, f in zip(claim.items["prospect_key"], claim.items["fence"], strict=True)}[key]


def record_of(key: int) -> UUID:
    """The record id that prospect `key` creates."""
    return uuid5(ORGANIZATION, str(key))


def intent(claim: Claim, key: int, **changes: Any) -> Intent:
    made = Intent(
        prospect_key=key,
        fence=fence_of(claim, key),
        operation="create",
        table="lead",
        record_id=record_of(key),
        etag=None,
        content_hash="c1",
        column_hashes={"lastname": "h1"},
        changed_columns=("lastname",),
        matched_by=None,
        duplicates_found=0,
        revision=1,
        generation=0,
    )
    return replace(made, **changes)


def link(key: int, **changes: Any) -> Link:
    return replace(Link(key, "lead", record_of(key), LinkState.LIVE, 0, "c1", {"lastname": "h1"}), **changes)


def created(claim: Claim, key: int, **changes: Any) -> Settlement:
    """The settlement of a record created for `key`, with its link."""
    made = Settlement(
        prospect_key=key,
        fence=fence_of(claim, key),
        revision=1,
        outcome=Outcome.CREATED,
        table="lead",
        record_id=record_of(key),
        changed_columns=("lastname",),
        request_id="r1",
        link=link(key),
    )
    return replace(made, **changes)


def lapse(engine: sa.Engine) -> None:
    """Let every lease run out, as if its time were over."""
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE sync.work_item SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL")
        )


def rows(engine: sa.Engine, query: str, **given: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query), given).mappings()]


def one(engine: sa.Engine, query: str, **given: Any) -> dict[str, Any]:
    (row,) = rows(engine, query, **given)
    return row
