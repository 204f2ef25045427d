"""Retry, started by hand: what a run rejected or deferred, under its action and mapping as they are today."""

from __future__ import annotations

from airflow.sdk import Param, dag
from airflow.task.trigger_rule import TriggerRule

from dynamics.operators.defaults import task_defaults
from dynamics.operators.sync import DiscoverProspects, PreflightRetry, ReportRun, SyncProspects

OUTCOMES = {"rejected": "Rejected", "deferred": "Deferred", "skipped": "Skipped"}

DOC = """
### Tries again what a run left over

Start it by hand with the id of a run (it stands in the run's log, on its page and in `dynamics-sync log`), after you
have corrected what was wrong: a row of the mapping, a value table, a column or a right in Dynamics.

- **Which prospects:** those that the run rejected or deferred, and any that are still open there and have no worker. No
  source is asked: everybody's newest revision is in the audit database.
- **By which rules:** the sync action and the mapping **as they are today**, with what the run had overridden, into the
  account that the run wrote to.
- **What if somebody was synced since?** Nothing happens twice: such a prospect ends `unchanged`.
- **Nothing to retry?** Then the run is green with 0 prospects selected.

**When it is red:** open the log of the red task. *preflight* lists everything that must be corrected first, with file
and line; *report* says how many prospects were rejected, and why. Correct that and retry the retry, by its own run id.
"""


@dag(
    dag_id="dynamics_retry",
    dag_display_name="Dynamics: retry",
    description="Tries again what a run rejected or deferred, with today's action and mapping.",
    schedule=None,
    catchup=False,
    max_active_runs=4,
    tags=["dynamics", "retry", "by hand"],
    default_args=task_defaults(),
    params={
        "sync_run_id": Param(
            type="string",
            minLength=1,
            title="Run",
            description="Id of the sync run whose prospects are to be tried again.",
        ),
        "outcomes": Param(
            ["rejected", "deferred"],
            type="array",
            items={"type": "string"},
            examples=list(OUTCOMES),
            values_display=OUTCOMES,
            title="Which of its prospects",
            description="By their outcome in that run. Those that are still open there come along.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Decide and log every outcome, write nothing to Dynamics.",
        ),
        "workers": Param(
            2,
            type="integer",
            minimum=1,
            maximum=16,
            title="Workers",
            description="Tasks that share the work.",
            section="Speed",
        ),
    },
    doc_md=DOC,
)
def dynamics_retry() -> None:
    preflight = PreflightRetry(task_id="preflight")
    run_id = preflight.output
    discover = DiscoverProspects(task_id="discover", sync_run_id=run_id)
    sync = SyncProspects.partial(
        task_id="sync", sync_run_id=run_id, map_index_template="worker {{ task.worker + 1 }}"
    ).expand(worker=discover.output)
    report = ReportRun(task_id="report", sync_run_id=run_id, trigger_rule=TriggerRule.ALL_DONE)
    preflight >> discover >> sync >> report


dynamics_retry()
