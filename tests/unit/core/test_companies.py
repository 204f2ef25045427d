"""Which company a prospect names, and which account is that company."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.companies import CompanyKey, account_queries, accounts_by_key, company_key, company_keys
from tests.unit.core.builders import chunk, prospect

NAME, WEBSITE, DOMAIN = CompanyKey.NAME, CompanyKey.WEBSITE, CompanyKey.EMAIL_DOMAIN


@pytest.mark.parametrize(
    ("by", "written", "key"),
    [
        (NAME, "  Orel\u00a0 Labs ", "orel labs"),
        (NAME, "STRASSE GmbH", company_key("Straße GmbH", NAME)),
        (NAME, "", None),
        (NAME, "   ", None),
        (NAME, None, None),
        (NAME, 7, None),
        (WEBSITE, "https://www.Orel.test/de/?a=b", "orel.test"),
        (WEBSITE, "orel.test", "orel.test"),
        (WEBSITE, "http://orel.test:8080", "orel.test"),
        (WEBSITE, "https://münchen.test", "xn--mnchen-3ya.test"),
        (WEBSITE, "https://www.linkedin.com/company/orel", None),
        (WEBSITE, "none", None),
        (WEBSITE, "http://[broken", None),
        (DOMAIN, "Ana@Orel.test", "orel.test"),
        (DOMAIN, "ana@gmail.com", None),
        (DOMAIN, "ana", None),
        (DOMAIN, "ana@localhost", None),
    ],
)
def test_a_company_is_recognised_by_its_key(by: CompanyKey, written: object, key: str | None) -> None:
    assert company_key(written, by) == key


@given(st.text(), st.sampled_from(CompanyKey))
def test_whatever_people_write_is_a_key_of_itself_or_none(text: str, by: CompanyKey) -> None:
    key = company_key(text, by)
    again = company_key(f"x@{key}" if by is DOMAIN else key, by) if key else None
    assert again == key


def test_the_domain_stands_in_for_a_website_that_is_not_given() -> None:
    people = [prospect(company={"domain": "orel.test"}), prospect(company={"website": "x", "domain": "orel.test"})]
    assert list(company_keys(chunk(*people), WEBSITE).values()) == ["orel.test", "orel.test"]


def test_a_website_is_asked_for_in_the_ways_people_write_it() -> None:
    [query] = account_queries(WEBSITE, {"orel.test": ()})
    [(column, texts)] = query.where
    assert column == "websiteurl"
    assert {"orel.test", "https://www.orel.test/", "http://orel.test"} <= set(texts)


def test_of_several_accounts_the_one_created_first_is_the_company() -> None:
    old, new = UUID(int=9), UUID(int=1)
    records = [
        {"@id": str(new), "name": "OREL labs", "createdon": "2026-02-01T00:00:00Z"},
        {"@id": str(old), "name": "Orel Labs", "createdon": "2025-02-01T00:00:00Z"},
        {"@id": str(UUID(int=3)), "name": "Orël Labs", "createdon": "2024-02-01T00:00:00Z"},
    ]
    assert accounts_by_key(records, NAME)["orel labs"] == (old, 2)
