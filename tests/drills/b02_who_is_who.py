"""B02, who is who: many spellings of one address are one person, look-alikes and plus tags are others.

The CRM's queries do not see rows of the last five minutes, so what keeps two workers, or two runs, from making one
person twice is the ledger alone.
"""

from __future__ import annotations

import random
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.world import World

LAG_S = 300
BLOCK_PEOPLE, BLOCK_ROWS = 20, 30
NAMESAKES = 10  # people without an e-mail address who share one name

Person = tuple[str, ...]  # how this person's address is written, one prospect each


def one_run(world: World, seed: int, blocks: int = 300, without: int = 1_000, workers: int = 4) -> Verdict:
    """Everything in one run of several workers, and all of it again."""
    rows = _drawn_up(world, seed, blocks, without)
    run = world.sync(world.write_prospects(rows), workers=workers)
    wrong = _ended_well([run]) + _judged(world, blocks, without)
    before = _creates(world)
    again = world.sync(world.write_prospects(_revised(rows), "again.jsonl"), workers=workers)
    wrong += _ended_well([again]) + _judged(world, blocks, without, times=2)
    if _creates(world) != before:
        wrong.append("the second run created records")
    return Verdict(wrong, {"rows": len(rows)})


def two_runs_at_once(world: World, seed: int, blocks: int = 300, without: int = 1_000, workers: int = 2) -> Verdict:
    """Two runs side by side, people with several spellings in both of them."""
    rows = _drawn_up(world, seed, blocks, without)
    files = [world.write_prospects(rows[side::2], f"side{side}.jsonl") for side in (0, 1)]
    words = [("run", "--action", "drill", "--file", str(file), "--workers", str(workers)) for file in files]
    started = [world.start(*each) for each in words]
    ended = []
    for process in started:
        out, errors = process.communicate(timeout=600)
        ended.append(subprocess.CompletedProcess(process.args, process.returncode, out, errors))
    return Verdict(_ended_well(ended) + _judged(world, blocks, without), {"rows": len(rows)})


# ---------------------------------------------------------------- the people


def people(block: int) -> Iterator[Person]:
    """`BLOCK_PEOPLE` people with an address, of `BLOCK_ROWS` prospects."""
    at = "drill.example"
    yield (f"five{block}@{at}",) * 5
    yield f"Case{block}@Drill.Example", f"cASE{block}@DRILL.EXAMPLE"
    yield f"  space{block}@{at}", f"space{block}@{at} \t"
    yield f"rené{block}@{at}", unicodedata.normalize("NFD", f"rené{block}@{at}")
    yield f"idn{block}@bücher.example", f"idn{block}@xn--bcher-kva.example", f"IDN{block}@BÜCHER.example"
    yield f"events{block}@{at}", f"events{block}@{at}"
    yield (f"plus{block}@{at}",)
    yield (f"plus{block}+fair@{at}",)
    yield (f"anna{block}@{at}",)
    yield (f"\u0430nna{block}@{at}",)  # a Cyrillic a
    yield (f"anna{block}@dr\u0456ll.example",)  # a Cyrillic i in the domain
    for number in range(BLOCK_PEOPLE - 11):
        yield (f"single{number}.{block}@{at}",)


def _drawn_up(world: World, seed: int, blocks: int, without: int) -> list[dict[str, Any]]:
    """The prospects in an order of the seed's; five copies of one person stay together."""
    world.crm.control("PUT", "settings", {"filter_lag_s": LAG_S})
    draw = random.Random(seed)
    heaps: list[list[dict[str, Any]]] = []
    for block in range(blocks):
        for number, person in enumerate(people(block)):
            names = {"first_name": f"First{number}", "last_name": f"Last{block}"}
            rows = [names | {"email": address} for address in person]
            heaps += [rows] if number == 0 else [[row] for row in rows]
    heaps += [[{"first_name": "No", "last_name": f"Address{n // NAMESAKES}", "email": None}] for n in range(without)]
    draw.shuffle(heaps)
    rows = [row for heap in heaps for row in heap]
    return [_prospect(number, row) for number, row in enumerate(rows)]


def _prospect(number: int, row: dict[str, Any]) -> dict[str, Any]:
    captured = {"id": f"sub_{number}", "state": "complete", "captured_at": "2026-03-14T09:00:00.000Z"}
    event = f"evt_{number % 2}"
    return {
        "id": f"pro_{number:08d}",
        "revision": 1,
        "status": "active",
        "updated_at": "2026-03-14T09:01:00.000Z",
        "submissions": [captured | {"event": {"id": event, "name": event}}],
        **row,
    }


def _revised(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"revision": 2, "updated_at": "2026-03-14T09:02:00.000Z", "job_title": "Engineer"} for row in rows]


# ---------------------------------------------------------------- the judge


def _judged(world: World, blocks: int, without: int, times: int = 1) -> list[str]:
    """Exactly the records of the expected table, and an outcome for each prospect each time it was synced."""
    spelt = {
        unicodedata.normalize("NFC", address).strip().lower(): (block, number)
        for block in range(blocks)
        for number, person in enumerate(people(block))
        for address in person
    }
    records = world.rows("lead")
    found = Counter(spelt.get((row.get("emailaddress1") or "").lower()) for row in records if row.get("emailaddress1"))
    wrong = [f"{found[None]} records of an address that nobody has"] if found[None] else []
    wrong += [f"{found[one]} records instead of 1 for person {one}" for one in set(spelt.values()) if found[one] != 1]
    nameless = Counter(row["lastname"] for row in records if not row.get("emailaddress1"))
    expected = Counter(f"Address{n // NAMESAKES}" for n in range(without))
    if nameless != expected:
        wrong.append(f"{nameless.total()} records instead of {without} for those without an address")
    told = world.sql("SELECT count(*) AS n FROM sync.audit_outcome")[0]["n"]
    rows = blocks * BLOCK_ROWS + without
    if told != rows * times:
        wrong.append(f"{told} outcomes for {times} times {rows} prospects")
    if world.crm.control("GET", "settings")["filter_lag_s"] != LAG_S:
        wrong.append("queries did not lag: nothing was drilled")
    checks = oracles.one_outcome, oracles.true_outcome, oracles.one_create_event, oracles.settled
    return wrong + [text for check in checks for text in check(world)]


def _ended_well(runs: Sequence[subprocess.CompletedProcess[str]]) -> list[str]:
    return [f"exit code {run.returncode}: {run.stderr[-300:]}" for run in runs if run.returncode]


def _creates(world: World) -> int:
    return sum(counts["create"] for counts in world.events("lead").values())


DRILL = Drill("B02", "S1", {"one run": one_run, "two runs at once": two_runs_at_once}, seeds=10)
