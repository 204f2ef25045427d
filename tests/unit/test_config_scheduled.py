"""The actions that the DAG folder makes DAGs of, also when one of them is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamics.config import action_faults, scheduled_actions

GOOD = """\
account: dynamics_default
duplicates: {check: leads}
create: lead
triggers:
  automation:
    schedule: "*/5 * * * *"
    where: {event_id: [evt_1, evt_2], tags: vip, answers: {ready: true}, consent: {marketing: granted}}
"""


@pytest.fixture
def include(tmp_path: Path) -> Path:
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "good.yaml").write_text(GOOD)
    return tmp_path


def test_an_action_without_an_automation_is_none_of_them(include: Path) -> None:
    (include / "actions" / "by-hand.yaml").write_text(GOOD[: GOOD.index("triggers")])
    assert [found.name for found in scheduled_actions(include)] == ["good"]


@pytest.mark.parametrize(
    ("broken", "stays"),
    [
        (GOOD.replace("create: lead", "create: leed"), True),
        (GOOD.replace("tags: vip", "tag: vip"), True),
        (GOOD.replace("*/5 * * * *", "hourly"), False),
        (GOOD.replace("triggers", "trigers"), False),
        ("account: [", False),
        ("triggers: 5\n", False),
    ],
)
def test_a_broken_action_takes_no_other_with_it_and_stays_while_its_schedule_can_be_read(
    include: Path, broken: str, stays: bool
) -> None:
    (include / "actions" / "broken.yaml").write_text(broken)
    found = {action.name: action for action in scheduled_actions(include)}
    assert set(found) == ({"good", "broken"} if stays else {"good"})
    assert found["good"].action is not None
    assert all(fault.file == "include/actions/broken.yaml" for fault in action_faults(include))
    assert action_faults(include)
    if stays:
        assert found["broken"].automation.schedule == "*/5 * * * *"
        assert "has faults" in found["broken"].doc("automation")


def test_the_page_of_a_dag_tells_the_rules(include: Path) -> None:
    (found,) = scheduled_actions(include)
    told = found.doc("automation")
    for text in (
        "event is `evt_1` or `evt_2`",
        "tags hold `vip`",
        "answer to `ready` is `True`",
        "consent to `marketing` is `granted`",
        "`include/actions/good.yaml`",
    ):
        assert text in told
    assert "airflow backfill create --dag-id dynamics_backfill__good" in found.doc("backfill")
    assert action_faults(include) == []
