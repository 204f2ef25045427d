"""The oracles of the drills: each returns what is wrong, in words; nothing when it holds.

O1 one record · O2 one outcome · O3 true outcome · O5 side effects · O6 settled. O4 (right data) is each drill's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from tests.drills.world import World

WORDS = ("created", "updated", "unchanged", "skipped", "rejected", "deferred")


def one_record(world: World, emails: Collection[str]) -> list[str]:
    """O1: exactly one active record for each expected e-mail, and no other record of ours."""
    found = Counter(str(row.get("emailaddress1", "")).lower() for row in world.rows("lead") if row["statecode"] == 0)
    wrong = [f"{found[email]} records instead of 1 for one person" for email in emails if found[email] != 1]
    return wrong + ([f"{len(found)} people instead of {len(emails)}"] if len(found) != len(emails) else [])


def one_outcome(world: World) -> list[str]:
    """O2: every finished run balances, by the outcomes themselves and not by the counts that the run gives."""
    wrong = []
    runs = world.sql("SELECT * FROM sync.audit_run")
    for run in runs:
        if run["state"] == "running":
            continue
        outcomes = world.sql("SELECT prospect_id, outcome FROM sync.audit_outcome WHERE run_id = :id", id=run["run_id"])
        counted = Counter(row["outcome"] for row in outcomes)
        if len(outcomes) != len({row["prospect_id"] for row in outcomes}):
            wrong.append("a prospect has two outcomes in one run")
        if any(counted[word] != run[word] for word in WORDS):
            wrong.append("a run's counts are not its outcomes")
        if run["state"] == "succeeded" and run["selected"] != len(outcomes):
            wrong.append(f"a green run selected {run['selected']} and settled {len(outcomes)}")
    return wrong


def true_outcome(world: World) -> list[str]:
    """O3: `created` and `updated` stand for exactly one committed effect each."""
    events = world.events("lead")
    wrong = []
    claimed = world.sql(
        "SELECT record_id::text AS record_id, outcome, count(*) AS times FROM sync.audit_outcome o"
        " JOIN sync.audit_run r USING (run_id) WHERE NOT r.dry_run AND outcome IN ('created', 'updated') GROUP BY 1, 2"
    )
    told = {(row["record_id"], row["outcome"]): row["times"] for row in claimed}
    for record_id, counts in events.items():
        for event, outcome in (("create", "created"), ("update", "updated")):
            if counts[event] != told.pop((record_id, outcome), 0):
                wrong.append(f"record {record_id}: {counts[event]} times {event}, told otherwise")
    return wrong + [f"record {record_id} was told {outcome} without such an event" for record_id, outcome in told]


def one_create_event(world: World) -> list[str]:
    """O5: at most one create event per record."""
    return [f"record {i}: {c['create']} create events" for i, c in world.events("lead").items() if c["create"] > 1]


def settled(world: World) -> list[str]:
    """O6: no attempt is open, no lease is held, no transaction is open."""
    checks = {
        "attempts are open": "SELECT count(*) AS n FROM sync.attempt WHERE result IS NULL",
        "leases are held": "SELECT count(*) AS n FROM sync.work_item WHERE lease_until > now()",
        "transactions are open": "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    }
    return [f"{n} {what}" for what, query in checks.items() if (n := world.sql(query)[0]["n"])]


def standard_pass(world: World, emails: Collection[str]) -> list[str]:
    """O1 + O2 + O3 + O5 + O6."""
    return [
        *one_record(world, emails),
        *one_outcome(world),
        *true_outcome(world),
        *one_create_event(world),
        *settled(world),
    ]
