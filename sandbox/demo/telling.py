"""What the demo says of runs: the balance of one, and what each trigger has synced since the last look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from dynamics.store.audit import AuditLog

WORDS = ("created", "updated", "unchanged", "skipped", "rejected", "deferred")
TRIGGERS = {"bulk": "by hand", "automation": "on a schedule", "fulfillment": "at once"}
RUNS_AMONG = 100  # of an automation every minute, and of the worker that waits for webhooks
_COUNTS = "SELECT trigger, action, outcome, count(*) FROM sync.audit_outcome GROUP BY 1, 2, 3"


def tell_balance(
    console: Console, audit: AuditLog, dag_run: Mapping[str, Any], expected: dict[str, int] | None
) -> bool:
    """Print the balance and some outcomes of the sync run that a DAG run has opened; others may be newer.

    Args:
        dag_run: as Airflow's API gives it.
    Returns:
        False when the run was red or is not what the sample was made for.
    """
    state = dag_run["state"]
    opened = [row for row in audit.runs(limit=RUNS_AMONG) if row.dag_run_id == dag_run["dag_run_id"]]
    if not opened:
        console.print(f"[red]the DAG run ended {state} and opened no sync run: its task preflight says why[/]")
        return False
    newest = opened[0].as_dict()
    table = Table(title=f"sync run {newest['run_id']}: {newest['state']}")
    table.add_column("outcome")
    table.add_column("prospects", justify="right")
    if expected:
        table.add_column("expected", justify="right")
    for word in WORDS:
        table.add_row(word, str(newest[word]), *([str(expected.get(word, 0))] if expected else []))
    table.add_section()
    table.add_row("selected", str(newest["selected"]), *([str(sum(expected.values()))] if expected else []))
    console.print(table)
    for word in WORDS:
        for row in audit.outcomes(newest["run_id"], outcome=word, limit=1):
            told = " ".join(str(x) for x in (row.reason, row.error_column, row.record_url) if x)
            console.print(f"  {word:<10}{row.prospect_id}  {told}")
    balanced = newest["selected"] == sum(newest[word] for word in WORDS)
    as_expected = expected is None or all(newest[word] == expected.get(word, 0) for word in WORDS)
    if not as_expected:
        console.print("[red]the balance is not the one that the sample was made for[/]")
    return bool(balanced and as_expected and state == "success")


@dataclass(frozen=True)
class Told:
    """So many prospects ended so, by one trigger and action."""

    trigger: str
    action: str
    outcome: str
    count: int

    def __str__(self) -> str:
        return f"{TRIGGERS.get(self.trigger, self.trigger):<14} {self.action:<14} {self.count} {self.outcome}"


class News:
    """What has been settled since the last look; the first look shows what has come since it was made."""

    def __init__(self, audit: sa.Engine) -> None:
        self._audit = audit
        self._seen = self._counts()

    def read(self) -> list[Told]:
        now = self._counts()
        new, self._seen = now - self._seen, now
        return [Told(*key, count) for key, count in sorted(new.items())]

    def _counts(self) -> Counter[tuple[str, str, str]]:
        with self._audit.connect() as connection:
            rows = connection.execute(sa.text(_COUNTS)).all()
        return Counter({(trigger, action, outcome): count for trigger, action, outcome, count in rows})
