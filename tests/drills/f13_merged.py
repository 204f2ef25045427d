"""F13, merged record behind the ledger id: a tenth of our records were merged into others since the last sync.

Nothing is written to a loser. Its prospect follows to the winner, once, and brings there only what it newly says. A
chain is followed to its end, a loop is held, and a winner that is closed or gone is left alone.
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World

TITLE = "Director"
WINNER_GETS = {"jobtitle"}  # all else in a winner is as the person who merged wanted it
NOT_OURS = {"versionnumber", "modifiedon", "_modifiedby_value"}
FOLLOWED = {("updated", "followed_merge"), ("unchanged", "followed_merge")}
JOINED = {("unchanged", "joined")}  # the winner's own prospect is in the same chunk and stands for both
# Of 100 losers: how many went which way.
SHARES = {"loop": 1, "chain": 10, "closed": 5, "gone": 5, "colleague's": 39, "ours": 40}


@dataclass
class Merges:
    """What was done to our records. Keys are prospects by number, values record ids."""

    ways: dict[str, list[int]] = field(default_factory=dict)
    losers: set[str] = field(default_factory=set)
    winners: dict[int, str] = field(default_factory=dict)  # where the chain of a followable one ends
    closed: dict[int, str] = field(default_factory=dict)  # winners that a person has closed since


def drill(world: World, seed: int, count: int = 1_000) -> Verdict:
    """Sync, merge, sync a new title for everybody, and once more."""
    people = prospects(count)
    first = world.sync(world.write_prospects(people, "first.jsonl"))
    wrong = [] if first.returncode == 0 else [f"first run: exit code {first.returncode}: {first.stderr[-300:]}"]
    ids = {int(row["prospect_id"].removeprefix("pro_")): row["record_id"] for row in _links(world).values()}
    merges = _merge(world, seed, ids)
    before = {row["leadid"]: row for row in world.rows("lead")}
    file = world.write_prospects([person | {"revision": 2, "job_title": TITLE} for person in people])
    after_seq = world.journal()[-1]["seq"]
    run = world.sync(file)
    if run.returncode != 0:
        wrong.append(f"exit code {run.returncode}: {run.stderr[-300:]}")
    wrong += _untouched_losers(world, merges, after_seq)
    wrong += _right_outcomes(world, merges)
    wrong += _right_data(world, before, ids, merges)
    links = _links(world)
    moved = {n: links[n]["record_id"] for n in ids if links[n]["record_id"] != ids[n]}
    if missing := merges.winners.items() - moved.items():
        wrong.append(f"{len(missing)} links do not lead to the winner")
    if astray := moved.items() - merges.winners.items() - merges.closed.items():
        wrong.append(f"{len(astray)} links were moved that have no winner to lead to")
    wrong += _nothing_more(world, file, links)
    active = [row["emailaddress1"] for row in world.rows("lead") if row["statecode"] == 0]
    wrong += oracles.standard_pass(world, active)
    return Verdict(wrong, {"links moved": len(moved), "losers": len(merges.losers)})


def _merge(world: World, seed: int, ids: Mapping[int, str]) -> Merges:
    """Have a colleague merge a tenth of our records, some into each other and some into the colleague's own."""
    losers = len(ids) // 10
    order = random.Random(seed).sample(sorted(ids), len(ids))
    merges = Merges()
    for way, share in SHARES.items():
        taken = max(1, losers * share // 100)
        merges.ways[way], order = order[:taken], order[taken:]
    others = iter(_colleagues_records(world, 2 * losers))
    for way, numbers in merges.ways.items():
        for n in numbers:
            target = ids[order.pop()] if way == "ours" else next(others)
            chain = [ids[n], target, next(others)] if way == "chain" else [ids[n], target]
            for loser, winner in itertools.pairwise(chain):
                _edit(world, "merge", loser, master=winner)
                merges.losers.add(loser)
            match way:
                case "loop":
                    _edit(world, "merge", target, master=ids[n])
                    merges.losers.add(target)
                case "closed":
                    _edit(world, "deactivate", target)
                    merges.closed[n] = target
                case "gone":
                    _edit(world, "delete", target)
                case _:
                    merges.winners[n] = chain[-1]
    return merges


def _colleagues_records(world: World, count: int) -> list[str]:
    rows = [
        {
            "leadid": str(uuid.UUID(int=(0xD << 124) + n)),
            "firstname": f"Other{n}",
            "lastname": f"Winner{n}",
            "emailaddress1": f"winner{n}@drill.example",
            "jobtitle": "Owner",
            "fax": f"+49 30 556 {n}",
        }
        for n in range(count)
    ]
    world.crm.control("POST", "seed", {"tables": {"lead": rows}})
    return [str(row["leadid"]) for row in rows]


def _edit(world: World, action: str, record_id: str, **more: Any) -> None:
    world.crm.control("POST", "edit", {"action": action, "table": "lead", "id": record_id, **more})


def _links(world: World) -> dict[int, dict[str, Any]]:
    """The links by prospect; one each, for a prospect has one record."""
    rows = world.sql(
        "SELECT prospect_id, record_id::text AS record_id, state, content_hash, linked_at FROM sync.audit_link"
    )
    return {int(row["prospect_id"].removeprefix("pro_")): dict(row) for row in rows}


def _untouched_losers(world: World, merges: Merges, after_seq: int) -> list[str]:
    """No write was even tried on a loser."""
    tried = [
        entry
        for entry in world.journal()
        if entry["seq"] > after_seq and entry["method"] in ("PATCH", "DELETE", "PUT") and entry["table"] == "lead"
    ]
    hits = sum(any(loser in entry["path"].lower() for loser in merges.losers) for entry in tried)
    return [f"{hits} writes to a record that was merged into another"] if hits else []


def _right_outcomes(world: World, merges: Merges) -> list[str]:
    """The second run's outcome of each prospect whose record was merged; told once, with a reason."""
    told = {
        int(row["prospect_id"].removeprefix("pro_")): (row["outcome"], row["reason"])
        for row in world.sql("SELECT prospect_id, outcome, reason FROM sync.audit_outcome WHERE revision = 2")
    }
    wrong = []
    for way, numbers in merges.ways.items():
        for n in numbers:
            match way:
                case "loop":
                    right = told[n] == ("deferred", "merge_loop")
                case "closed" | "gone":
                    right = told[n][0] == "skipped" and bool(told[n][1])
                case "ours":
                    right = told[n] in FOLLOWED | JOINED
                case _:
                    right = told[n] in FOLLOWED
            if not right:
                wrong.append(f"{way}: prospect {n} ends as {told[n]}")
    return wrong


def _right_data(
    world: World, before: Mapping[str, Mapping[str, Any]], ids: Mapping[int, str], merges: Merges
) -> list[str]:
    """O4: no record came or went; where a prospect could write, its new title and nothing else is other than before."""
    rows = {row["leadid"]: row for row in world.rows("lead")}
    wrong = [] if rows.keys() == before.keys() else [f"{len(rows)} records instead of {len(before)}"]
    merged = [n for numbers in merges.ways.values() for n in numbers]
    written = {ids[n] for n in ids if n not in merged} | set(merges.winners.values())
    for record_id in rows.keys() & before.keys():
        row, was = rows[record_id], before[record_id]
        differ = {c for c in row.keys() | was.keys() if row.get(c) != was.get(c)}
        if record_id not in written:
            wrong += [f"record {record_id}: {column} was touched" for column in sorted(differ)]
            continue
        if row.get("jobtitle") != TITLE:
            wrong.append(f"record {record_id} did not get the new title")
        wrong += [f"record {record_id}: {c} was touched" for c in sorted(differ - WINNER_GETS - NOT_OURS)]
    return wrong


def _nothing_more(world: World, file: Any, links: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """The same file once more writes nothing and moves no link."""
    events = world.events("lead")
    run = world.sync(file)
    wrong = [] if run.returncode == 0 else [f"last run: exit code {run.returncode}: {run.stderr[-300:]}"]
    if world.events("lead") != events:
        wrong.append("the run after it wrote again")
    if _links(world) != links:
        wrong.append("the run after it changed links")
    return wrong


DRILL = Drill("F13", "S1", {"100 merged": drill})
