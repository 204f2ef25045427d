"""What a retry asks for: the run's own rules and account, today's action, and only what is left to do."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest

from dynamics.core.ledger import Outcome, Run
from dynamics.errors import ConfigurationError
from dynamics.run_request import (
    Retried,
    RunRequest,
    frozen,
    outcomes_to_retry,
    retried_of,
    retry_of,
    run_id_from,
)
from tests.contract.store.samples import new_run

RUN = UUID("00000000-0000-4000-8000-000000000001")


def ran(request: RunRequest, account: str = "dynamics_default") -> Run:
    settings = {"action": {}, "request": json.loads(json.dumps(frozen(request)))}
    return replace(new_run(), run_id=RUN, settings=settings, account=account)


def test_a_retry_keeps_what_its_run_overrode_and_stays_in_its_account() -> None:
    first = RunRequest("booth-leads", "bulk", {"create": "none", "account": "dynamics_sandbox"}, file="people.csv")
    retry = retry_of(ran(first, account="dynamics_sandbox"), (), dry_run=True)
    assert (retry.action, retry.trigger, retry.source, retry.file) == ("booth-leads", "retry", "ledger", None)
    assert retry.overrides == {"create": "none", "account": "dynamics_sandbox"}
    assert (retry.dry_run, retry.retried) == (True, Retried(RUN, (Outcome.REJECTED, Outcome.DEFERRED)))
    assert retry_of(ran(RunRequest("booth-leads", "bulk", {})), ()).overrides == {"account": "dynamics_default"}


def test_a_retry_can_be_retried_and_a_run_of_before_can_be_too() -> None:
    retry = retry_of(ran(RunRequest("a", "bulk", {"match_by": "email"})), [Outcome.SKIPPED])
    again = retry_of(ran(retry), ())
    assert again.overrides == {"match_by": "email", "account": "dynamics_default"}
    assert retried_of(frozen(retry)) == Retried(RUN, (Outcome.SKIPPED,))
    before = replace(new_run(), settings={"action": {}, "request": {"source": "captello"}})
    assert retry_of(before, ()).overrides == {"account": "dynamics_default"}


def test_only_what_is_not_in_the_crm_can_be_retried() -> None:
    assert outcomes_to_retry(["deferred", "skipped"]) == (Outcome.DEFERRED, Outcome.SKIPPED)
    with pytest.raises(ConfigurationError, match="'created' is nothing to retry") as wrong:
        outcomes_to_retry(["created", "rejekted", "rejected"])
    assert len(wrong.value.faults) == 2


@pytest.mark.parametrize("text", [None, "", "booth-leads", "b7a1c2d3"])
def test_what_can_be_no_run_is_told(text: str | None) -> None:
    with pytest.raises(ConfigurationError, match="sync_run_id is no id of a run"):
        run_id_from(text, "sync_run_id")
    assert run_id_from(f" {RUN} ", "sync_run_id") == RUN
