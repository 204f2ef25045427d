"""D02, restore: the audit database goes back to yesterday's dump while the CRM keeps what was synced since.

`pg_dump` and `pg_restore` as the deployment guide has them. Since the dump some people were changed, some were synced
for the first time, and of those a colleague gave some another e-mail address in the CRM. Then everything is synced
again.
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.old_ledger import driver_url
from tests.drills.people import prospects
from tests.drills.world import ACTION, World

COUNT = 1_000


def matching(world: World, seed: int, count: int = COUNT) -> Verdict:
    """Existing records are looked for by e-mail."""
    return drill(world, seed, count, check="leads")


def not_matching(world: World, seed: int, count: int = COUNT) -> Verdict:
    """Nothing is looked for: the record ids alone keep from making anybody twice."""
    return drill(world, seed, count, check="none")


def drill(world: World, seed: int, count: int, *, check: str) -> Verdict:
    (world.folder / "include/actions/drill.yaml").write_text(ACTION.lstrip().replace("check: leads", f"check: {check}"))
    draw = random.Random(seed)
    everybody = prospects(count)
    early, late = everybody[: count // 2], everybody[count // 2 :]
    changed = {p["id"] for p in draw.sample(early, count // 10)}
    today = [p | _promotion() if p["id"] in changed else p for p in everybody]
    wrong = _sync(world, early, "before the dump")
    dump = world.folder / "dynamics_audit.dump"
    _run(world, "pg_dump", "--format=custom", f"--file={dump}", driver_url(world))
    wrong += _sync(world, today, "after the dump")
    readdressed = _readdress(world, draw.sample([p["email"] for p in late], count // 10))
    records, events = _records(world), world.events("lead")
    _restore(world, dump)
    wrong += _migrated(world)
    wrong += _sync(world, today, "after the restore")
    told = Counter(
        (row["outcome"], row["reason"])
        for row in world.sql(
            "SELECT outcome, reason FROM sync.audit_outcome"
            " WHERE run_id = (SELECT run_id FROM sync.audit_run ORDER BY started_at DESC LIMIT 1)"
        )
    )
    if set(_records(world)) != set(records):
        wrong.append(f"{len(_records(world))} records after the restore instead of {len(records)}")
    touched = [i for i, e in world.events("lead").items() if e != events[i]]
    if touched:
        wrong.append(f"{len(touched)} records were written again")
    wrong += _kept(world, readdressed) + oracles.settled(world) + oracles.one_outcome(world)
    return Verdict(wrong, {f"{word} {reason or ''}".strip(): n for (word, reason), n in told.items()})


def _promotion() -> dict[str, Any]:
    return {"revision": 2, "updated_at": "2026-03-14T09:02:00.000Z", "job_title": "Director"}


def _sync(world: World, people: Sequence[dict[str, Any]], when: str) -> list[str]:
    run = world.sync(world.write_prospects(people))
    return [] if run.returncode == 0 else [f"the run {when}: exit code {run.returncode}: {run.stderr[-300:]}"]


def _readdress(world: World, emails: list[str]) -> dict[str, str]:
    """A colleague's doing. Record id -> the address it has now."""
    found = {row["leadid"]: f"x{row['emailaddress1']}" for row in world.rows("lead") if row["emailaddress1"] in emails}
    for record_id, email in found.items():
        edit = {"action": "change", "table": "lead", "id": record_id, "values": {"emailaddress1": email}}
        world.crm.control("POST", "edit", edit)
    return found


def _records(world: World) -> dict[str, dict[str, Any]]:
    return {row["leadid"]: row for row in world.rows("lead")}


def _kept(world: World, readdressed: dict[str, str]) -> list[str]:
    """What a colleague entered is still there."""
    records = _records(world)
    lost = [i for i, email in readdressed.items() if records[i]["emailaddress1"] != email]
    return [f"{len(lost)} addresses that a colleague had entered are gone"] if lost else []


def _restore(world: World, dump: Any) -> None:
    """Into the same database, which is emptied first: nothing that came after the dump is left."""
    world.engine.dispose()
    _run(world, "pg_restore", "--clean", "--if-exists", "--exit-on-error", f"--dbname={driver_url(world)}", str(dump))


def _migrated(world: World) -> list[str]:
    done = world.command("db", "upgrade")
    return [] if done.returncode == 0 else [f"db upgrade after the restore: {done.stderr[-300:]}"]


def _run(world: World, program: str, *words: str) -> None:
    subprocess.run([str(world.server.programs / program), *words], check=True)


DRILL = Drill("D02", "S1", {"matching": matching, "not matching": not_matching}, seeds=3)
