"""Notifiers of include/settings.yaml: checked at load, filled with the notice, and no template of what it says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dynamics.core.notices import Notice
from dynamics.errors import ConfigurationError
from dynamics.hooks import notifiers
from dynamics.hooks.notifiers import dag_run_page, notices_of, notifier_faults, run_page
from tests.fakes.notifier import KeepingNotifier

KEEPING = "tests.fakes.notifier.KeepingNotifier"
SHIPPED = Path(__file__).resolve().parents[3] / "include"


def settings(folder: Path, text: str) -> Path:
    (folder / "settings.yaml").write_text(text)
    return folder


def tell(include: Path, notice: Notice) -> list[tuple[str, str, str]]:
    KeepingNotifier.kept.clear()
    made = notices_of(SimpleNamespace(include=include, audit=None), {})  # type: ignore[arg-type]
    for teller in made.tellers.values():
        teller(notice)
    return KeepingNotifier.kept


def test_a_notice_stands_where_its_parts_are_named(tmp_path: Path) -> None:
    include = settings(
        tmp_path,
        f'notices:\n  - notifier: {KEEPING}\n    with: {{subject: "[crm] {{subject}}", text: "{{text}} {{url}}"}}\n'
        f'  - notifier: {KEEPING}\n    with: {{subject: s, html_body: "<b>{{text}}</b>"}}\n',
    )
    kept = tell(include, Notice("failed", "a < b", "https://a.example/r"))
    assert kept == [("[crm] failed", "a < b https://a.example/r", ""), ("s", "", "<b>a &lt; b</b>")]


@pytest.mark.parametrize("around", ["{text}", "{{text}}", "{{ text }}", "say {text} twice"])
@pytest.mark.parametrize("opened", ["{{", "{{{", "{{{{", "{{{{{", "{%", "{{%", "{#"])
def test_words_of_a_notice_are_never_a_template(opened: str, around: str, tmp_path: Path) -> None:
    words = f"{opened} 6 * 7 }}}}}} #}} %}}"
    include = settings(tmp_path, f'notices: [{{notifier: {KEEPING}, with: {{subject: s, text: "{around}"}}}}]\n')
    ((_, text, _),) = tell(include, Notice("s", words, "u"))
    said = words.replace("{", "{ ")
    assert text == (f"say {said} twice" if "say" in around else said)


def test_all_that_is_wrong_is_told_at_once_and_in_no_words_of_the_notifier(tmp_path: Path) -> None:
    include = settings(
        tmp_path,
        "notices:\n"
        "  - notifier: dynamics.nowhere.Notifier\n"
        "  - notifier: tests.fakes.notifier.NoSuchNotifier\n"
        "  - notifier: pathlib.Path\n    with: {}\n"
        f"  - notifier: {KEEPING}\n    with: {{subjekt: a}}\n"
        f"  - notifier: {KEEPING}\n    with: {{subject: ''}}\n",
    )
    told = [str(fault) for fault in notifier_faults(include)]
    assert [line.split(": ")[0] for line in told] == [f"include/settings.yaml:{line}" for line in (2, 3, 5, 7, 9)]
    assert "There is no notifier 'dynamics.nowhere.Notifier'." in told[0]
    assert "s3cret" not in "".join(told)
    with pytest.raises(ConfigurationError):
        tell(include, Notice("s", "t", "u"))


def test_the_shipped_settings_and_their_example_can_be_used(tmp_path: Path) -> None:
    assert notifier_faults(SHIPPED) == []
    head, _, example = (SHIPPED / "settings.yaml").read_text().partition("# notices:")
    lines = ["# notices:", *example.splitlines()]
    include = settings(tmp_path, head + "\n".join(line.removeprefix("# ") for line in lines if line != "# notices:\n"))
    assert notifier_faults(include) == []


def test_addresses_are_those_people_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def configured(*_: Any, **__: Any) -> str:
        return "https://airflow.example/team/"

    monkeypatch.setattr(notifiers.conf, "get", configured)
    assert run_page("r1") == "https://airflow.example/team/dynamics/runs/r1"
    page = dag_run_page("dynamics_bulk_sync", "manual__2026-03-14T09:00:00+00:00")
    assert page.startswith("https://airflow.example/team/dags/dynamics_bulk_sync/runs/manual__2026-03-14T09%3A00")
