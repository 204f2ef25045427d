"""The race's contenders on Microsoft's Python SDK, each in a process of its own: `sdk.py WAY READY PROSPECTS`.

`loop` asks for each prospect, compares, and creates or updates one record. `bulk` is what a good engineer would write:
look-ups by `In` in portions, CreateMultiple and UpdateMultiple in chunks of a hundred, as Microsoft advises to begin
with. The SDK's client works in one thread; `bulk4` runs four of them side by side, each on portions of its own. The SDK
does not wait when it is throttled, so the contenders do, for as long as they are told.

Prints the seconds from the first request to the last answer, as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import requests
from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models.filters import eq, filter_in

from tests.bench.visitors import COLUMNS, Lead, Prospect, lead_of

LOOKED_UP = 400  # addresses a query: their URL stays below its limit
CHUNK = 100
THREADS = 4

T = TypeVar("T")


class Secret:
    """What azure-identity's ClientSecretCredential does, with the sandbox as its authority."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._ready = ready

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._ready["client_id"],
            "client_secret": self._ready["client_secret"],
            "scope": scopes[0],
        }
        answer = requests.post(f"{self._ready['authority']}/oauth2/v2.0/token", data=form, timeout=30).json()
        return AccessToken(answer["access_token"], int(time.time()) + answer["expires_in"])


def loop(ready: dict[str, Any], prospects: Iterator[Prospect]) -> None:
    """One prospect after the other."""
    with _client(ready) as client:
        for prospect in prospects:
            lead = lead_of(prospect)
            found = _found(client, [lead["emailaddress1"]]).get(lead["emailaddress1"])
            if found is None:
                _patiently(lambda lead=lead: client.records.create("lead", lead))
            elif changes := _changes(lead, found):
                _patiently(lambda found=found, changes=changes: client.records.update("lead", found["leadid"], changes))


def bulk(ready: dict[str, Any], prospects: Iterator[Prospect]) -> None:
    """Portion after portion."""
    with _client(ready) as client:
        while portion := list(itertools.islice(prospects, LOOKED_UP)):
            _bring(client, portion)


def bulk4(ready: dict[str, Any], prospects: Iterator[Prospect]) -> None:
    """Every fourth portion in a thread of its own."""
    portions: list[list[Prospect]] = []
    while portion := list(itertools.islice(prospects, LOOKED_UP)):
        portions.append(portion)

    def work(first: int) -> None:
        with _client(ready) as client:
            for portion in portions[first::THREADS]:
                _bring(client, portion)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def _client(ready: dict[str, Any]) -> DataverseClient:
    return DataverseClient(ready["organizations"][0]["url"], Secret(ready))


def _bring(client: DataverseClient, portion: Sequence[Prospect]) -> None:
    leads = [lead_of(prospect) for prospect in portion]
    known = _found(client, [lead["emailaddress1"] for lead in leads])
    new = [lead for lead in leads if lead["emailaddress1"] not in known]
    for chunk in _chunks(new):
        _patiently(lambda chunk=chunk: client.records.create("lead", list(chunk)))
    pairs = [(found["leadid"], _changes(lead, found)) for lead in leads if (found := known.get(lead["emailaddress1"]))]
    for some in _chunks([pair for pair in pairs if pair[1]]):
        ids, changes = [lead_id for lead_id, _ in some], [changed for _, changed in some]
        _patiently(lambda ids=ids, changes=changes: client.records.update("lead", ids, changes))


def _found(client: DataverseClient, emails: Sequence[str]) -> dict[str, Any]:
    """Active leads by e-mail."""
    active = eq("statecode", 0)
    condition = str(
        (eq("emailaddress1", emails[0]) if len(emails) == 1 else filter_in("emailaddress1", emails)) & active
    )
    select = ["leadid", *COLUMNS]
    records = _patiently(lambda: list(client.records.list("lead", filter=condition, select=select)))
    return {record["emailaddress1"].lower(): record for record in records}


def _changes(lead: Lead, found: Any) -> Lead:
    return {column: value for column, value in lead.items() if found.get(column) != value}


def _patiently(call: Callable[[], T]) -> T:
    while True:
        try:
            return call()
        except HttpError as error:
            if error.status_code != 429:
                raise
            time.sleep(error.details.get("retry_after") or 1)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _prospects(path: Path) -> Iterator[Prospect]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


WAYS = {"loop": loop, "bulk": bulk, "bulk4": bulk4}

if __name__ == "__main__":
    way, ready_file, prospect_file = sys.argv[1:]
    place = json.loads(Path(ready_file).read_text(encoding="utf-8"))
    os.environ["REQUESTS_CA_BUNDLE"] = place["ca_bundle"]
    started = time.monotonic()
    WAYS[way](place, _prospects(Path(prospect_file)))
    print(json.dumps({"working_s": time.monotonic() - started}))
