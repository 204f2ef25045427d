"""Prospects, frames and table metadata in as few words as a test needs."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
from hypothesis import settings

from dynamics.core.metadata import Column, DateBehavior, RequiredLevel, TableMetadata
from dynamics.core.prospect import prospect_frame

modest = settings(deadline=None, max_examples=60, derandomize=bool(os.environ.get("CI")))


def submission(**values: Any) -> dict[str, Any]:
    plain = {
        "id": "sub_00000001",
        "captured_at": "2026-03-04T09:00:00.000Z",
        "method": "badge_scan",
        "state": "complete",
    }
    return plain | values


def prospect(**values: Any) -> dict[str, Any]:
    plain = {"id": "pro_00000001", "revision": 1, "status": "active", "updated_at": "2026-03-05T08:00:00.000Z"}
    return plain | {"submissions": [submission()]} | values


def items(*payloads: dict[str, Any]) -> pd.DataFrame:
    """The rows of a claim, labelled 100, 101, ..."""
    labels = range(100, 100 + len(payloads))
    columns: dict[str, Any] = {
        "prospect_key": pd.Series(labels, dtype="int64"),
        "source": pd.Series(["captello"] * len(payloads), dtype="str"),
        "prospect_id": pd.Series([payload["id"] for payload in payloads], dtype="str"),
        "revision": pd.Series([payload.get("revision", 1) for payload in payloads], dtype="int64"),
        "payload": pd.Series(list(payloads), dtype=object),
        "fence": pd.Series([1] * len(payloads), dtype="int64"),
        "attempts": pd.Series([0] * len(payloads), dtype="int64"),
    }
    return pd.DataFrame(columns).set_index("prospect_key", drop=False)


def chunk(*payloads: dict[str, Any]) -> pd.DataFrame:
    return prospect_frame(items(*payloads))


def table(*columns: Column, name: str = "lead") -> TableMetadata:
    return TableMetadata(name, f"{name}s", f"{name}id", {column.logical_name: column for column in columns})


def text(name: str, length: int | None = 100, **facts: Any) -> Column:
    return Column(name, "String", max_length=length, **facts)


CAMPAIGN = table(
    Column("campaignid", "Uniqueidentifier"),
    text("name"),
    text("codename", 32),
    Column("statecode", "State"),
    name="campaign",
)
USER = table(
    Column("systemuserid", "Uniqueidentifier"),
    text("internalemailaddress"),
    Column("isdisabled", "Boolean"),
    name="systemuser",
)
LEAD = table(
    text("subject", 300, required=RequiredLevel.APPLICATION),
    text("firstname", 50),
    text("lastname", 50, required=RequiredLevel.APPLICATION),
    text("emailaddress1"),
    text("jobtitle"),
    text("mobilephone", 20),
    text("telephone1", 50),
    Column("description", "Memo", max_length=2000),
    Column("leadsourcecode", "Picklist", options={1: "Advertisement", 7: "Trade Show"}),
    Column("numberofemployees", "Integer", minimum=0, maximum=1_000_000),
    Column("budgetamount", "Money", minimum=0, maximum=1e12, precision=2),
    Column("donotphone", "Boolean"),
    Column("estimatedclosedate", "DateTime", behavior=DateBehavior.DATE_ONLY),
    Column("lastonholdtime", "DateTime"),
    Column("campaignid", "Lookup", navigation={"campaign": "campaignid"}),
    Column("customerid", "Customer", navigation={"account": "customerid_account", "contact": "customerid_contact"}),
    Column("ownerid", "Owner", RequiredLevel.SYSTEM, navigation={"systemuser": "ownerid", "team": "ownerid"}),
    Column("leadid", "Uniqueidentifier", RequiredLevel.SYSTEM, updatable=False),
    Column("importsequencenumber", "Integer", updatable=False),
    Column("lastusedincampaign", "DateTime", creatable=False),
    text("fullname", 160, creatable=False, updatable=False),
    Column("entityimage", "Image"),
)
