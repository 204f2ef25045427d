"""Decides which company a prospect works for, and which account of the organisation is that company.

Two spellings are one company if their keys are equal: a name without regard to case and blanks, or the host of a
website without `www.`. Reading and creating accounts is left to `dynamics.extras`. Source: Dataverse page "Filter
rows" (comparison of text ignores case and perhaps accents: what comes back is compared again here).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pandas as pd

from dynamics.core.crm import CandidateQuery, JsonObject
from dynamics.core.normalize import collapse, email_key
from dynamics.core.prospect import source_values
from dynamics.core.shared_domains import SHARED_DOMAINS

ACCOUNT = "account"
COMPANY_COLUMNS: Mapping[str, str] = {"lead": "parentaccountid", "contact": "parentcustomerid"}
_FORMS = ("{}", "www.{}", "{}/", "www.{}/")
_SCHEMES = ("", "http://", "https://")


class CompanyKey(StrEnum):
    """By what a company is recognised."""

    NAME = "name"
    WEBSITE = "website"
    EMAIL_DOMAIN = "email_domain"

    @property
    def column(self) -> str:
        """The account's column that says it."""
        return "name" if self is CompanyKey.NAME else "websiteurl"

    @property
    def paths(self) -> tuple[str, ...]:
        """Where a prospect says it; the first that is a key counts."""
        return _PATHS[self]


_PATHS: Mapping[CompanyKey, tuple[str, ...]] = {
    CompanyKey.NAME: ("company.name",),
    CompanyKey.WEBSITE: ("company.website", "company.domain"),
    CompanyKey.EMAIL_DOMAIN: ("email",),
}


def company_keys(frame: pd.DataFrame, by: CompanyKey) -> dict[int, str]:
    """Prospect key -> its company's key; prospects that name none are absent.

    Args:
        frame: as `prospect_frame` gives it, indexed by prospect key.
    """
    values = source_values(frame, by.paths)
    rows = zip(*(values[path] for path in by.paths), strict=True)
    found = {
        int(label): next((key for value in row if (key := company_key(value, by))), None)
        for label, row in zip(frame.index, rows, strict=True)
    }
    return {label: key for label, key in found.items() if key is not None}


def company_key(value: object, by: CompanyKey) -> str | None:
    """What two spellings of one company share; None when the value names none, or a domain that many share."""
    if not isinstance(value, str):
        return None
    if by is CompanyKey.NAME:
        return collapse(value).casefold() or None
    if by is CompanyKey.WEBSITE:
        return _host(value)
    return _domain(value)


def account_queries(by: CompanyKey, spellings: Mapping[str, Collection[str]]) -> list[CandidateQuery]:
    """What finds the active accounts of these companies.

    Args:
        spellings: company key -> how prospects write it.
    """
    if by is CompanyKey.NAME:
        texts = {collapse(text) for written in spellings.values() for text in written}
    else:
        hosts = [form.format(key) for key in spellings for form in _FORMS]
        texts = {scheme + host for scheme in _SCHEMES for host in hosts}
    return [CandidateQuery(ACCOUNT, ((by.column, tuple(sorted(texts))),), (by.column,))] if texts else []


def accounts_by_key(records: Iterable[JsonObject], by: CompanyKey) -> dict[str, tuple[UUID, int]]:
    """Company key -> its account, and how many there are: of several the one created first, ties by id."""
    found: dict[str, list[JsonObject]] = {}
    for record in records:
        said = record.get(by.column)
        key = company_key(said, CompanyKey.NAME if by is CompanyKey.NAME else CompanyKey.WEBSITE)
        if key is not None:
            found.setdefault(key, []).append(record)
    return {key: (UUID(_oldest(same)["@id"]), len(same)) for key, same in found.items()}


def _oldest(records: Sequence[JsonObject]) -> Mapping[str, Any]:
    return min(records, key=lambda record: (str(record.get("createdon")), record["@id"]))


def _host(text: str) -> str | None:
    """The host of an address as people write it, `www.` left out."""
    written = collapse(text).lower()
    try:
        host = urlsplit(written if "://" in written else f"//{written}").hostname or ""
    except ValueError:
        return None
    # A host in letters has the key of its IDNA form, as an e-mail's domain has.
    return _domain(f"x@{host.removeprefix('www.').rstrip('.')}")


def _domain(address: str) -> str | None:
    key = email_key(address)
    domain = key.rpartition("@")[2] if key else ""
    return domain if "." in domain and domain not in SHARED_DOMAINS else None
