"""From include/settings.yaml to Airflow's notifiers, each checked before it is used, and the addresses notices name."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from airflow.sdk import BaseNotifier
from airflow.sdk.configuration import conf

from dynamics.assembly import SyncService
from dynamics.config import Notice as NoticeSetting
from dynamics.config import load_settings, settings_fault
from dynamics.core.notices import Notice
from dynamics.errors import ConfigurationError, Fault
from dynamics.notices import Notices, Teller
from dynamics.store.audit import AuditLog
from dynamics.store.notices import NoticeBoard

if TYPE_CHECKING:
    from airflow.sdk import Context

_SAMPLE = Notice("a subject", "a text", "https://airflow.example")
_PLACE = re.compile(r"\{\{\s*(subject|text|url)\s*\}\}|\{(subject|text|url)\}")  # some write it as a template would


def notices_of(service: SyncService, context: Context) -> Notices:
    """What tells people of runs, in the task of `context`. Raises ConfigurationError: the settings have faults."""
    tellers = {name: _teller(setting, context) for name, setting in _checked(service.include).items()}
    return Notices(NoticeBoard(service.audit), AuditLog(service.audit), tellers, run_page)


def notifier_faults(include: Path) -> list[Fault]:
    """What is wrong with include/settings.yaml and the notifiers it names."""
    try:
        _checked(include)
    except ConfigurationError as wrong:
        return list(wrong.faults)
    return []


def run_page(run_id: UUID | str) -> str:
    """The address of a sync run's page, as people reach it."""
    return f"{_base()}/dynamics/runs/{run_id}"


def dag_run_page(dag_id: str, dag_run_id: str) -> str:
    """The address of a DAG run in Airflow's UI."""
    return f"{_base()}/dags/{quote(dag_id, safe='')}/runs/{quote(dag_run_id, safe='')}"


def _base() -> str:
    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


def _checked(include: Path) -> dict[str, NoticeSetting]:
    """Name -> setting. A notifier that stands there twice has two names."""
    named: dict[str, NoticeSetting] = {}
    faults = []
    for number, setting in enumerate(load_settings(include).notices):
        named[f"{setting.notifier}#{number + 1}"] = setting
        try:
            _class_of(setting.notifier)(**_filled(setting.arguments, _SAMPLE))
        except (ImportError, AttributeError):
            what = f"There is no notifier '{setting.notifier}'."
            remedy = "Correct the import path, or install the provider that brings it."
            faults.append(settings_fault(include, ("notices", number, "notifier"), what, remedy))
        except (TypeError, ValueError) as wrong:
            what = f"'{setting.notifier}' cannot be made with what stands in 'with' ({type(wrong).__name__})."
            remedy = "Its documentation says what it takes. It must be a notifier of Airflow."
            faults.append(settings_fault(include, ("notices", number, "with"), what, remedy))
    if faults:
        raise ConfigurationError(faults)
    return named


def _class_of(path: str) -> type[BaseNotifier]:
    """Raises ImportError or AttributeError: there is none. TypeError: it is no notifier."""
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise TypeError(path)
    return found


def _teller(setting: NoticeSetting, context: Context) -> Teller:
    def tell(notice: Notice) -> None:
        notifier = _class_of(setting.notifier)(**_filled(setting.arguments, notice))
        # What `notifier(context)` does, except that it would write the words of an error into the log.
        notifier._update_context(context)
        notifier.render_template_fields(context)
        notifier.notify(context)

    return tell


def _filled(arguments: Mapping[str, Any], notice: Notice) -> dict[str, Any]:
    """The arguments with the notice put in; escaped where an argument's name says that it is HTML."""
    return {name: _put(value, notice, escaped="html" in name) for name, value in arguments.items()}


def _put(value: Any, notice: Notice, escaped: bool) -> Any:
    if isinstance(value, Mapping):
        return {name: _put(item, notice, escaped) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_put(item, notice, escaped) for item in value]
    if not isinstance(value, str):
        return value
    parts = {"subject": notice.subject, "text": notice.text, "url": notice.url}

    def put(place: re.Match[str]) -> str:
        text = _inert(parts[place[1] or place[2]])
        return html.escape(text) if escaped else text

    return _PLACE.sub(put, value)


def _inert(text: str) -> str:
    """Text that is no template, whatever stands around it: Airflow renders the fields of a notifier by Jinja, with
    connections at hand, and some words of a notice are those of whoever started the run."""
    return text.replace("{", "{ ")
