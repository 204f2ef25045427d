"""Bulk sync, started by hand: chosen prospects into Dynamics under one sync action."""

from __future__ import annotations

from airflow.sdk import Param, dag
from airflow.task.trigger_rule import TriggerRule

from dynamics.operators.defaults import task_defaults
from dynamics.operators.sync import DiscoverProspects, PreflightRun, ReportRun, SyncProspects

CHECKS = ["none", "leads", "contacts", "leads_then_contacts", "contacts_then_leads"]
SEVERAL = {
    "update_most_recently_updated": "Update the one updated last",
    "update_least_recently_updated": "Update the one not updated for longest",
    "update_most_recently_created": "Update the newest one",
    "update_least_recently_created": "Update the oldest one",
    "skip": "Leave existing records alone",
    "hold_for_review": "Hold for a person to decide",
}
MATCH_BY = {"email": "E-mail only", "email_or_name": "E-mail, or first and last name"}
AS_ACTION = "Empty: as the sync action says."

DOC = """
### Syncs chosen prospects into Dynamics 365, by hand

Choose a sync action, and which prospects: by event, form, time of capture or id, or those of a file. Everything else is
as the action says, unless you override it for this run. With *Dry run* every outcome is decided and logged, and nothing
is written.

- **preflight** checks action, mapping, account and rights before anything is touched, and lists all faults at once.
- **discover** brings the chosen prospects into the run.
- **sync** writes: one task a worker, each taking prospects until none is left.
- **report** closes the run: every selected prospect has exactly one outcome, or the run is red.

**When it is red:** open the log of the red task; it ends with what was wrong and why. *preflight*: correct what it
lists, then trigger again. *report*: prospects were rejected; the log, and the button *Outcomes of this run*, say in
which column and why. Correct that, then start **Dynamics: retry** with the id of the run. Starting the same sync again
is harmless: nobody is written twice.
"""


def choice(words: list[str] | dict[str, str], title: str, description: str) -> Param:
    """An optional drop-down that overrides one setting of the sync action."""
    display = words if isinstance(words, dict) else {word: word.replace("_", " ").capitalize() for word in words}
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *display],
        values_display={"null": "As the sync action says", **display},
        title=title,
        description=description,
        section="Rules for this run only",
    )


def ids(title: str, description: str) -> Param:
    kind = {"type": ["null", "array"], "items": {"type": "string"}}
    return Param(None, **kind, title=title, description=description, section="Which prospects")


def instant(title: str, description: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date-time",
        title=title,
        description=description,
        section="Which prospects",
    )


@dag(
    dag_id="dynamics_bulk_sync",
    dag_display_name="Dynamics: bulk sync",
    description="Syncs chosen prospects into Dynamics 365, by hand.",
    schedule=None,
    catchup=False,
    max_active_runs=4,
    tags=["dynamics", "bulk", "by hand"],
    render_template_as_native_obj=False,
    default_args=task_defaults(),
    params={
        "action": Param(
            "booth-leads",
            type="string",
            title="Sync action",
            description="Name of a file in include/actions, without .yaml. It names account, mapping and rules.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Decide and log every outcome, write nothing to Dynamics.",
        ),
        "source": Param(
            "captello",
            type="string",
            enum=["captello", "file"],
            values_display={"captello": "Captello", "file": "A file"},
            title="Source",
            description="Where the prospects come from.",
            section="Which prospects",
        ),
        "file": Param(
            None,
            type=["null", "string"],
            title="File",
            description="For source 'A file': path of a .json, .jsonl or .csv file that the workers can read.",
            section="Which prospects",
        ),
        "captured_from": instant("Captured from", "Prospects captured at this time or later."),
        "captured_to": instant("Captured before", "Prospects captured before this time."),
        "event_ids": ids("Events", "Event ids, one a line. Empty: all events."),
        "form_ids": ids("Forms", "Form ids, one a line. Empty: all forms."),
        "prospect_ids": ids("Prospects", "Prospect ids, one a line. Empty: all prospects."),
        "account": Param(
            None,
            type=["null", "string"],
            title="Account",
            description=f"Connection id of the Dynamics account. {AS_ACTION}",
            section="Rules for this run only",
        ),
        "duplicate_check": choice(CHECKS, "Look for duplicates in", "Tables to search, in this order."),
        "match_by": choice(
            MATCH_BY,
            "Recognise a duplicate by",
            "What makes a record the same person. By name, a namesake with another e-mail address counts too.",
        ),
        "duplicate_action": choice(
            SEVERAL, "When records match", "Which of several is updated, or that existing records are left alone."
        ),
        "create": choice(["lead", "contact", "none"], "When no record matches", "What to create."),
        "max_rejected_percent": Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=100,
            title="Rejected prospects allowed, percent",
            description=f"The run is red when more are rejected. {AS_ACTION}",
            section="Rules for this run only",
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
def dynamics_bulk_sync() -> None:
    preflight = PreflightRun(task_id="preflight", trigger="bulk")
    run_id = preflight.output
    discover = DiscoverProspects(task_id="discover", sync_run_id=run_id)
    sync = SyncProspects.partial(
        task_id="sync", sync_run_id=run_id, map_index_template="worker {{ task.worker + 1 }}"
    ).expand(worker=discover.output)
    report = ReportRun(task_id="report", sync_run_id=run_id, trigger_rule=TriggerRule.ALL_DONE)
    preflight >> discover >> sync >> report


dynamics_bulk_sync()
