"""B05, quotes, URLs, ids: what means something to a query, an address or a parser is plain text to a look-up.

Every name and address stands beside near relatives: what it would be after a wrong decoding, quoting or trimming. Half
of all are in the CRM already. A look-up that finds a relative shows: it writes somebody else's prospect id there.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.world import ACTION, CONTACT, LEAD, World

# One line: what stands in the middle of a name or address, of one person each.
RELATIVES = (
    ("'", "''", "%27", "&#39;", "\u2019", '"', "`"),
    ("&", "&amp;", "%26", "&&"),
    ("#", "%23", "##"),
    ("%", "%25", "%%", "%2525"),
    ("+", "%2B", "%2b+", "%252B", "++"),
    ("/", "%2F", "//", "%5C"),
    ("\\", "\\\\", "\\n", "\\u0041"),
    ("_", "__", "*", "?"),
    ("$filter=", "$", "$$"),
    ("(", ")", "()", ";", ",", "{0}", "[a-z]", "<b>", "null", "' or '1' eq '1"),
)
BYSTANDER = "bystander"
SPELLINGS: tuple[Callable[[uuid.UUID], str], ...] = (
    lambda guid: str(guid),
    lambda guid: str(guid).upper(),
    lambda guid: f"{{{guid}}}",
    lambda guid: f"{{{str(guid).upper()}}}",
    lambda guid: guid.hex,
    lambda guid: guid.hex.upper(),
)


@dataclass(frozen=True)
class Person:
    """One expected record. `prospect_id` None: stands in the CRM only, nobody may touch it."""

    prospect_id: str | None
    email: str | None
    last_name: str
    guid: uuid.UUID
    written_as: str
    planted: bool


def drill(world: World, seed: int, id_headers: str = "plain", rounds: int = 5) -> Verdict:
    """First sync against planted relatives, then a second that updates all, with the headers as asked."""
    world.crm.control("PUT", "settings", {"id_headers": id_headers})
    _map_ids(world)
    people = _people(random.Random(seed), rounds)
    rows = [
        {"lastname": p.last_name, "firstname": "Ana", "emailaddress1": p.email, "jobtitle": BYSTANDER}
        for p in people
        if p.planted
    ]
    world.crm.control("POST", "seed", {"tables": {"lead": rows}})
    wrong = []
    for revision in (1, 2):
        file = world.write_prospects([_prospect(p, revision) for p in people if p.prospect_id], f"{revision}.jsonl")
        run = world.sync(file, action="ids")
        if run.returncode:
            wrong.append(f"run {revision}: exit code {run.returncode}: {run.stderr[-300:]}")
        wrong += _judged(world, people, revision)
    checks = oracles.one_outcome, oracles.true_outcome, oracles.one_create_event, oracles.settled
    wrong += [text for check in checks for text in check(world)]
    asked = [entry["path"] for entry in world.journal() if entry["parent"] is None and "%" in entry["path"]]
    wrong += ["a match value stands in an address"] * bool(asked)
    return Verdict(wrong, {"people": len(people), "planted": len(rows)})


# ---------------------------------------------------------------- the people


def _map_ids(world: World) -> None:
    """A GUID goes into a column of ids, where it takes the CRM's form, and into a text, where it stays as written."""
    folder = world.folder / "include/mappings/ids"
    folder.mkdir()
    own = "jobtitle,custom.own,,,always,keep,\nprocessid,custom.guid,,,always,keep,\n"
    own += "salutation,custom.guid,,,always,keep,\n"
    kept = "".join(line for line in LEAD.splitlines(keepends=True) if not line.startswith("jobtitle"))
    (folder / "lead.csv").write_text(kept + own)
    (folder / "contact.csv").write_text(CONTACT)
    action = (
        ACTION.lstrip().replace("mapping: drill", "mapping: ids").replace("match_by: email", "match_by: email_or_name")
    )
    (world.folder / "include/actions/ids.yaml").write_text(action)


def _people(draw: random.Random, rounds: int) -> list[Person]:
    """Each relative by its address and by its name alone, `rounds` times; some in the CRM, some bystanders."""
    people = []
    for number in range(rounds):
        for line, relatives in enumerate(RELATIVES):
            for middle in relatives:
                for by_email in (True, False):
                    place = f"{number}x{line}"
                    own = f"Name{len(people)}" if by_email else f"Mc{place}{middle}End"
                    mailbox = f"a{place}{middle.replace(' ', '.')}z@drill.example" if by_email else None
                    guid = uuid.UUID(int=draw.getrandbits(128))
                    spelling = SPELLINGS[len(people) % len(SPELLINGS)]
                    bystander = draw.random() < 0.2
                    prospect_id = None if bystander else spelling(uuid.UUID(int=draw.getrandbits(128)))
                    planted = bystander or draw.random() < 0.5
                    people.append(Person(prospect_id, mailbox, own, guid, spelling(guid), planted))
    return people


def _prospect(person: Person, revision: int) -> dict[str, Any]:
    return {
        "id": person.prospect_id,
        "revision": revision,
        "status": "active",
        "updated_at": f"2026-03-14T09:{revision:02d}:00.000Z",
        "first_name": "Ana",
        "last_name": person.last_name,
        "email": person.email,
        "custom_fields": {"own": f"{person.prospect_id} {revision}", "guid": person.written_as},
    }


# ---------------------------------------------------------------- the judge


def _judged(world: World, people: list[Person], revision: int) -> list[str]:
    records: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    for row in world.rows("lead"):
        records.setdefault((row.get("emailaddress1"), row["lastname"]), []).append(row)
    wrong = [f"{len(records)} different records instead of {len(people)}"] if len(records) != len(people) else []
    for person in people:
        found = records.get((person.email, person.last_name), [])
        if len(found) != 1:
            wrong.append(f"{len(found)} records instead of 1 for {person.email or person.last_name}")
            continue
        [row] = found
        own = f"{person.prospect_id} {revision}" if person.prospect_id else BYSTANDER
        ids = (str(person.guid), person.written_as) if person.prospect_id else (None, None)
        if (row.get("jobtitle"), row.get("processid"), row.get("salutation")) != (own, *ids):
            wrong.append(f"the record of {person.email or person.last_name} does not hold what its own prospect says")
    expected = sum(person.prospect_id is not None for person in people)
    for table in ("prospect", "record_link"):
        rows = world.sql(f"SELECT count(*) AS n FROM sync.{table}")[0]["n"]
        if rows != expected:
            wrong.append(f"{rows} rows in {table} instead of {expected}")
    return wrong


def _variant(id_headers: str) -> Callable[[World, int], Verdict]:
    return lambda world, seed: drill(world, seed, id_headers)


DRILL = Drill("B05", "S1", {f"{style} id headers": _variant(style) for style in ("plain", "missing", "upper")}, seeds=7)
