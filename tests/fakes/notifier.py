"""A notifier of Airflow that keeps what it was given, or fails in the words of a mail server."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseNotifier


class KeepingNotifier(BaseNotifier):
    """Keeps (subject, text, url) of each notice."""

    template_fields = ("subject", "text")
    kept: ClassVar[list[tuple[str, str, str]]] = []

    def __init__(self, subject: str, text: str = "", url: str = "", html_body: str = "") -> None:
        super().__init__()
        if not subject:
            raise ValueError("no subject: s3cret")
        self.subject, self.text, self.url, self.html_body = subject, text, url, html_body

    def notify(self, context: Any) -> None:
        self.kept.append((self.subject, self.text, self.url or self.html_body))


class BrokenNotifier(KeepingNotifier):
    """Cannot reach its server."""

    def notify(self, context: Any) -> None:
        raise OSError("smtp://user:s3cret@mail.example refused")
