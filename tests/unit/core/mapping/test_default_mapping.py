"""The shipped mapping set: it reads, fits a stock Sales organisation, and does what its comments say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dynamics.config.columns import read_columns
from dynamics.core.mapping import (
    Mapping,
    WriteMode,
    apply_mapping,
    check_mapping,
    missing_required,
    parse_mapping,
    parse_value_table,
    update_values,
)
from dynamics.core.policy import Check, CreateRule, MatchBy, Several
from tests.unit.core.builders import chunk, prospect, submission

INCLUDE = Path(__file__).parents[4] / "include"
SET = INCLUDE / "mappings" / "default"

STOCK = {name: read_columns(INCLUDE, SET.name, name)[0] for name in ("lead", "contact", "account")}
NOTE = {"id": "not_1", "text": "Wants a visit.", "created_at": "2026-03-04T09:00:00.000Z"}
INES = prospect(
    first_name=" Ines ",
    last_name="Okafor",
    email="Ines.Okafor@Example.com",
    phones=[
        {"raw": "020 7946 0018", "kind": "work"},
        {"raw": "07400 123456", "e164": "+447400123456", "kind": "mobile"},
    ],
    job_title="Plant Engineer",
    company={"name": "Northmoor Valves", "website": "https://northmoor.example"},
    addresses=[{"kind": "work", "city": "Leeds", "postal_code": "01067", "country_code": "GB"}],
    privacy={"do_not_email": False, "do_not_phone": True},
    notes=[NOTE],
    submissions=[
        submission(
            event={"id": "evt_1", "name": "Flow Expo"},
            answers=[{"element_id": "el_1", "question": "When will you buy?", "value": "q2", "labels": ["Summer"]}],
        )
    ],
)


def load(name: str) -> Mapping:
    tables = {
        path.stem: parse_value_table(path.read_text("utf-8"), path.name) for path in (SET / "values").glob("*.csv")
    }
    return parse_mapping(name, (SET / f"{name}.csv").read_text("utf-8"), f"{name}.csv", tables)


def mapped(name: str, payload: dict[str, Any]) -> dict[str, object]:
    result = apply_mapping(load(name), chunk(payload), STOCK[name])
    assert not result.rejects
    return update_values(result, 100)


@pytest.mark.parametrize("name", ["lead", "contact", "account"])
def test_it_fits_a_stock_organisation(name: str) -> None:
    assert check_mapping(load(name), STOCK[name], creates=True) == []


def test_a_lead() -> None:
    assert mapped("lead", INES) == {
        "subject": "Ines Okafor – Flow Expo",
        "firstname": "Ines",
        "lastname": "Okafor",
        "emailaddress1": "ines.okafor@example.com",
        "telephone1": "+442079460018",
        "mobilephone": "+447400123456",
        "companyname": "Northmoor Valves",
        "jobtitle": "Plant Engineer",
        "websiteurl": "https://northmoor.example",
        "address1_city": "Leeds",
        "address1_postalcode": "01067",
        "address1_country": "United Kingdom",
        "description": "Wants a visit.\nWhen will you buy? Summer",
        "donotphone": True,
    }


def test_a_contact_has_no_company_column() -> None:
    values = mapped("contact", INES)
    assert values["lastname"] == "Okafor"
    assert not {"subject", "companyname", "leadsourcecode", "websiteurl"} & values.keys()


def test_a_person_without_a_last_name_makes_no_lead() -> None:
    values = mapped("lead", prospect(email="info@example.com", submissions=INES["submissions"]))
    assert missing_required(STOCK["lead"], values) == ["lastname"]


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"job_title": "x" * 101}, "jobtitle"),
        ({"phones": [{"raw": "ask for me at 555 01 99", "kind": "mobile"}]}, "mobilephone"),
    ],
)
def test_what_is_too_long_is_rejected(values: dict[str, Any], column: str) -> None:
    result = apply_mapping(load("lead"), chunk(INES | values), STOCK["lead"])
    assert result.rejects[100].column == column


def test_a_description_too_long_is_cut() -> None:
    result = apply_mapping(load("lead"), chunk(INES | {"notes": [NOTE | {"text": "x" * 2500}]}), STOCK["lead"])
    assert not result.rejects
    assert result.values.at[100, "description"] == "x" * 2000


def test_what_sales_people_own_is_set_once_or_added_to() -> None:
    modes = load("lead").write_modes
    assert modes["subject"] is modes["leadsourcecode"] is WriteMode.CREATE_ONLY
    assert modes["description"] is WriteMode.APPEND


def test_the_shipped_action_speaks_the_policy_s_words() -> None:
    action = yaml.safe_load((INCLUDE / "actions" / "booth-leads.yaml").read_text("utf-8"))
    duplicates = action["duplicates"]
    assert Check(duplicates["check"]) is Check.CONTACTS_THEN_LEADS
    assert MatchBy(duplicates["match_by"]) is MatchBy.EMAIL_OR_NAME
    assert Several(duplicates["several"]) is Several.UPDATE_MOST_RECENTLY_UPDATED
    assert CreateRule(action["create"]) is CreateRule.LEAD
    assert action["mapping"] == SET.name
