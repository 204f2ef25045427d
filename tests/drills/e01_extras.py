"""E01, extras: people of some companies by several workers, killed at each point and run again.

One account a company, one campaign response, one note and one list membership each, whatever died in between; and once
a person has removed some of them, they stay removed.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from functools import partial
from typing import Any
from uuid import uuid4

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import ROOT, World

SIGKILLED = -9
CAMPAIGN, LIST, OWNER = "FLOW25", "Booth visitors", "sales@drill.example"
# K4 is each request on the wire, K5 each answer: among them those of accounts, responses, memberships and notes.
KILLS = ("none", "K2:1", "K3:1", "K4:1", "K4:2", "K4:3", "K4:4", "K4:5", "K5:1", "K5:2", "K5:3", "K5:4", "K6:1", "K7:1")
ACTION = f"""
account: dynamics_default
mapping: drill
duplicates: {{check: leads, match_by: email, several: update_most_recently_updated}}
create: lead
triggers: {{bulk: true}}
extras:
  owner: {{source: owner.email, fallback: {OWNER}}}
  account: find_or_create
  campaign: {{code: {CAMPAIGN}, as: response}}
  marketing_list: {LIST}
  note: true
"""


def drill(world: World, seed: int, kill: str, count: int = 1_000, companies: int = 300, workers: int = 4) -> Verdict:
    """Kill the first run at `kill`, run twice more, judge. The seed shuffles who comes when, and spells names."""
    dice = random.Random(seed)
    known = _prepare(world, companies)
    people = _people(count, companies, dice)
    file = world.write_prospects(people)
    world.crm.control("PUT", "settings", {"latency": {"per_request_s": 0.02, "per_row_s": 0.0}})
    wrong = []
    if kill != "none":
        killed = world.sync(file, kill=kill, action="extras")
        wrong += [] if killed.returncode == SIGKILLED else [f"not killed at {kill}: exit code {killed.returncode}"]
    for again in (1, 2):
        run = world.sync(file, action="extras", workers=workers)
        if run.returncode != 0:
            wrong.append(f"run {again}: exit code {run.returncode}: {run.stderr[-400:]}")
    wrong += oracles.standard_pass(world, [person["email"] for person in people])
    wrong += _right_extras(world, people, companies, known)
    before = _writes(world)
    wrong += [] if wrong else _stays_removed(world, file)
    return Verdict(wrong, {"write requests": before})


def _prepare(world: World, companies: int) -> dict[str, str]:
    """Campaign, list, owner, and a tenth of the companies as accounts that somebody made. Name -> account id."""
    include = world.folder / "include"
    (include / "actions" / "extras.yaml").write_text(ACTION.lstrip())
    shipped, ours = ROOT / "include/mappings/default", include / "mappings/drill"
    shutil.copy(shipped / "account.csv", ours / "account.csv")
    shutil.copytree(shipped / "values", ours / "values", dirs_exist_ok=True)
    known = {f"Company {n} Ltd": str(uuid4()) for n in range(0, companies, 10)}
    rows = {
        "systemuser": [{"systemuserid": str(uuid4()), "internalemailaddress": OWNER, "fullname": "Sales"}],
        "campaign": [{"campaignid": str(uuid4()), "name": "Flow 2025", "codename": CAMPAIGN}],
        "list": [{"listid": str(uuid4()), "listname": LIST, "type": False, "createdfromcode": 4}],
        "account": [{"accountid": record_id, "name": name} for name, record_id in known.items()],
    }
    world.crm.control("POST", "seed", {"tables": rows})
    return known


def _people(count: int, companies: int, dice: random.Random) -> list[dict[str, Any]]:
    spellings = (str, str.upper, lambda name: f" {name} ")
    people = [
        person
        | {
            "company": {"name": dice.choice(spellings)(_company(n, companies))},
            "owner": {"email": OWNER if n % 2 else "nobody@drill.example"},
            "notes": [{"id": f"n{n}", "text": f"Note {n}", "created_at": "2026-03-14T09:00:00Z"}],
            "submissions": [
                {
                    "id": f"sub_{n:08d}",
                    "captured_at": "2026-03-14T09:00:00.000Z",
                    "method": "badge_scan",
                    "state": "complete",
                    "event": {"id": "evt_1", "name": "Flow"},
                    "answers": [{"element_id": "q1", "key": "timeline", "question": "When?", "value": f"In {n} days"}],
                }
            ],
        }
        for n, person in enumerate(prospects(count))
    ]
    dice.shuffle(people)
    return people


def _company(n: int, companies: int) -> str:
    return f"Company {n % companies} Ltd"


def _right_extras(world: World, people: list[dict[str, Any]], companies: int, known: dict[str, str]) -> list[str]:
    """By the rows of the CRM alone."""
    leads = {row["emailaddress1"]: row for row in world.rows("lead")}
    accounts = {row["accountid"]: row["name"].strip().casefold() for row in world.rows("account")}
    wrong = []
    if len(accounts) != companies or len(set(accounts.values())) != companies:
        wrong.append(f"{len(accounts)} accounts of {len(set(accounts.values()))} companies instead of {companies}")
    if not set(known.values()) <= accounts.keys():
        wrong.append("an account that was there is gone")
    expected = {person["email"]: person["company"]["name"].strip().casefold() for person in people}
    astray = [
        email for email, lead in leads.items() if accounts.get(lead.get("_parentaccountid_value")) != expected[email]
    ]
    owner = next(row for row in world.rows("systemuser") if row.get("internalemailaddress") == OWNER)["systemuserid"]
    strangers = [email for email, lead in leads.items() if lead["_ownerid_value"] != owner]
    wrong += [f"{len(astray)} leads without their account"] if astray else []
    wrong += [f"{len(strangers)} leads without their owner"] if strangers else []
    ids = Counter(lead["leadid"] for lead in leads.values())
    answers = Counter(f"When? In {int(p['id'][4:])} days" for p in people)
    campaign = world.rows("campaign")[0]["campaignid"]
    responses = world.rows("campaignresponse")
    checks = {
        "campaign responses by lead": (Counter(row["_partyid_value"] for row in world.rows("activityparty")), ids),
        "campaign responses by campaign": (
            Counter(row["_regardingobjectid_value"] for row in responses),
            Counter({campaign: len(people)}),
        ),
        "campaign responses by answer": (Counter(row["description"] for row in responses), answers),
        "list memberships": (Counter(row["_entityid_value"] for row in world.rows("listmember")), ids),
        "notes": (Counter(row["_objectid_value"] for row in world.rows("annotation")), ids),
    }
    for what, (found, right) in checks.items():
        if found != right:
            missing, more = sum((right - found).values()), sum((found - right).values())
            wrong.append(f"{what}: {missing} are missing, {more} too many")
    warned = world.sql("SELECT count(*) AS n FROM sync.outcome WHERE outcome <> 'skipped' AND warnings <> '{}'")[0]["n"]
    return wrong + ([f"{warned} outcomes carry a warning"] if warned > len(people) * 3 else [])


def _stays_removed(world: World, file: Any) -> list[str]:
    """A person removes one of each; another run, with nothing new, brings none of them back."""
    removed = {
        "campaignresponse": "activityid",
        "listmember": "listmemberid",
        "annotation": "annotationid",
    }
    before = {}
    for table, key in removed.items():
        rows = world.rows(table)
        world.crm.control("POST", "edit", {"table": table, "id": rows[0][key], "action": "delete"})
        before[table] = len(rows) - 1
    run = world.sync(file, action="extras")
    wrong = [] if run.returncode == 0 else [f"the last run: exit code {run.returncode}: {run.stderr[-400:]}"]
    return wrong + [f"a removed {t} came back" for t, count in before.items() if len(world.rows(t)) != count]


def _writes(world: World) -> int:
    return sum(1 for each in world.journal() if each["method"] in ("POST", "PATCH") and each["committed"])


DRILL = Drill("E01", "S1", {kill: partial(drill, kill=kill) for kill in KILLS}, seeds=3)
