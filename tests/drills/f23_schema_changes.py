"""F23, CRM schema changes: what an administrator changed between two runs is named before anybody is claimed.

A run that cannot be finished does not begin: it says which column and which file, stores nothing, and after the repair
one run brings everybody. A change in the middle of a run stops it with the same words: nobody is rejected for it, and
after the repair the next run brings those that were left.
A plug-in that refuses everybody stops the run, one that refuses some rejects exactly those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.drills import oracles
from tests.drills.broken_configurations import CONFIGURATIONS
from tests.drills.drill import Drill, Verdict
from tests.drills.people import prospects
from tests.drills.world import LEAD, MAPPING, World

MAX_BEFORE_BREAKER = 50
REFUSED = "Refused"
TABLES = ("sync_run", "prospect", "work_item", "attempt", "outcome", "record_link")
BASE = LEAD + "industrycode,custom.industry,map(industry),,always,keep,\n"
VALUES = "from,to\nBanking,16\nLaw,21\n*,\n"


# ---------------------------------------------------------------- between two runs


def _schema(world: World, action: str, **asked: Any) -> None:
    world.crm.control("POST", "schema", {"action": action, "table": "lead"} | asked)


def _without(target: str) -> str:
    return "".join(line for line in BASE.splitlines(keepends=True) if not line.startswith(target))


# What the administrator does, what is to be named, and the mapping after the repair.
CHANGES: Mapping[str, tuple[Callable[[World], None], tuple[str, ...], str, str]] = {
    "column dropped": (
        lambda world: _schema(world, "drop_column", column="jobtitle"),
        ("'jobtitle'", "lead.csv:6"),
        _without("jobtitle"),
        VALUES,
    ),
    "column renamed": (
        lambda world: _schema(world, "rename_column", column="jobtitle", to="new_jobtitle"),
        ("'jobtitle'", "'new_jobtitle'", "lead.csv:6"),
        BASE.replace("jobtitle", "new_jobtitle"),
        VALUES,
    ),
    "option dropped": (
        lambda world: _schema(world, "drop_option", column="industrycode", value=21),
        ("industrycode", "'21'", "lead.csv:10"),
        BASE,
        VALUES.replace("Law,21\n", ""),
    ),
    "column required": (
        lambda world: _schema(world, "require_column", column="fax"),
        ("'fax'", "lead.csv"),
        BASE + "fax,custom.fax,,0,always,keep,\n",
        VALUES,
    ),
}


def changed(world: World, seed: int, change: str, count: int = 200) -> Verdict:
    """A good run, a change, a run that is refused with the change's name, the repair, a run that brings all."""
    act, named, repaired, values = CHANGES[change]
    _map(world, BASE, VALUES)
    old = prospects(count)
    wrong = _run(world, old, "old", expected=0)
    act(world)
    people = prospects(count + count // 2, revision=2, job_title=f"Head {seed}")
    before, rows = _counts(world), world.rows("lead")
    wrong += _run(world, people, "refused", expected=2, named=named)
    if _counts(world) != before or world.rows("lead") != rows:
        wrong.append("a refused run left something behind")
    _map(world, repaired, values)
    wrong += _run(world, people, "repaired", expected=0) + oracles.standard_pass(world, [p["email"] for p in people])
    if change == "column renamed":
        wrong += ["a new column was not filled"] * any(r["new_jobtitle"] != f"Head {seed}" for r in world.rows("lead"))
    return Verdict(wrong)


# ---------------------------------------------------------------- in the middle of a run

# What the administrator does, what is to be named, and the mapping after the repair.
MID_RUN: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...], str, str]] = {
    "column dropped": (
        {"action": "drop_column", "column": "jobtitle"},
        ("Column jobtitle is gone", "lead.csv:6"),
        _without("jobtitle"),
        VALUES,
    ),
    "option dropped": (
        {"action": "drop_option", "column": "industrycode", "value": 21},
        ("*Legal Services* of industrycode is gone", "lead.csv:10"),
        BASE,
        VALUES.replace("Law,21\n", ""),
    ),
    "column required": (
        {"action": "require_column", "column": "fax"},
        ("Column fax is required now", "lead.csv"),
        BASE + "fax,custom.fax,,0,always,keep,\n",
        VALUES,
    ),
    "column shortened": (
        {"action": "set_max_length", "column": "jobtitle", "max_length": 5},
        ("Jobtitle holds 5 characters instead of 100", "lead.csv:6"),
        BASE.replace("job_title,trim", "job_title,trim|truncate"),
        VALUES,
    ),
}


ONLY_CREATES = {("column required", "updates")}  # an update leaves alone what it does not name


def changed_meanwhile(world: World, seed: int, change: str, writes: str, count: int = 2_000) -> Verdict:
    """The change comes just before some write: the run stops, names it and rejects nobody, as does a worker that comes
    later; after the repair a new run brings everybody.

    Args:
        writes: "creates" or "updates": what the run is about when the change comes.
    """
    act, named, repaired, values = MID_RUN[change]
    _map(world, BASE, VALUES)
    people = prospects(count, job_title="Engineer")
    wrong = _run(world, people, "first", expected=0) if writes == "updates" else []
    people = _lawyers(people)
    if writes == "updates":
        people = _lawyers(prospects(count, revision=2, job_title=f"Director {seed}"))
        match = {"inner": True, "method": "PATCH", "nth": 1 + count // 3}
    else:
        match = {"operation": "CreateMultiple", "nth": 1 + seed % 2}
    fault = {"match": match, "effect": "schema", "schema_change": {"table": "lead", **act}}
    world.crm.control("PUT", "faults", [fault])
    wrong += _run(world, people, "stopped", expected=2, named=named)
    stopped = _newest_run(world)
    later = world.command("work", "--run", str(stopped))
    told = " ".join(later.stderr.split())
    if later.returncode != 2 or named[0] not in told:
        wrong.append(f"a later worker of the run ended with {later.returncode}: {told[:300]}")
    rejected = [row for row in _newest(world) if row["outcome"] == "rejected"]
    if rejected:
        wrong.append(f"{len(rejected)} were rejected: {rejected[0]['error_message']}")
    left = world.sql("SELECT count(*) AS n FROM sync.work_item WHERE run_id = :id AND state <> 'settled'", id=stopped)
    _map(world, repaired, values)
    wrong += _run(world, people, "repaired", expected=0) + oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"left pending": left[0]["n"]})


def shortened_where_cut(world: World, seed: int, count: int = 2_000) -> Verdict:
    """A column that the mapping cuts anyway is shortened in mid-run: the run goes on with the new length."""
    _map(world, BASE, VALUES)
    people = prospects(count)
    for person in people:
        person["notes"] = [{"text": "x" * 200}]
    act = {"action": "set_max_length", "table": "lead", "column": "description", "max_length": 100}
    match = {"operation": "CreateMultiple", "nth": 1 + seed % 2}
    world.crm.control("PUT", "faults", [{"match": match, "effect": "schema", "schema_change": act}])
    wrong = _run(world, people, "people", expected=0)
    lengths = {len(row["description"]) for row in world.rows("lead")}
    if 100 not in lengths or not lengths <= {100, 200}:
        wrong.append(f"descriptions have the lengths {sorted(lengths)}")
    return Verdict(wrong + oracles.standard_pass(world, [p["email"] for p in people]))


def _lawyers(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every third in an industry that the value table maps."""
    for number, person in enumerate(people):
        person["custom_fields"] = {"industry": "Law"} if number % 3 == 0 else {}
    return people


def _newest_run(world: World) -> Any:
    return world.sql("SELECT run_id FROM sync.audit_run ORDER BY started_at DESC LIMIT 1")[0]["run_id"]


# ---------------------------------------------------------------- a field more


def new_field(world: World, seed: int, count: int = 1_000) -> Verdict:
    """A mapped column more: exactly those are updated whose prospects have something to say there."""
    people = prospects(count)
    speaking = {p["id"] for n, p in enumerate(people) if n % 3 == seed % 3}
    for person in people:
        person["custom_fields"] = {"fax": f"+49 {person['id'][-4:]}"} if person["id"] in speaking else {"fax": " "}
    _map(world, BASE, VALUES)
    wrong = _run(world, people, "people", expected=0)
    _map(world, BASE + "fax,custom.fax,,,always,keep,\n", VALUES)
    wrong += _run(world, people, "people", expected=0)
    updated = {row["prospect_id"]: row["changed_columns"] for row in _newest(world) if row["outcome"] == "updated"}
    if set(updated) != speaking or any(columns != ["fax"] for columns in updated.values()):
        wrong.append(f"{len(updated)} were updated instead of exactly the {len(speaking)} that have a value")
    return Verdict(wrong + oracles.standard_pass(world, [p["email"] for p in people]))


# ---------------------------------------------------------------- plug-ins


def plugin_for_all(world: World, seed: int, count: int = 1_000) -> Verdict:
    """A plug-in refuses whoever comes: the run stops early and rejects nobody; when it is gone, all are brought."""
    people = prospects(count, revision=seed)
    _schema(world, "install_plugin", event="create", message="Leads are closed.")
    wrong = _run(world, people, "people", expected=2, named=("lead",))
    refused = world.sql("SELECT count(*) AS n FROM sync.audit_outcome WHERE outcome = 'rejected'")[0]["n"]
    if refused > MAX_BEFORE_BREAKER:
        wrong.append(f"{refused} were rejected before the breaker opened")
    attempts = world.sql("SELECT count(*) AS n FROM sync.attempt WHERE result = 'refused'")[0]["n"]
    _schema(world, "remove_plugin")
    wrong += _run(world, people, "people", expected=0) + oracles.standard_pass(world, [p["email"] for p in people])
    return Verdict(wrong, {"rejected": refused, "refused attempts": attempts})


def plugin_for_some(world: World, seed: int, count: int = 1_000) -> Verdict:
    """A plug-in refuses every tenth: exactly those are rejected, with its code."""
    people = prospects(count)
    bad = {people[n]["id"] for n in range(seed % 10, count, 10)}
    for person in people:
        person["job_title"] = REFUSED if person["id"] in bad else person["job_title"]
    _schema(world, "install_plugin", event="create", column="jobtitle", value=REFUSED, message="Not this title.")
    wrong = _run(world, people, "people", expected=1)
    told = {row["prospect_id"]: row for row in _newest(world) if row["outcome"] != "created"}
    if set(told) != bad or any(row["outcome"] != "rejected" or not row["error_code"] for row in told.values()):
        wrong.append(f"{len(told)} were not created instead of exactly the {len(bad)} that are refused")
    return Verdict(wrong + oracles.standard_pass(world, [p["email"] for p in people if p["id"] not in bad]))


def plugin_by_chance(world: World, seed: int, count: int = 1_000) -> Verdict:
    """A plug-in refuses a tenth of all attempts: no breaker opens, and who is rejected has no record."""
    people = prospects(count)
    _schema(world, "install_plugin", event="create", probability=0.1, seed=seed, message="Not now.")
    wrong = _run(world, people, "people", expected=1)
    rejected = {row["prospect_id"] for row in _newest(world) if row["outcome"] == "rejected"}
    if not 0 < len(rejected) < count // 4:
        wrong.append(f"{len(rejected)} of {count} were rejected")
    created = [p["email"] for p in people if p["id"] not in rejected]
    return Verdict(wrong + oracles.standard_pass(world, created), {"rejected": len(rejected)})


# ---------------------------------------------------------------- broken from the start


def broken(world: World, seed: int, only: int = len(CONFIGURATIONS)) -> Verdict:
    """Each broken configuration is refused with all its faults, and nothing is stored."""
    file = world.write_prospects(prospects(5, revision=seed))
    folder = world.folder / "include"
    good = {path: path.read_text() for path in folder.rglob("*.*")}
    wrong = []
    for name, configuration in list(CONFIGURATIONS.items())[:only]:
        for path, text in configuration.files.items():
            (folder / path).parent.mkdir(exist_ok=True, parents=True)
            (folder / path).write_text(text)
        run = world.sync(file)
        told = " ".join(run.stderr.split())
        if run.returncode != 2:
            wrong.append(f"{name}: exit code {run.returncode} instead of 2: {told[-300:]}")
        wrong += [f"{name}: '{text}' is not told: {told[:500]}" for text in configuration.told if text not in told]
        for path in configuration.files:
            (folder / path).unlink()
        for path, text in good.items():
            path.write_text(text)
    if any(_counts(world).values()):
        wrong.append("a refused run left something behind")
    return Verdict(wrong, {"configurations": only})


# ---------------------------------------------------------------- pieces


def _map(world: World, lead: str, values: str) -> None:
    folder = world.folder / "include/mappings/drill"
    (folder / "values").mkdir(exist_ok=True)
    (folder / "lead.csv").write_text(lead)
    (folder / "contact.csv").write_text(MAPPING + "lastname,last_name,,,always,keep,\n")
    (folder / "values/industry.csv").write_text(values)


def _run(
    world: World, people: list[dict[str, Any]], name: str, expected: int, named: tuple[str, ...] = ()
) -> list[str]:
    """One run; what is wrong with its end, and what it does not name."""
    run = world.sync(world.write_prospects(people, f"{name}.jsonl"))
    told = " ".join(run.stderr.split())
    wrong = [] if run.returncode == expected else [f"{name}: exit code {run.returncode}, not {expected}: {told[-300:]}"]
    return wrong + [f"{name}: {text} is not named: {told[:300]}" for text in named if text not in told]


def _counts(world: World) -> dict[str, int]:
    return {table: world.sql(f"SELECT count(*) AS n FROM sync.{table}")[0]["n"] for table in TABLES}


def _newest(world: World) -> list[Any]:
    return world.sql("SELECT * FROM sync.audit_outcome WHERE run_id = :id", id=_newest_run(world))


def _variant(change: str) -> Callable[[World, int], Verdict]:
    return lambda world, seed: changed(world, seed, change)


def _meanwhile(change: str, writes: str) -> Callable[[World, int], Verdict]:
    return lambda world, seed: changed_meanwhile(world, seed, change, writes)


DRILL = Drill(
    "F23",
    "S1",
    {
        **{change: _variant(change) for change in CHANGES},
        **{
            f"{change} in mid-run, {writes}": _meanwhile(change, writes)
            for change in MID_RUN
            for writes in ("creates", "updates")
            if (change, writes) not in ONLY_CREATES
        },
        "shortened in mid-run where cut": shortened_where_cut,
        "new field mapped": new_field,
        "plug-in refuses all": plugin_for_all,
        "plug-in refuses a tenth": plugin_for_some,
        "plug-in refuses by chance": plugin_by_chance,
        "broken configurations": broken,
    },
    seeds=5,  # a seed changes who is concerned, not the change
)
