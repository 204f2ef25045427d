"""`dynamics-sync`: the same engine without a scheduler.

Connections come from the environment, in the variables that Airflow reads: AIRFLOW_CONN_DYNAMICS_AUDIT and so on.
Exit codes: 0 balanced and nothing rejected; 1 some rejected; 2 stopped by an account, configuration or transient fault
with work pending; 3 wrong usage.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from dynamics.assembly import SyncService
from dynamics.cli_map import map_prospect
from dynamics.cli_running import AUDIT, open_audit, open_service, stoppable, sync
from dynamics.config import audit_url, connection_from_environment
from dynamics.core.capture import Selection
from dynamics.core.ledger import Outcome
from dynamics.fulfillment.worker import Worker
from dynamics.process import spare_the_collector
from dynamics.reporting import change_lines, print_forecasts
from dynamics.run_request import RETRIED, RunRequest, outcomes_to_retry, retry_of
from dynamics.store.audit import AuditLog, RunRow
from dynamics.store.database import create_store, upgrade
from dynamics.store.ledger import PostgresLedger
from dynamics.terminal import OK, REJECTED, STOPPED, USAGE, complaints, console, faults_told

SAMPLED = 500
RUNS_SHOWN, ROWS_SHOWN, EVERY_ROW = 50, 1_000, 2**31
OUTCOME_COLUMNS = ("prospect_id", "outcome", "reason", "table_name", "matched_by", "error_column", "error_message")


class Format(StrEnum):
    """How `log` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class SandboxHost(StrEnum):
    """What the sandbox calls itself."""

    LOCALHOST = "localhost"
    SANDBOX = "sandbox"


# A traceback with local values would print people and secrets.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Captured prospects into Microsoft Dynamics 365.",
)
database = typer.Typer(no_args_is_help=True, help="The audit database.")
app.add_typer(database, name="db")
app.command("map")(map_prospect)

ActionOption = Annotated[str, typer.Option("--action", help="Name of a file in include/actions, without .yaml.")]
INSTANTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
InstantOption = Annotated[datetime | None, typer.Option(formats=INSTANTS, help="UTC unless it names its zone.")]


@app.command()
def check(
    action: ActionOption,
    sample: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Say also what would become of so many prospects.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Take those from a file; without it, from Captello.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Tell no more of what has changed up to now.")] = False,
) -> None:
    """Check an action, its mapping and its account against the live organisation. Claims and changes nothing.

    Exit codes: 0 all is well; 1 prospects would be rejected; 2 a run would not begin.
    """
    with faults_told(), open_service() as service, stoppable(service):
        findings = service.check(action, {}, accept)
        for line in change_lines(findings):
            console.print(Text(f"changed: {line}", style="yellow"), soft_wrap=True)
        _, _, organization = findings.passed()
        console.print(f"[green]ok[/] action {action}: organisation {organization.organization_id}, {organization.url}")
        forecasts = service.forecast(findings, sample or SAMPLED, str(file) if file else None) if sample or file else []
        print_forecasts(forecasts, console)
        rejects = any(each.rejected for each in forecasts) or (findings.rejecting and not accept)
        raise typer.Exit(REJECTED if rejects else OK)


@app.command()
def run(
    action: ActionOption,
    file: Annotated[Path | None, typer.Option(help="Prospects from a .json, .jsonl or .csv file.")] = None,
    captured_from: InstantOption = None,
    captured_to: InstantOption = None,
    prospect_id: Annotated[list[str] | None, typer.Option(help="Only these prospects; may be repeated.")] = None,
    event_id: Annotated[list[str] | None, typer.Option(help="Only these events; may be repeated.")] = None,
    form_id: Annotated[list[str] | None, typer.Option(help="Only these forms; may be repeated.")] = None,
    duplicate_check: Annotated[str | None, typer.Option(help="For this run instead of the action's.")] = None,
    match_by: Annotated[str | None, typer.Option(help="For this run instead of the action's.")] = None,
    duplicate_action: Annotated[str | None, typer.Option(help="For this run instead of the action's.")] = None,
    create: Annotated[str | None, typer.Option(help="For this run instead of the action's.")] = None,
    account: Annotated[str | None, typer.Option(help="Connection id, instead of the action's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide everything, write nothing.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes that share the work.")] = 1,
) -> None:
    """Sync prospects under an action, from Captello or from a file."""
    overrides = {
        "duplicate_check": duplicate_check,
        "match_by": match_by,
        "duplicate_action": duplicate_action,
        "create": create,
        "account": account,
    }
    request = RunRequest(
        action=action,
        trigger="bulk",
        overrides={name: value for name, value in overrides.items() if value is not None},
        source="file" if file else "captello",
        file=str(file) if file else None,
        selection=Selection(
            captured_from=_aware(captured_from),
            captured_to=_aware(captured_to),
            event_ids=tuple(event_id or ()),
            form_ids=tuple(form_id or ()),
            prospect_ids=tuple(prospect_id or ()),
        ),
        dry_run=dry_run,
    )
    sync(lambda _: request, workers)


@app.command()
def retry(
    run: Annotated[uuid.UUID, typer.Option(help="Id of the run whose prospects are to be tried again.")],
    outcome: Annotated[
        list[Outcome] | None, typer.Option(help="Only those with this outcome; may be repeated. Rejected and deferred.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide everything, write nothing.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes that share the work.")] = 1,
) -> None:
    """Try again what a run rejected or deferred, under its action and mapping as they are today. No source is asked."""

    def left_over(service: SyncService) -> RunRequest:
        return retry_of(service.ledger.run(run), outcomes_to_retry(outcome or ()), dry_run=dry_run)

    sync(left_over, workers)


@app.command()
def work(run: Annotated[uuid.UUID, typer.Option(help="Id of a run that has been discovered.")]) -> None:
    """Be one more worker of a run that another process has begun, until none of its prospects is left."""
    with faults_told(), open_service() as service, stoppable(service):
        console.print(str(service.drain(run, f"cli-{os.getpid()}")))


@app.command()
def fulfil(
    minutes: Annotated[float | None, typer.Option(min=0, help="End after so long. Without it: when stopped.")] = None,
) -> None:
    """Sync what webhooks bring, at once, by all actions that answer them: the worker of dynamics_fulfillment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("dynamics.sync").setLevel(logging.WARNING)  # it tells of every chunk
    with faults_told(), open_service() as service, stoppable(service):
        summary = Worker(service, f"cli-{os.getpid()}").run(None if minutes is None else 60 * minutes)
        console.print(", ".join(f"{count} {word}" for word, count in summary.outcomes.items()) or "no prospects")
        for problem in summary.problems:
            complaints.print(problem, style="red", markup=False)
        raise typer.Exit(STOPPED if summary.blocked else REJECTED if summary.problems else OK)


@app.command()
def log(
    run: Annotated[uuid.UUID | None, typer.Option(help="Id of a run; without it, the newest runs.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only prospects with this outcome.")] = None,
    output: Annotated[Format, typer.Option("--format")] = Format.TABLE,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows at most. Without it all; in a table 1,000.")] = None,
) -> None:
    """Read the audit log: the newest runs, or the outcomes of one."""
    with faults_told():
        engine = open_audit()
        audit = AuditLog(engine)
        if run is None and outcome is None:
            runs = audit.runs(limit=limit or RUNS_SHOWN)
            rows = [_run_in_short(row) if output is Format.TABLE else row.as_dict() for row in runs]
            _print(rows, output, "Runs, newest first")
            return
        run_id = run or audit.latest_run()
        if run_id is None:
            console.print("no run yet")
            return
        PostgresLedger(engine).run(run_id)  # says so when there is none of this id
        at_most = limit or (ROWS_SHOWN if output is Format.TABLE else EVERY_ROW)
        found = audit.outcomes(run_id, outcome=outcome.value if outcome else None, limit=at_most)
        columns = OUTCOME_COLUMNS if output is Format.TABLE else None
        _print([row.as_dict() for row in found], output, f"Run {run_id}", columns)
        if len(found) == at_most:
            complaints.print(f"the first {at_most} rows; --limit shows more")
        if output is Format.TABLE and any(row.outcome in RETRIED for row in found):
            complaints.print(f"what was rejected or deferred is tried again by: dynamics-sync retry --run {run_id}")


@database.command("upgrade")
def db_upgrade() -> None:
    """Create or upgrade the audit database's tables and views."""
    with faults_told():
        engine = create_store(audit_url(connection_from_environment(AUDIT)))
        console.print(f"audit database at revision {upgrade(engine)}")


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Hub port; organisations follow on the next ones. 0: free ports.")] = 8443,
    orgs: Annotated[int, typer.Option(min=1, max=20, help="How many organisations.")] = 1,
    host: Annotated[
        SandboxHost, typer.Option(help="localhost; or sandbox, to serve a private network that knows it by this name.")
    ] = SandboxHost.LOCALHOST,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once the sandbox serves.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Keeps certificates and credentials between starts.")] = None,
    sample: Annotated[bool, typer.Option(help="Load the sample trade show.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep records and prospects in --state-dir until the next start.")] = False,
) -> None:
    """Serve a stand-in for Entra ID, Dynamics 365 and Captello."""
    try:
        from sandbox.server import KeptContentError
        from sandbox.server import run as serve
    except ImportError as missing:
        complaints.print(f"the sandbox needs its extra: pip install 'airflow-dynamics-sync[sandbox]' ({missing.name})")
        raise typer.Exit(STOPPED) from None
    if keep and state_dir is None:
        raise typer.BadParameter("--keep needs --state-dir")
    try:
        serve(port=port, orgs=orgs, host=host, ready_file=ready_file, state_dir=state_dir, sample=sample, keep=keep)
    except (KeptContentError, OSError) as error:
        complaints.print(f"the sandbox cannot start: {error}", markup=False)
        raise typer.Exit(STOPPED) from None


# ---------------------------------------------------------------- pieces


def _run_in_short(row: RunRow) -> dict[str, Any]:
    counts = {outcome.value: getattr(row, outcome.value) for outcome in Outcome}
    return {
        "run": row.run_id,
        "started": f"{row.started_at:%Y-%m-%d %H:%M}",
        "action": row.action + (" (dry run)" if row.dry_run else ""),
        "state": row.state,
        "prospects": ", ".join(f"{count} {word}" for word, count in counts.items() if count) or row.selected,
    }


def _print(rows: list[dict[str, Any]], output: Format, title: str, columns: Sequence[str] | None = None) -> None:
    if output is Format.JSON:
        print(json.dumps(rows, default=str, indent=2))
        return
    names = list(columns or (rows[0] if rows else ()))
    if columns:  # a table on a screen has no room for columns that say nothing
        names = [name for name in names if any(row.get(name) not in (None, "") for row in rows)]
    if output is Format.CSV:
        writer = csv.DictWriter(sys.stdout, fieldnames=names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: _inert(row.get(name)) for name in names} for row in rows)
        return
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name in ("run", "prospect_id", "outcome"))
    for row in rows:
        table.add_row(*(Text("" if row.get(name) is None else str(row[name])) for name in names))
    console.print(table if rows else f"{title}: nothing")


def _inert(value: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula."""
    text = value if isinstance(value, str) else None
    return f"'{text}" if text and text[0] in "=+-@\t\r" else value


def _aware(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant


def main() -> None:
    """Entry point: wrong usage exits with 3, since 2 stands for a run that was stopped."""
    spare_the_collector()
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        told = getattr(error, "format_message", error.__str__)()
        complaints.print(f"{told} See --help.", markup=False)
        sys.exit(USAGE)
    except (typer.Abort, KeyboardInterrupt):
        complaints.print("stopped; what was not settled stays pending")
        sys.exit(STOPPED)
    sys.exit(code or OK)


if __name__ == "__main__":
    main()
