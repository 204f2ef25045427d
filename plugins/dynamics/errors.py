"""Every exception of this project, in one tree cut by what to do next.

An error carries the operation, the table, the HTTP status, the service's code and its request id; never a body, a
token or a person. What a row may expect (unchanged, ambiguous, refused) is a value: see `dynamics.core`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DynamicsError(Exception):
    """Base of the tree. `operation` is a verb ("create", "query"), `subject` a table, entity set or connection id."""

    def __init__(
        self,
        operation: str,
        subject: str = "",
        *,
        detail: str = "",
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.operation = operation
        self.subject = subject
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id
        facts = [
            f"HTTP {status}" if status is not None else "",
            f"code {code}" if code else "",
            f"request id {request_id}" if request_id else "",
        ]
        known = ", ".join(fact for fact in facts if fact)
        head = f"{operation} {subject}".strip()
        super().__init__(": ".join(p for p in (head, detail) if p) + (f" ({known})" if known else ""))


class AccountError(DynamicsError):
    """Nothing can be written until a person acts: stop, leave every prospect pending."""


class AccessError(AccountError):
    """We are not let in: sign-in refused, user disabled, privilege missing. May pass while a secret is exchanged."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong in what a person configured: where it stands, what is wrong, what to do.

    `column`: the CRM's column that it is about, where it is about one; `what` names it as well.
    """

    file: str
    line: int | None
    what: str
    remedy: str
    column: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}".strip()

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}" if self.line is not None else self.file


class ConfigurationError(AccountError):
    """Configuration that cannot be used. Holds every fault that was found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(set(faults), key=lambda f: (f.file, f.line or 0, f.what)))
        count = len(self.faults)
        heading = f"{count} fault{'' if count == 1 else 's'} in the configuration"
        super().__init__("check", "", detail="\n".join([heading, *(f"  {fault}" for fault in self.faults)]))


class NoConnectionError(ConfigurationError):
    """There is no connection of this id, or none any more."""


class ContractError(AccountError):
    """The other system answered with something its own contract rules out."""


class TransientError(DynamicsError):
    """The service cannot serve now: back off and come again; nothing was written."""

    def __init__(
        self, operation: str, subject: str = "", *, retry_after_s: float | None = None, **facts: object
    ) -> None:
        super().__init__(operation, subject, **facts)  # type: ignore[arg-type]
        self.retry_after_s = retry_after_s


class RateLimitedError(TransientError):
    """A service protection limit was met (HTTP 429)."""


class ServiceUnavailableError(TransientError):
    """The service, a gateway or the network failed before it took the request."""


class StoppedError(TransientError):
    """This process was asked to stop: nothing more is sent, and what is in hand is given back."""


class OutcomeUnknownError(DynamicsError):
    """A write may have landed: read the record by its id before anything else is decided."""
