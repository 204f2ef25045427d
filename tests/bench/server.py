"""Rows a second through the sandbox over HTTPS: CreateMultiple and `In`, four connections, no latency.

The client runs in processes of its own, so that its work is not counted as the server's.
Run: python -m tests.bench.server [rows]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from sandbox import process
from tests.fixtures.sandbox import token_answer

CONNECTIONS = 4
CHUNK = 500


@dataclass(frozen=True)
class Place:
    """What a client process needs to know."""

    url: str
    token: str
    ca_bundle: str

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env, session.verify = False, self.ca_bundle
        session.headers["Authorization"] = f"Bearer {self.token}"
        session.headers["Content-Type"] = "application/json"
        return session


def address(number: int) -> str:
    return f"person.{number:07}@company{number % 997:03}.test"


def lead(number: int) -> dict[str, Any]:
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.lead",
        "subject": f"Stand visit {number}",
        "firstname": f"First{number % 1000}",
        "lastname": f"Last{number}",
        "emailaddress1": address(number),
        "companyname": f"Company {number % 997}",
        "jobtitle": "Plant engineer",
        "telephone1": f"+44 20 7946 {number % 10000:04}",
        "address1_city": "Leeds",
        "address1_country": "United Kingdom",
        "leadsourcecode": 7,
        "description": "Asked for a demonstration next week.",
    }


def create(place: Place, first: int, rows: int) -> int:
    """Create that many leads; gives how many ids came back."""
    created = 0
    with place.session() as session:
        url = f"{place.url}/api/data/v9.2/leads/Microsoft.Dynamics.CRM.CreateMultiple"
        for start in range(first, first + rows, CHUNK):
            body = json.dumps({"Targets": [lead(number) for number in range(start, start + CHUNK)]})
            answer = session.post(url, data=body, timeout=120)
            answer.raise_for_status()
            created += len(answer.json()["Ids"])
    return created


def find(place: Place, first: int, rows: int) -> int:
    """Find that many leads by e-mail, a chunk a request; gives how many came back."""
    found = 0
    with place.session() as session:
        per_request = CHUNK // 2  # keeps the URL below its limit
        for start in range(first, first + rows, per_request):
            values = json.dumps([address(number) for number in range(start, start + per_request)])
            query = {
                "$select": "leadid,emailaddress1,firstname,lastname,modifiedon,statecode",
                "$filter": f"Microsoft.Dynamics.CRM.In(PropertyName='emailaddress1',PropertyValues={values})",
            }
            answer = session.get(f"{place.url}/api/data/v9.2/leads", params=query, timeout=120)
            answer.raise_for_status()
            found += len(answer.json()["value"])
    return found


def rate(work: Callable[[Place, int, int], int], place: Place, rows: int) -> float:
    """Rows a second of some work spread over the connections."""
    share = rows // CONNECTIONS
    with ProcessPoolExecutor(CONNECTIONS) as pool:
        started = time.perf_counter()
        parts = [pool.submit(work, place, index * share, share) for index in range(CONNECTIONS)]
        done = sum(part.result() for part in parts)
        took_s = time.perf_counter() - started
    if done != share * CONNECTIONS:
        raise RuntimeError(f"{done} rows came back instead of {share * CONNECTIONS}")
    return done / took_s


def main(rows: int = 40_000) -> dict[str, float]:
    """Measure and print; gives rows a second by name."""
    with process.start(orgs=1) as sandbox:
        url = sandbox.ready["organizations"][0]["url"]
        place = Place(url, token_answer(sandbox, {})["access_token"], sandbox.ca_bundle)
        rates = {"CreateMultiple": rate(create, place, rows), "In": rate(find, place, rows)}
    for name, rows_per_s in rates.items():
        print(f"{name:<16}{rows_per_s:>10,.0f} rows/s over HTTPS, {CONNECTIONS} connections")
    return rates


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)
