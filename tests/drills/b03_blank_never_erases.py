"""B03, blank never erases: what a prospect says, or does not say, against what stands in the record.

Every mapped column of every record is a cell of its own: how the source is blank or full, who has filled the column in
the CRM, and how the mapping writes it. What must stand there afterwards is a table.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.world import ACTION, MAPPING, World

BLANKS: Mapping[str, Any] = {"null": None, "empty": "", "spaces": " \u00a0\t "}  # and absent
SOURCES = ("absent", *BLANKS, "new", "same")
LINKED = ("empty", "ours", "person", "changed")  # nobody, we, a person, a person after us
PLANTED = ("empty", "person")  # of a record that we have never written
UNTOUCHED = "1234"


@dataclass(frozen=True)
class Field:
    """A mapped column. `old`: what we wrote first, `theirs`: what a person wrote, `new`: what is said later."""

    column: str
    policy: str
    old: Any
    theirs: Any
    new: Any
    default: Any = None
    nothing: Any = None  # what an empty column holds

    @property
    def row(self) -> str:
        write, blank = self.policy.split("/")
        return f"{self.column},custom.{self.column},,{self.default or ''},{write},{blank},\n"


FIELDS = (
    Field("jobtitle", "always/keep", "Ours", "Theirs", "New"),
    Field("qualificationcomments", "always/keep", "Our\nlines", "Their\nlines", "New\nlines"),
    Field("numberofemployees", "always/keep", 7, 0, 70),
    Field("industrycode", "always/keep", 1, 2, 3),
    Field("estimatedclosedate", "always/keep", "2026-04-01", "2026-05-02", "2026-06-03"),
    Field("revenue", "always/keep", 10.5, 0.0, 1000.25),
    Field("donotphone", "always/keep", True, True, True, nothing=False),
    Field("salutation", "always/clear", "Ours", "Theirs", "New"),
    Field("budgetamount", "always/clear", 10.5, 0.0, 1000.25),
    Field("budgetstatus", "always/clear", 1, 0, 2),
    Field("websiteurl", "if_empty/keep", "https://ours.example", "https://theirs.example", "https://new.example"),
    Field("purchaseprocess", "if_empty/keep", 1, 0, 2),
    Field("description", "append/keep", "Ours", "Theirs", "New"),
    Field("telephone2", "create_only/keep", "+441", "+442", "+443"),
    Field("companyname", "always/keep", "Ours", "Theirs", "New", default="Unknown"),
    Field("middlename", "if_empty/keep", "Ours", "Theirs", "New", default="Unknown"),
    Field("address1_line1", "append/keep", "Ours", "Theirs", "New", default="Unknown"),
    Field("leadsourcecode", "if_empty/keep", 1, 2, 3, default=10),
)


@dataclass(frozen=True)
class Cell:
    """One column of one record: who has filled it, and what the prospect says of it the second time."""

    field: Field
    crm: str
    source: str
    linked: bool

    def before(self) -> Any:
        """What stands in the record before the second sync."""
        if self.crm in ("person", "changed"):
            return self.field.theirs
        if self.crm == "ours":
            return self.field.old
        placeholder = self.linked and self.field.default is not None
        return self.field.default if placeholder else self.field.nothing

    def after(self) -> Any:
        """The rule table: what must stand there after the second sync."""
        field, before = self.field, self.before()
        write, blank = field.policy.split("/")
        if write == "create_only":
            return before
        if self.source not in ("new", "same"):
            cleared = blank == "clear" and not (self.linked and self.crm in ("empty", "person"))  # said before: nothing
            return field.nothing if cleared else before
        value = field.new if self.source == "new" else field.old
        if self.linked and self.source == "same" and self.crm in ("ours", "changed"):
            return before  # nothing new is said: a person's change stays
        if write == "always" or before in (None, field.default):
            return value
        return f"{before}\n{value}" if write == "append" else before


def drill(world: World, seed: int, linked: int = 300, planted: int = 100) -> Verdict:
    """First sync, people at work in the CRM, second sync, third sync with nothing but blanks."""
    draw = random.Random(seed)
    _map_fields(world)
    tables = [[_cell(field, draw, n < linked) for field in FIELDS] for n in range(linked + planted)]
    first = [_prospect(n, 1, _first(cells, draw)) for n, cells in enumerate(tables[:linked])]
    wrong = _ran(world, first, "first")
    _people_at_work(world, tables, linked)
    wrong += _differences(world, tables, Cell.before, "before the second sync")
    second = [_prospect(n, 2, _second(cells)) for n, cells in enumerate(tables)]
    wrong += _ran(world, second, "second")
    wrong += _differences(world, tables, Cell.after, "after the second sync")
    wrong += _outcomes(world, tables)
    third = [_prospect(n, 3, _blanks(cells, draw)) for n, cells in enumerate(tables)]
    wrong += _ran(world, third, "third")
    wrong += _differences(world, tables, _after_third, "after the third sync")
    checks = oracles.one_outcome, oracles.true_outcome, oracles.one_create_event, oracles.settled
    wrong += [text for check in checks for text in check(world)]
    kinds = {(cell.field.column, cell.crm, cell.source, cell.linked) for cells in tables for cell in cells}
    return Verdict(wrong, {"cells": len(tables) * len(FIELDS), "kinds of cells": len(kinds)})


def _cell(field: Field, draw: random.Random, linked: bool) -> Cell:
    return Cell(field, draw.choice(LINKED if linked else PLANTED), draw.choice(SOURCES), linked)


def _after_third(cell: Cell) -> Any:
    """Blanks change nothing but where a blank clears what the prospect had said before."""
    after = cell.after()
    said = cell.source in ("new", "same")
    return cell.field.nothing if cell.field.policy.endswith("/clear") and said else after


# ---------------------------------------------------------------- what is done


def _map_fields(world: World) -> None:
    folder = world.folder / "include/mappings/blanks"
    folder.mkdir()
    names = "subject,{first_name} {last_name},,,always,keep,\nemailaddress1,email,,,always,keep,\n"
    names += "firstname,first_name,,,always,keep,\nlastname,last_name,,,always,keep,\n"
    (folder / "lead.csv").write_text(MAPPING + names + "".join(field.row for field in FIELDS))
    (folder / "contact.csv").write_text(MAPPING + "lastname,last_name,,,always,keep,\n")
    (world.folder / "include/actions/blanks.yaml").write_text(
        ACTION.lstrip().replace("mapping: drill", "mapping: blanks")
    )


def _prospect(number: int, revision: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"pro_{number:08d}",
        "revision": revision,
        "status": "active",
        "updated_at": f"2026-03-14T09:{revision:02d}:00.000Z",
        "first_name": f"First{number}",
        "last_name": f"Last{number}",
        "email": f"person{number}@drill.example",
        "custom_fields": fields,
    }


def _first(cells: list[Cell], draw: random.Random) -> dict[str, Any]:
    """What the first sync says: our value where a cell is ours at first, else one of the blanks."""
    said = {c.field.column: c.field.old for c in cells if c.crm in ("ours", "changed")}
    return said | _blanks([cell for cell in cells if cell.field.column not in said], draw)


def _second(cells: list[Cell]) -> dict[str, Any]:
    values = {"new": lambda field: field.new, "same": lambda field: field.old}
    return {
        cell.field.column: values[cell.source](cell.field) if cell.source in values else BLANKS[cell.source]
        for cell in cells
        if cell.source != "absent"
    }


def _blanks(cells: list[Cell], draw: random.Random) -> dict[str, Any]:
    drawn = {cell.field.column: draw.choice(("absent", *BLANKS)) for cell in cells}
    return {column: BLANKS[kind] for column, kind in drawn.items() if kind != "absent"}


def _people_at_work(world: World, tables: list[list[Cell]], linked: int) -> None:
    """A person changes what we wrote, and other records stand there that we never wrote."""
    ids = {row["emailaddress1"]: row["leadid"] for row in world.rows("lead")}
    planted = []
    for number, cells in enumerate(tables):
        values = {cell.field.column: cell.field.theirs for cell in cells if cell.crm in ("person", "changed")}
        values |= {"fax": UNTOUCHED}
        email = f"person{number}@drill.example"
        if number < linked:
            change = {"action": "change", "table": "lead", "id": ids[email], "values": values}
            world.crm.control("POST", "edit", change)
        else:
            planted.append({"lastname": f"Last{number}", "emailaddress1": email} | values)
    if planted:
        world.crm.control("POST", "seed", {"tables": {"lead": planted}})


def _ran(world: World, prospects: list[dict[str, Any]], name: str) -> list[str]:
    run = world.sync(world.write_prospects(prospects, f"{name}.jsonl"), action="blanks")
    return [] if run.returncode == 0 else [f"the {name} run: exit code {run.returncode}: {run.stderr[-300:]}"]


# ---------------------------------------------------------------- the judge


def _differences(world: World, tables: list[list[Cell]], expected: Any, when: str) -> Iterator[str]:
    rows = {row["emailaddress1"]: row for row in world.rows("lead")}
    if len(rows) != len(tables):
        yield f"{len(rows)} records instead of {len(tables)} {when}"
    for number, cells in enumerate(tables):
        row = rows.get(f"person{number}@drill.example", {})
        if row.get("fax") != UNTOUCHED:
            yield f"a column that is not mapped was changed {when}"
        for cell in cells:
            there = row.get(cell.field.column)
            there = there[:10] if cell.field.column == "estimatedclosedate" and there else there
            if there != expected(cell):
                kind = f"{cell.field.policy}, {cell.crm}, source {cell.source}, linked {cell.linked}"
                yield f"{when}: {cell.field.column} ({kind}) holds {there!r} instead of {expected(cell)!r}"


def _outcomes(world: World, tables: list[list[Cell]]) -> list[str]:
    """`updated` exactly where something had to change."""
    run_id = world.sql("SELECT run_id FROM sync.audit_run ORDER BY started_at DESC LIMIT 1")[0]["run_id"]
    found = world.sql("SELECT prospect_id, outcome FROM sync.audit_outcome WHERE run_id = :id", id=run_id)
    told = {row["prospect_id"]: row["outcome"] for row in found}
    wrong = Counter[str]()
    for number, cells in enumerate(tables):
        # A planted record gets its names besides.
        changes = not cells[0].linked or any(cell.before() != cell.after() for cell in cells)
        outcome = told.get(f"pro_{number:08d}")
        if outcome != ("updated" if changes else "unchanged"):
            wrong[f"{outcome} although {'something' if changes else 'nothing'} had to change"] += 1
    return [f"{times} prospects are {text}" for text, times in wrong.items()]


DRILL = Drill("B03", "S1", {"every cell": drill})
