"""What the commands that sync have in common: the service, a run from beginning to end, its balance and exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from dynamics.assembly import SyncService
from dynamics.config import audit_url, connection_from_environment, include_directory
from dynamics.core.balance import Verdict
from dynamics.core.ledger import Outcome, RunCounts
from dynamics.run_request import RunRequest
from dynamics.store.database import check_schema, create_store
from dynamics.terminal import OK, REJECTED, STOPPED, complaints, console, faults_told

AUDIT = "dynamics_audit"


def sync(ask: Callable[[SyncService], RunRequest], workers: int) -> None:
    """Carry out what is asked for, print its balance and leave with its exit code."""
    with faults_told(), open_service() as service, stoppable(service):
        opened = service.open_run(ask(service))
        try:
            work_through(service, opened.run_id, workers)
        finally:  # also when stopped: the run says what is still pending
            verdict = service.conclude(opened.run_id)
        print_balance(opened.run_id, verdict, opened.dry_run)
        raise typer.Exit(exit_code(verdict))


def open_audit() -> sa.Engine:
    """The audit database. Raises ConfigurationError."""
    engine = create_store(audit_url(connection_from_environment(AUDIT)))
    check_schema(engine)
    return engine


def open_service() -> SyncService:
    """The service, its accounts resolved from the environment. Raises ConfigurationError."""
    return SyncService(open_audit(), connection_from_environment, include_directory())


@contextmanager
def stoppable(service: SyncService) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C end the work in good order: what is on the wire is settled, the rest given back."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice does not want to wait
        service.stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def work_through(service: SyncService, run_id: uuid.UUID, workers: int) -> None:
    """Discover and drain with a progress bar, the other workers in processes of their own."""
    text = TextColumn("{task.description}")
    with Progress(
        SpinnerColumn(),
        text,
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=complaints,
        transient=True,
    ) as progress:
        found = progress.add_task("discovering", total=None)
        service.discover(run_id, lambda count: progress.update(found, completed=count))
        selected = service.ledger.counts(run_id).selected
        progress.update(found, total=selected, completed=selected)
        synced = progress.add_task("syncing", total=selected)

        def advance(outcomes: Counter[Outcome]) -> None:
            progress.advance(synced, outcomes.total())

        with _further_workers(run_id, workers - 1):
            service.drain(run_id, f"cli-{os.getpid()}", advance)


@contextmanager
def _further_workers(run_id: uuid.UUID, count: int) -> Iterator[None]:
    """Processes that work on the run too; they are waited for, and what they have to complain of is passed on."""
    command = [sys.executable, "-m", "dynamics.cli", "work", "--run", str(run_id)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]  # noqa: S603 - our own
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.wait()


def exit_code(verdict: Verdict) -> int:
    """Stricter than the run's colour: a script wants to know of every rejected prospect."""
    counts = verdict.counts
    if counts.open or not counts.balanced or not counts.discovered:
        return STOPPED
    return REJECTED if counts.rejected or not verdict.ok else OK


def print_balance(run_id: uuid.UUID, verdict: Verdict, dry_run: bool) -> None:
    counts: RunCounts = verdict.counts
    console.print(f"run {run_id}{' (dry run)' if dry_run else ''}")
    table = Table()
    table.add_column("outcome")
    table.add_column("prospects", justify="right")
    for outcome in Outcome:
        table.add_row(outcome.value, str(getattr(counts, outcome.value)))
    table.add_section()
    table.add_row("selected", str(counts.selected))
    if counts.open:
        table.add_row("still open", str(counts.open))
    console.print(table)
    for problem in verdict.problems:
        complaints.print(problem, style="red", markup=False)
