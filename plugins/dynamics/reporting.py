"""How findings about an action read: as lines for a log, and as tables on a terminal. Decides nothing about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dynamics.core.forecast import Cause, Forecast
from dynamics.errors import Fault
from dynamics.preflight import Findings

LOG_WIDTH = 110
UNHEARD = "is its key spelt as in Captello?"
REJECTING = "prospects will be rejected for it"


def change_lines(findings: Findings) -> Iterator[str]:
    """What has changed since the mapping was looked at, what rejects prospects first and with its remedy."""
    for change in sorted(findings.changes, key=lambda change: not change.rejects):
        fault = change.fault
        yield f"{change}; {REJECTING}. {fault.where}: {fault.remedy}" if change.rejects else str(change)


def forecast_lines(forecasts: Sequence[Forecast]) -> Iterator[str]:
    """How many of a sample would be rejected or warned of, and why."""
    for each in forecasts:
        yield (
            f"{each.prospects} prospects as {_as_what(each)}: {each.rejected} would be rejected, "
            f"{each.warned} written with a warning"
        )
        for kind, causes in _groups(each):
            for cause in causes:
                yield f"  {cause.prospects} {kind}: {cause.column}: {cause.rule}"
        for path in each.unheard:
            yield f"  nobody has {path}: {UNHEARD}"


def outcome_lines(outcomes: Mapping[str, int], causes: Sequence[tuple[str, str, int]] = ()) -> list[str]:
    """A table for the end of a log.

    Args:
        outcomes: outcome, or "selected", -> prospects.
        causes: (outcome, why, prospects), in the order in which they are shown.
    """
    told = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("outcome", "why") if causes else ("outcome",):
        told.add_column(name, overflow="fold")
    told.add_column("prospects", justify="right")
    for outcome, count in outcomes.items():
        told.add_row(*([outcome, "", f"{count:,}"] if causes else [outcome, f"{count:,}"]))
        for cause, why, prospects in causes:
            if cause == outcome:
                told.add_row("", Text(why), f"{prospects:,}", style="dim")
    console = Console(file=StringIO(), width=LOG_WIDTH, no_color=True, highlight=False, force_terminal=False)
    with console.capture() as printed:
        console.print(told)
    return [line.rstrip() for line in printed.get().splitlines() if line.strip()]


def faults_table(faults: Sequence[Fault], width: int) -> RenderableType:
    """Every fault with where it stands, the column it is about, what is wrong and what to do."""
    heading = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
    table = Table(title=heading, title_justify="left", title_style="bold red", show_lines=width < 120)
    cells = {"where": [fault.where for fault in faults], "column": [fault.column for fault in faults]}
    cells |= {"what is wrong": [fault.what for fault in faults], "what to do": [fault.remedy for fault in faults]}
    shown = {name: texts for name, texts in cells.items() if any(texts)}
    for name in shown:
        table.add_column(name, overflow="fold")
    for row in zip(*shown.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def print_faults(faults: Sequence[Fault], console: Console) -> None:
    """A table for people, a line each for whoever reads the output with a program."""
    if console.is_terminal:
        console.print(faults_table(faults, console.width))
    else:
        for fault in faults:
            console.print(Text(str(fault)), soft_wrap=True)


def print_forecasts(forecasts: Sequence[Forecast], console: Console) -> None:
    """One table for each table of the CRM."""
    if not console.is_terminal:
        for line in forecast_lines(forecasts):
            console.print(Text(line), soft_wrap=True)
        return
    console.print(Group(*(_forecast_table(each) for each in forecasts)))


def _forecast_table(forecast: Forecast) -> RenderableType:
    title = f"{forecast.prospects} prospects as {_as_what(forecast)}"
    table = Table(title=title, title_justify="left")
    for name in ("outcome", "prospects", "column", "rule"):
        table.add_column(name, justify="right" if name == "prospects" else "left")
    waiting = sum(cause.prospects for cause in forecast.waits)
    table.add_row("written", str(forecast.prospects - forecast.rejected - waiting))
    for outcome, causes in _groups(forecast):
        for cause in causes:
            table.add_row(outcome, str(cause.prospects), Text(cause.column), Text(cause.rule))
    for path in forecast.unheard:
        table.add_row("nobody has it", "0", Text(path), UNHEARD)
    return table


def _groups(forecast: Forecast) -> list[tuple[str, tuple[Cause, ...]]]:
    return [("rejected", forecast.rejections), ("deferred", forecast.waits), ("warned", forecast.warnings)]


def _as_what(forecast: Forecast) -> str:
    return f"new {forecast.table}s" if forecast.creates else f"updates of {forecast.table}s"
