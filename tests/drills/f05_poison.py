"""F05, poison in the chunk: rows that only the CRM knows to refuse. The good ones land, each bad one has its code."""

from __future__ import annotations

from tests.drills import oracles
from tests.drills.people import prospects
from tests.drills.world import World

MAX_WRITES = 200


def drill(world: World, count: int = 1_000) -> list[str]:
    """Refusals that only the CRM knows of: a plug-in rule, a required column, a shortened one, a narrowed choice."""
    world.crm.control(
        "POST",
        "schema",
        {
            "action": "install_plugin",
            "table": "lead",
            "event": "create",
            "match": {"jobtitle": "Plugin"},
            "message": "No plugins wanted",
        },
    )
    people = prospects(count)
    bad = [count // 8 * n + 3 for n in range(7)]
    for n in bad:
        people[n]["job_title"] = "Plugin"
    run = world.sync(world.write_prospects(people))
    wrong = [] if run.returncode == 0 else [f"exit code {run.returncode}: {run.stderr[-300:]}"]
    refused = world.sql("SELECT prospect_id, outcome, error_code FROM sync.audit_outcome WHERE outcome <> 'created'")
    if {row["prospect_id"] for row in refused} != {people[n]["id"] for n in bad}:
        wrong.append(f"{len(refused)} prospects were not created, instead of the 7 bad ones")
    wrong += [f"a refused row has no code: {row['outcome']}" for row in refused if not row["error_code"]]
    writes = [
        e for e in world.journal() if e["parent"] is None and e["operation"] in ("CreateMultiple", "Update", "Batch")
    ]
    if len(writes) > MAX_WRITES:
        wrong.append(f"{len(writes)} requests instead of at most {MAX_WRITES}")
    good = [p["email"] for n, p in enumerate(people) if n not in bad]
    return wrong + oracles.standard_pass(world, good)
