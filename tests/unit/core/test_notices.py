"""When somebody is told of a run, and in which words."""

from __future__ import annotations

import pytest

from dynamics.core.notices import LINES, Health, Standing, ended, not_begun, waiting_after

GOOD, FAILED = Health
BOTH = ("mail", "chat")
ABOUT = ("booth-leads", "automation")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, GOOD, ()),
        (None, FAILED, BOTH),
        (Standing(GOOD), GOOD, ()),
        (Standing(GOOD), FAILED, BOTH),
        (Standing(FAILED), FAILED, ()),
        (Standing(FAILED), GOOD, BOTH),
        (Standing(FAILED, ("chat",)), FAILED, ("chat",)),
        (Standing(FAILED, ("chat",)), GOOD, BOTH),
        (Standing(FAILED, ("taken out", "mail")), FAILED, ("mail",)),
    ],
)
def test_only_a_change_is_told_and_whoever_was_not_reached_hears_of_it_later(
    before: Standing | None, now: Health, told: tuple[str, ...]
) -> None:
    assert waiting_after(before, now, BOTH) == told


def test_a_failed_run_is_told_with_its_balance_the_reasons_and_the_causes() -> None:
    problems, causes = ["3 prospects were rejected"], ["2 rejected: required, column lastname", "1 rejected: too_long"]
    notice = ended(FAILED, ABOUT, "run-1", "9 selected = 6 created", problems, causes, "https://a.example/r")
    assert notice.subject == "Dynamics sync failed: booth-leads (automation)"
    assert notice.text.splitlines() == [
        "Run run-1: 9 selected = 6 created.",
        "",
        "Why it is red:",
        "- 3 prospects were rejected",
        "",
        "Most common causes:",
        "- 2 rejected: required, column lastname",
        "- 1 rejected: too_long",
    ]
    assert notice.url == "https://a.example/r"


def test_a_run_that_is_good_again_is_told_in_two_lines() -> None:
    notice = ended(GOOD, ABOUT, "run-2", "9 selected = 9 unchanged", [], ["1 skipped: exists"], "u")
    assert notice.subject == "Dynamics sync works again: booth-leads (automation)"
    assert notice.text == "Run run-2: 9 selected = 9 unchanged."


def test_a_run_that_did_not_begin_is_told_with_what_must_be_done_and_not_without_end() -> None:
    notice = not_begun(ABOUT, [f"  fault {number}" for number in range(LINES + 3)], "u")
    assert notice.subject == "Dynamics sync cannot start: booth-leads (automation)"
    lines = notice.text.splitlines()
    assert lines[2:4] == ["What must be done:", "- fault 0"]
    assert lines[-1] == "- and 3 more"
