"""What the CRM held before the show: leads and contacts in the form `Organization.load` takes, with times and states.

`known` writes an older state of a person, which any sync must change; `equal` writes exactly what the default mapping
(`include/mappings/default`) makes of a plain prospect, so that a sync has nothing to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal
from uuid import UUID

from sandbox.sample.people import Person

Json = dict[str, Any]
# As include/mappings/default/values/industry.csv has them; what a company calls itself beyond these stays blank.
_INDUSTRY_CODES = {
    "Consulting": 7,
    "Durable Manufacturing": 12,
    "Food and Tobacco Processing": 17,
    "Petrochemical Extraction and Distribution": 24,
    "Transportation": 30,
    "Utility Creation and Distribution": 31,
}
Table = Literal["lead", "contact"]
Values = Mapping[str, str | None]

_OLD_TITLES = ("Trainee", "Apprentice", "Intern")  # nobody at the show calls themselves this
_CLOSED = {"lead": ((2, 4), (2, 5), (2, 7), (1, 3)), "contact": ((1, 2),)}  # (statecode, statuscode)


class Crm:
    """The tables while they are being written."""

    def __init__(self, rng: Random, before: datetime) -> None:
        self._rng = rng
        self._before = before
        self.tables: dict[str, list[Json]] = {"lead": [], "contact": []}
        self.strangers: dict[str, list[str]] = {"lead": [], "contact": []}

    def known(self, table: Table, person: Person, values: Values | None = None, *, closed: bool = False) -> str:
        """Add what was known of a person and return the record's id; `values` replace, `None` empties a column."""
        row = {
            "firstname": person.first,
            "lastname": person.last,
            "emailaddress1": person.email,
            "jobtitle": self._rng.choice(_OLD_TITLES),
            "telephone1": person.work.national if self._rng.random() < 0.3 else None,
            "address1_country": person.country.name,
        }
        if table == "lead":
            row |= {"companyname": person.company.name, "subject": "Website enquiry"}
        return self._add(table, row | dict(values or {}), closed=closed)

    def untouched(self, table: Table, person: Person, values: Values | None = None, *, closed: bool = False) -> str:
        """A record that no sync may change."""
        record_id = self.known(table, person, values, closed=closed)
        self.strangers[table].append(record_id)
        return record_id

    def equal(self, table: Table, prospect: Json) -> str:
        """Add what the default mapping makes of a plain prospect."""
        phones = {phone["kind"]: phone["e164"] for phone in prospect["phones"]}
        address = prospect["addresses"][0]
        row = {
            "firstname": prospect["first_name"],
            "lastname": prospect["last_name"],
            "emailaddress1": prospect["email"],
            "jobtitle": prospect["job_title"],
            "telephone1": phones["work"],
            "mobilephone": phones["mobile"],
            "address1_city": address["city"],
            "address1_stateorprovince": address.get("region"),
            "address1_postalcode": address["postal_code"],
            "address1_country": address["country"],
            "donotphone": prospect.get("privacy", {}).get("do_not_phone") or None,
        }
        if table == "lead":
            company = prospect["company"]
            row |= {
                "subject": "Met last year",
                "companyname": company["name"],
                "websiteurl": company["website"],
                "numberofemployees": company["employee_count"],
                "industrycode": _INDUSTRY_CODES.get(company["industry"]),
            }
        return self._add(table, row)

    def record_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def moment(self) -> datetime:
        """Some second of the three years before the show."""
        return self._before - timedelta(seconds=self._rng.randint(3600, 3 * 365 * 86400))

    def _add(self, table: Table, row: Json, *, closed: bool = False) -> str:
        created, modified = sorted((self.moment(), self.moment()))
        state, status = self._rng.choice(_CLOSED[table]) if closed else (0, 1)
        key = f"{table}id"
        full = {
            key: self.record_id(),
            "createdon": wire_time(created),
            "modifiedon": wire_time(modified),
            "statecode": state,
            "statuscode": status,
            **row,
        }
        self.tables[table].append({name: value for name, value in full.items() if value is not None})
        return str(full[key])


def wire_time(moment: datetime) -> str:
    """A time as the Web API writes it: UTC to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
