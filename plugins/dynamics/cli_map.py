"""`dynamics-sync map`: a mapping tried on a prospect of a file, held against its examples, or drafted.

Exit codes: 0 the prospect fits, all examples are as expected; 1 it is rejected, or an example differs; 2 the
configuration is at fault or the organisation cannot be asked; 3 wrong usage.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from dynamics.captello.client import CaptelloClient
from dynamics.clock import SystemClock
from dynamics.config import captello_account, connection_from_environment, dynamics_account, include_directory
from dynamics.config.columns import FOLDER, snapshot_text
from dynamics.core.mapping.coercion import Misfit, text_of
from dynamics.core.mapping.explaining import Fate, NewRecord, RuleStory, Stage
from dynamics.core.mapping.rules import WriteMode
from dynamics.core.mapping.suggesting import SourceField, draft, standard_fields
from dynamics.core.mapping.suggesting import suggest as suggest_rows
from dynamics.core.paths import STANDARD
from dynamics.core.prospect import READY
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.errors import ConfigurationError
from dynamics.rehearsal import Json, Rehearsal, frame_of, nth_prospect
from dynamics.terminal import REJECTED, complaints, console, faults_told

SHOWN = 160  # characters of a value; nobody reads a whole transcript in a table's cell


def map_prospect(
    mapping: Annotated[str, typer.Option(help="Name of a folder in include/mappings.")] = "default",
    table: Annotated[str, typer.Option(help="lead, contact or account.")] = "lead",
    file: Annotated[Path | None, typer.Option(help="Prospects from a .json, .jsonl or .csv file.")] = None,
    record: Annotated[int, typer.Option(min=1, help="Which prospect of the file; 1 is the first.")] = 1,
    account: Annotated[
        str | None, typer.Option(help="Connection id: take columns from this organisation, not from the snapshot.")
    ] = None,
    as_example: Annotated[
        bool, typer.Option("--as-example", help="Print the prospect as an example, as JSON.")
    ] = False,
    check_examples: Annotated[
        bool, typer.Option("--check-examples", help="Hold the mapping against its examples.")
    ] = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Draft a mapping of the table, as CSV, for you to edit.")
    ] = False,
    source: Annotated[
        str, typer.Option(help="Connection id of the Captello account whose custom fields are suggested.")
    ] = "captello_default",
    save_columns: Annotated[
        bool,
        typer.Option("--save-columns", help="Keep the organisation's columns with the mapping, for use without it."),
    ] = False,
) -> None:
    """Try a mapping without a run, on a prospect of a file or on the mapping's examples. Changes nothing in a CRM."""
    modes = {
        "--file": file is not None,
        "--check-examples": check_examples,
        "--suggest": suggest,
        "--save-columns": save_columns,
    }
    chosen = [name for name, wanted in modes.items() if wanted]
    if len(chosen) != 1:
        raise typer.BadParameter(f"give one of {', '.join(modes)}")
    if account is None and (suggest or save_columns):
        raise typer.BadParameter(f"{chosen[0]} needs --account")
    with faults_told(), _rehearsal(mapping, account) as rehearsal:
        if save_columns:
            _save_columns(rehearsal)
        elif suggest:
            _suggest(rehearsal, table, source)
        elif check_examples:
            _check_examples(rehearsal)
        elif file is not None:
            _show(rehearsal, table, _prospect(file, record), as_example)


@contextmanager
def _rehearsal(mapping: str, account: str | None) -> Iterator[Rehearsal]:
    include = include_directory()
    if account is None:
        yield Rehearsal(include, mapping)
        return
    connected = dynamics_account(connection_from_environment(account))
    with DataverseClient(connected, budget=LocalBudget(), clock=SystemClock()) as client:
        yield Rehearsal(include, mapping, client)


def _prospect(file: Path, number: int) -> Json:
    try:
        return nth_prospect(file, number)
    except IndexError:
        raise typer.BadParameter(f"{file} has no prospect {number}") from None


# ---------------------------------------------------------------- one prospect


def _show(rehearsal: Rehearsal, table: str, prospect: Json, as_example: bool) -> None:
    rehearsal.check(table)
    if as_example:
        print(json.dumps(rehearsal.example(prospect, "What this example shows."), ensure_ascii=False, indent=2))
        return
    stories = rehearsal.explain(table, prospect)
    console.print(_table_of([story for story in stories if story.fate is not Fate.BLANK]))
    blank = [story.rule.target for story in stories if story.fate is Fate.BLANK]
    if blank:
        console.print(Text(f"Blank in the prospect, so not written: {', '.join(blank)}.", style="dim"))
    made = rehearsal.new_record(table, prospect)
    for warning in made.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    _tell_state(prospect)
    _tell_record(table, made)
    if rehearsal.crm is None:
        console.print(Text("Column types are those of a snapshot; --account ID asks your organisation.", style="dim"))
    if made.reject is not None:
        raise typer.Exit(REJECTED)


def _table_of(stories: Sequence[RuleStory]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("column", no_wrap=True)
    for name, ratio in (("source · steps", 4), ("value", 5), ("a new record gets", 5)):
        shown.add_column(name, ratio=ratio, overflow="fold")
    for story in stories:
        write = story.rule.write
        target = Text(story.rule.target, style="bold")
        if write is not WriteMode.ALWAYS:
            target.append(f"\n  {write.value}", style="not bold dim")
        rows = _rows(story)
        for step, value in rows[:-1]:
            shown.add_row(target, step, value)
            target = Text()
        shown.add_row(target, *rows[-1], _result(story))
    return shown


def _rows(story: RuleStory) -> list[tuple[Text, Text]]:
    """A row for the source and for each step that changed the value; the others stand with the one before."""
    rows = [(Text(str(story.rule.origin)), _value(story.stages[0]))]
    for before, stage in pairwise(story.stages):
        if stage.value == before.value:
            rows[-1][0].append(f" · {stage.step}", style="dim")
        else:
            rows.append((Text(f"  {stage.step}"), _value(stage)))
    return rows


def _value(stage: Stage) -> Text:
    if stage.value is None:
        return Text("blank", style="dim")
    if isinstance(stage.value, Misfit):
        return Text(str(stage.value), style="red")
    return Text(_clipped(stage.value))


def _result(story: RuleStory) -> Text:
    if story.fate is Fate.REJECTED:
        return Text(f"rejected: {story.told[0]}", style="red")
    value = Text(_clipped(story.value), style="green")
    if story.fate is Fate.DEFAULT:
        value.append(" (default)", style="dim")
    for told in story.told:
        value.append(f"\n{told}", style="yellow")
    return value


def _clipped(value: object) -> str:
    text = text_of(value)
    whole = str(value) if text is None else text
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}… ({len(whole)} characters)"


def _tell_state(prospect: Json) -> None:
    """What the mapping has no say in."""
    state = frame_of(prospect)["state"].iloc[0]
    if state != READY:
        console.print(
            Text(f"A sync would not write this prospect now: it is {state.replace('_', ' ')}.", style="yellow")
        )


def _tell_record(table: str, made: NewRecord) -> None:
    if made.reject is None:
        console.print(Text(f"A new {table} with {len(made.values)} columns.", style="bold green"))
    else:
        word = "Deferred" if made.reject.passing else "Rejected"
        console.print(Text(f"{word}: {made.reject.message} (rule: {made.reject.rule}).", style="bold red"))


# ---------------------------------------------------------------- examples, columns


def _check_examples(rehearsal: Rehearsal) -> None:
    for table in rehearsal.mappings.tables:
        rehearsal.check(table)
    examples = rehearsal.examples()
    differ = 0
    for example in examples:
        told = list(rehearsal.differences(example))
        differ += bool(told)
        console.print(
            Text(
                f"{'differs' if told else 'ok':<8}{Path(example.file).stem}: {example.about}",
                style="red" if told else "",
            )
        )
        for line in told:
            console.print(Text(f"        {line}"), soft_wrap=True)
    console.print(f"{len(examples)} examples, {differ} differ" if examples else f"{rehearsal.name} has no examples yet")
    if differ:
        raise typer.Exit(REJECTED)


def _save_columns(rehearsal: Rehearsal) -> None:
    folder = rehearsal.include / "mappings" / rehearsal.name / FOLDER
    for table in rehearsal.mappings.tables:
        text = snapshot_text(rehearsal.columns(table))
        folder.mkdir(exist_ok=True)
        path = folder / f"{table}.json"
        path.write_text(text, encoding="utf-8")
        complaints.print(f"wrote {path}", soft_wrap=True)


# ---------------------------------------------------------------- drafting


def _suggest(rehearsal: Rehearsal, table: str, source: str) -> None:
    """The draft goes to stdout, what is to be known about it to stderr."""
    columns = rehearsal.columns(table)
    known = rehearsal.mappings.tables.get(table)
    fields = {field.path: field for field in standard_fields(STANDARD)}
    try:
        connected = captello_account(connection_from_environment(source))
    except ConfigurationError as missing:
        complaints.print(f"without custom fields and questions of the source: {missing}", markup=False, soft_wrap=True)
    else:
        with CaptelloClient(connected) as captello:
            fields |= {field.path: field for field in map(_source_field, captello.fields())}
    rows = suggest_rows(columns, fields.values(), known)
    print(draft(columns, rows), end="")
    surety = Counter(row.surety for row in rows)
    told = ", ".join(f"{count} {word}" for word, count in surety.items())
    complaints.print(f"{len(rows)} rows: {told}. Read each before you use it; guesses are comments.", soft_wrap=True)


def _source_field(field: Json) -> SourceField:
    options = tuple(str(option.get("label") or option.get("value")) for option in field.get("options") or ())
    path = str(field.get("path"))
    return SourceField(path, str(field.get("label") or path), str(field.get("type")), options)
