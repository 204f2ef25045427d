"""A `lead` table as years of use in a company have left it: other industries, further lead sources and statuses, other
lengths and required levels, a required column and a polymorphic lookup of the company's own.

The standard of comparison is the shipped table. Source: what live organisations were seen to differ in; the labels are
made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sandbox.dataverse.schema import Column, Option, Table
from sandbox.dataverse.shipped import companions

INDUSTRIES = {
    34: "Aerospace",
    35: "Automotive",
    36: "Chemicals",
    37: "Energy",
    38: "Finance",
    39: "Healthcare",
    40: "Logistics",
    41: "Machinery",
    42: "Public Sector",
    43: "Retail",
}
FURTHER_OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "leadsourcecode": (
        Option(192350000, "Webinar"),
        Option(192350100, "Partner Portal"),
        Option(192350101, "Partner Event"),
    ),
    "statuscode": (Option(804240004, "Nurturing", 0), Option(823270000, "No Budget", 2)),
}
CHANGED: Mapping[str, Mapping[str, object]] = {
    "subject": {"max_length": 50},
    "firstname": {"max_length": 450},
    "lastname": {"required": "None"},
    "description": {"max_length": 4151, "required": "ApplicationRequired"},
}
LOOKUP, LOOKUP_TARGETS = "new_SponsorId", ("account", "contact")


def drifted(table: Table) -> Table:
    """The shipped `lead` table with all of it."""
    columns = dict(table.columns)
    columns["industrycode"] = replace(
        columns["industrycode"], options=tuple(Option(value, label) for value, label in INDUSTRIES.items())
    )
    for name, options in FURTHER_OPTIONS.items():
        columns[name] = replace(columns[name], options=(*columns[name].options, *options))
    for name, facts in CHANGED.items():
        columns[name] = replace(columns[name], **facts)  # type: ignore[arg-type]
    own = [
        Column(table.name, "new_region", "new_Region", "String", max_length=40, required="SystemRequired"),
        Column(
            table.name,
            LOOKUP.lower(),
            LOOKUP,
            "Lookup",
            navigation={target: f"{LOOKUP}_{target}" for target in LOOKUP_TARGETS},
        ),
    ]
    columns |= {column.name: column for column in (*own, *companions(own))}
    return replace(table, columns=columns)
