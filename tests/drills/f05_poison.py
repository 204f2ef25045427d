"""F05, poison in the chunk: rows that only the CRM knows to refuse. The good ones land, each bad one has its code."""

from __future__ import annotations

from uuid import UUID

from dynamics.core.identity import mint_record_id
from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import World

MAX_WRITES = 200
RULES = {"jobtitle": "Refused by title", "lastname": "Refused by name", "companyname": "Refused by company"}


def drill(world: World, seed: int, count: int = 1_000) -> Verdict:
    """Seven bad prospects for four reasons: three plug-in rules, and ids that somebody else has taken."""
    for column, value in RULES.items():
        rule = {"table": "lead", "event": "create", "column": column, "value": value, "message": f"Not this {column}"}
        world.crm.control("POST", "schema", {"action": "install_plugin", **rule})
    people = prospects(count)
    bad = [count // 8 * n + seed for n in range(7)]
    for n, change in zip(
        bad, [*({"job_title": RULES["jobtitle"]},) * 2, {"last_name": RULES["lastname"]}], strict=False
    ):
        people[n] |= change
    for n in bad[3:5]:
        people[n]["company"] = {"name": RULES["companyname"]}
    planted = [f"planted{n}@drill.example" for n in bad[5:]]
    _plant(world, [people[n]["id"] for n in bad[5:]], planted)
    run = world.sync(world.write_prospects(people))
    wrong = [] if run.returncode == 1 else [f"exit code {run.returncode} instead of 1: {run.stderr[-300:]}"]
    refused = world.sql("SELECT prospect_id, outcome, error_code FROM sync.audit_outcome WHERE outcome <> 'created'")
    if {row["prospect_id"] for row in refused} != {people[n]["id"] for n in bad}:
        wrong.append(f"{len(refused)} prospects were not created, instead of the 7 bad ones")
    wrong += [f"a refused row is {row['outcome']}" for row in refused if row["outcome"] != "rejected"]
    wrong += [f"prospect {row['prospect_id']} is refused without a code" for row in refused if not row["error_code"]]
    writes = [entry for entry in world.journal() if entry["parent"] is None and "/leads" in entry["path"]]
    if len(writes) > MAX_WRITES:
        wrong.append(f"{len(writes)} requests instead of at most {MAX_WRITES}")
    good = [p["email"] for n, p in enumerate(people) if n not in bad]
    wrong += oracles.standard_pass(world, [*good, *planted])
    return Verdict(wrong, {"write requests": len(writes)})


def _plant(world: World, prospect_ids: list[str], emails: list[str]) -> None:
    """Records of somebody else under the ids that these prospects would get."""
    organization_id = UUID(world.crm.ready["organizations"][0]["organization_id"])
    rows = [
        {
            "leadid": str(mint_record_id(organization_id, "lead", "file", prospect_id)),
            "lastname": "Other",
            "emailaddress1": email,
        }
        for prospect_id, email in zip(prospect_ids, emails, strict=True)
    ]
    world.crm.control("POST", "seed", {"tables": {"lead": rows}})


DRILL = Drill("F05", "S1", {"7 bad of 1,000": drill})
