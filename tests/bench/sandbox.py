"""Rows per second of CreateMultiple and of `In` through `Organization.handle`, on one core, JSON included.

Run by hand: `python -m tests.bench.sandbox`. 100,000 leads of 12 columns in requests of 500.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID, uuid5

import orjson

from sandbox.dataverse import Caller, Organization, Request

ROWS, CHUNK = 100_000, 500
_SPACE = UUID(int=7)


def main() -> None:
    """Print the figures."""
    organization = Organization(UUID(int=1), "https://localhost:8444", lambda: datetime(2026, 3, 14, tzinfo=UTC))
    organization.register_application_user("bench", "Bench")
    caller = organization.caller_for("bench")
    assert caller is not None
    creates = [_create(caller, start) for start in range(0, ROWS, CHUNK)]
    print(f"CreateMultiple: {_rate(organization, creates):>9,.0f} rows/s")
    queries = [_query(caller, start) for start in range(0, ROWS, CHUNK)]
    print(f"In, first pass: {_rate(organization, queries):>9,.0f} rows/s (builds the index)")
    print(f"In:             {_rate(organization, queries):>9,.0f} rows/s")
    more = [_create(caller, start) for start in range(ROWS, 2 * ROWS, CHUNK)]
    print(f"CreateMultiple: {_rate(organization, more):>9,.0f} rows/s (with that index)")


def _rate(organization: Organization, requests: list[Request]) -> float:
    begun, rows = time.perf_counter(), 0
    for request in requests:
        response = organization.handle(request)
        assert response.status == 200, response.body
        rows += response.rows
    return rows / (time.perf_counter() - begun)


def _email(number: int) -> str:
    return f"person.{number:07}@example.test"


def _create(caller: Caller, start: int) -> Request:
    targets = [
        {
            "@odata.type": "Microsoft.Dynamics.CRM.lead",
            "leadid": str(uuid5(_SPACE, str(number))),
            "subject": "HIMSS booth 212",
            "firstname": f"Ana {number % 997}",
            "lastname": f"Ruiz-Müller {number}",
            "companyname": "Orel Labs GmbH",
            "jobtitle": "Head of Purchasing",
            "emailaddress1": _email(number),
            "telephone1": "+49 30 5550100",
            "address1_city": "Berlin",
            "address1_country": "Germany",
            "leadsourcecode": 7,
            "donotemail": False,
        }
        for number in range(start, start + CHUNK)
    ]
    body = orjson.dumps({"Targets": targets})
    return Request("POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", (), {}, body, caller)


def _query(caller: Caller, start: int) -> Request:
    values = orjson.dumps([_email(number) for number in range(start, start + CHUNK)]).decode()
    text = f"Microsoft.Dynamics.CRM.In(PropertyName='emailaddress1',PropertyValues={values}) and statecode eq 0"
    select = "leadid,emailaddress1,firstname,lastname,statecode,createdon,modifiedon,_ownerid_value"
    return Request("GET", "leads", (("$select", select), ("$filter", text)), {}, b"", caller)


if __name__ == "__main__":
    main()
