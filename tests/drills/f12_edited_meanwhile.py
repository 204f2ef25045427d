"""F12, a person edits meanwhile: some records since the last sync, some between our read and our write.

The prospects say one new thing, their title. Everything else in a record that a person touched is that person's. The
sandbox plays the person who is quicker: the edit happens as our write arrives, so that it meets another version.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World

MAX_TRIES = 3
TITLE = "Director"
# What a person puts there, and what must stand there after the sync. Cleared counts as put; `{n}` tells edits apart.
RULES: tuple[tuple[str, Any, Any], ...] = (
    ("mobilephone", "+49 30 555 {n}", "+49 30 555 {n}"),  # ours, and nothing new from the prospect
    ("companyname", None, None),  # ours, cleared
    ("fax", "+49 30 556 {n}", "+49 30 556 {n}"),  # never ours
    ("statuscode", 2, 2),  # contacted
    ("jobtitle", "Owner {n}", TITLE),  # ours, and the prospect says something new
)
OWN_ACCOUNT = ("modifiedon", "_modifiedby_value", "versionnumber")  # the CRM's own account of the last write


@dataclass(frozen=True)
class Victims:
    """Prospects by number: what a person does to their records."""

    before: Sequence[int]  # changed since the last sync
    once: Sequence[int]  # changed between our read and our write
    twice: Sequence[int]  # and once more between the next read and write
    always: Sequence[int]  # each time

    @classmethod
    def drawn(cls, seed: int, count: int) -> Victims:
        """The catalogue's numbers, for 1,000: 300 before, 200 meanwhile, 50 of these twice; and 10 without end."""
        order = random.Random(seed).sample(range(count), count)
        ends = [round(count * share) for share in (0.30, 0.45, 0.50, 0.51)]
        starts = [0, *ends]
        return cls(*(order[start:end] for start, end in zip(starts, ends, strict=False)))


def drill(world: World, seed: int, count: int = 1_000) -> Verdict:
    """Sync, let people edit, sync a new title, and once more when they have come to rest."""
    people = [_with_more(person) for person in prospects(count)]
    first = world.sync(world.write_prospects(people, "first.jsonl"))
    wrong = [] if first.returncode == 0 else [f"first run: exit code {first.returncode}: {first.stderr[-300:]}"]
    ids = _record_ids(world)
    victims, owner = Victims.drawn(seed, count), _colleague(world)
    for n in victims.before:
        edit = {"action": "change", "table": "lead", "id": ids[n], "values": _edit(0, owner)}
        world.crm.control("POST", "edit", edit)
    before = {row["leadid"]: row for row in world.rows("lead")}
    ours = before[ids[victims.once[0]]]
    wrong += [f"the first sync did not fill {c}" for c in ("mobilephone", "companyname", "jobtitle") if not ours.get(c)]
    rules = [
        *(_meanwhile(ids[n], 1, owner, times=1) for n in (*victims.once, *victims.twice)),
        *(_meanwhile(ids[n], 2, owner, times=1) for n in victims.twice),
        *(_meanwhile(ids[n], 3, owner) for n in victims.always),
    ]
    world.crm.control("PUT", "faults", rules)
    file = world.write_prospects([person | {"revision": 2, "job_title": TITLE} for person in people])
    run = world.sync(file)
    if run.returncode != 0:
        wrong.append(f"exit code {run.returncode}: {run.stderr[-300:]}")
    fired = [rule["fired"] for rule in world.crm.control("GET", "faults")]
    wrong += [f"{fired.count(0)} edits did not come between read and write"] if 0 in fired else []
    tries = _tries(world, ids)
    wrong += [f"prospect {n} was written {tries[n]} times" for n in tries if tries[n] > MAX_TRIES]
    wrong += _held_back(world, victims.always)
    wrong += _right_data(world, ids, before, victims, owner, settled=False)
    world.crm.control("PUT", "faults", [])
    last = world.sync(file)
    if last.returncode != 0:
        wrong.append(f"last run: exit code {last.returncode}: {last.stderr[-300:]}")
    wrong += _right_data(world, ids, before, victims, owner, settled=True)
    wrong += oracles.standard_pass(world, [person["email"] for person in people])
    return Verdict(wrong, {"edits between read and write": sum(fired), "tries": max(tries.values(), default=0)})


def _with_more(person: dict[str, Any]) -> dict[str, Any]:
    phone = {"kind": "mobile", "e164": "+4930901820"}
    return person | {"phones": [phone], "company": {"name": "Adventure Works"}}


def _edit(n: int, owner: str) -> dict[str, Any]:
    """What a person changes at the `n`th time, as an edit of the sandbox takes it."""
    values = {column: put.format(n=n) if isinstance(put, str) else put for column, put, _ in RULES}
    return values | {"ownerid@odata.bind": f"/systemusers({owner})"}


def _meanwhile(record_id: str, n: int, owner: str, times: int | None = None) -> dict[str, Any]:
    """A person who is quicker than a part of a batch that writes to this record."""
    match = {"inner": True, "method": "PATCH", "path": record_id}
    return {"match": match, "effect": "edit", "edit": {"values": _edit(n, owner)}, "times": times}


def _record_ids(world: World) -> dict[int, str]:
    links = world.sql("SELECT prospect_id, record_id::text AS record_id FROM sync.audit_link")
    return {int(row["prospect_id"].removeprefix("pro_")): row["record_id"] for row in links}


def _colleague(world: World) -> str:
    """A user who owns none of our records yet."""
    owners = {row["_ownerid_value"] for row in world.rows("lead")}
    return next(row["systemuserid"] for row in world.rows("systemuser") if row["systemuserid"] not in owners)


def _tries(world: World, ids: Mapping[int, str]) -> dict[int, int]:
    """How often each record was written to since the first sync, with success or not."""
    patched = [entry["path"] for entry in world.journal() if entry["method"] == "PATCH"]
    numbers = {record_id: n for n, record_id in ids.items()}
    tries = dict.fromkeys(ids, 0)
    for path in patched:
        tries[numbers[path.partition("(")[2].partition(")")[0].lower()]] += 1
    return tries


def _held_back(world: World, always: Sequence[int]) -> list[str]:
    """Those that a person keeps changing are deferred, and nobody else is."""
    deferred = world.sql("SELECT prospect_id, reason FROM sync.audit_outcome WHERE outcome = 'deferred'")
    expected = {(f"pro_{n:08d}", "record_keeps_changing") for n in always}
    found = {(row["prospect_id"], row["reason"]) for row in deferred}
    return [f"{len(found ^ expected)} prospects are deferred otherwise than expected"] if found != expected else []


def _right_data(
    world: World,
    ids: Mapping[int, str],
    before: Mapping[str, Mapping[str, Any]],
    victims: Victims,
    owner: str,
    *,
    settled: bool,
) -> list[str]:
    """O4: the rule table where a person edited, the new title elsewhere, and every other column as it was before.

    Args:
        settled: people have come to rest, and a run has followed: those that were deferred are like the others.
    """
    rows = {row["leadid"]: row for row in world.rows("lead")}
    edits = {
        **dict.fromkeys(victims.before, 0),
        **dict.fromkeys(victims.once, 1),
        **dict.fromkeys(victims.twice, 2),
        **dict.fromkeys(victims.always, 3),
    }
    wrong = []
    for n, record_id in ids.items():
        row = rows[record_id]
        expected = {c: v for c, v in before[record_id].items() if c not in OWN_ACCOUNT} | {"jobtitle": TITLE}
        if n in edits:
            held = n in victims.always and not settled
            for column, put, stands in RULES:
                value = put if held else stands
                expected[column] = value.format(n=edits[n]) if isinstance(value, str) else value
            expected = {c: v for c, v in expected.items() if not c.startswith("_own")}
            expected["_ownerid_value"] = owner
        differ = sorted(c for c in expected if row.get(c) != expected[c])
        wrong += [f"record {record_id}: {column} is not what it must be" for column in differ]
        new = sorted(row.keys() - before[record_id].keys() - {column for column, _, _ in RULES})
        wrong += [f"record {record_id}: {column} was filled" for column in new if row[column] is not None]
    return wrong


DRILL = Drill("F12", "S1", {"500 edits": drill})
