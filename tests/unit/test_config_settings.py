"""include/settings.yaml: defaults without it, and all its faults at once with line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamics.config import Settings, load_settings
from dynamics.errors import ConfigurationError

SHIPPED = Path(__file__).resolve().parents[2] / "include"


def faults_of(folder: Path, text: str) -> list[str]:
    (folder / "settings.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(folder)
    return [str(fault) for fault in caught.value.faults]


def test_without_the_file_and_with_nothing_but_comments_the_defaults_count(tmp_path: Path) -> None:
    assert load_settings(tmp_path) == Settings()
    (tmp_path / "settings.yaml").write_text("# to come\n")
    assert load_settings(tmp_path) == Settings()
    assert Settings().notices == ()


def test_the_shipped_file_says_what_the_defaults_are_and_its_example_of_a_notice_can_be_used(tmp_path: Path) -> None:
    assert load_settings(SHIPPED) == Settings()
    text = (SHIPPED / "settings.yaml").read_text()
    head, _, example = text.partition("# notices:")
    uncommented = "\n".join(line.removeprefix("# ") for line in ("# notices:" + example).splitlines())
    (tmp_path / "settings.yaml").write_text(head + uncommented)
    (notice,) = load_settings(tmp_path).notices
    assert notice.notifier == "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
    assert notice.arguments["subject"] == "{subject}"


def test_days_may_be_never(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("retention: {personal_data_days: null, audit_days: null}\n")
    retention = load_settings(tmp_path).retention
    assert (retention.personal_data_days, retention.audit_days) == (None, None)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = faults_of(
        tmp_path,
        "retention:\n  personal_data_days: 0\n  audit_days: soon\n  webhook_delivery_days: 3\n"
        "linx: {}\nnotices:\n  - with: {to: a}\n  - notifier: no path\n",
    )
    assert [line.partition(": ")[0] for line in told] == [f"include/settings.yaml:{n}" for n in (2, 3, 4, 5, 7, 8)]
    assert "'retention.webhook_delivery_days' should be greater than or equal to 7" in told[2]
    assert "There is no setting 'linx'. Did you mean 'links'?" in told[3]
    assert "'notices.1.notifier' is missing" in told[4]


def test_yaml_that_cannot_be_read_is_a_fault_of_its_line(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "retention:\n  audit_days: [\n")[0].startswith("include/settings.yaml:")
