"""The race's floor: the fewest requests that carry the same payload, prepared before the clock runs.

The same look-ups (queries of 500 addresses in `$batch`), the same creates (CreateMultiple) and the same updates
(UpdateMultiple), shared out evenly over as many connections as the organisation recommends. Nothing is decided, checked
or remembered: no client that does any of this can be quicker. `floor.py READY PROSPECTS CONNECTIONS` prints the seconds
from the first request to the last answer, as JSON.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import orjson

from tests.bench.visitors import COLUMNS, Lead, is_known, is_outdated, lead_id, lead_of

SERVICE = "/api/data/v9.2/"
ROWS = 1000  # a bulk message at most
ADDRESSES = 500  # a query at most
QUERIED = 5000  # addresses a batch

T = TypeVar("T")


class Prepared(NamedTuple):
    """A request, ready to be sent."""

    path: str
    content_type: str
    body: bytes


def prepare(leads: Sequence[Lead], connections: int) -> list[Prepared]:
    """The requests, of each kind as many as make equal shares for the connections."""
    new = [lead for number, lead in enumerate(leads) if not is_known(number)]
    outdated = [
        {"leadid": lead_id(number)} | {column: lead[column] for column in ("jobtitle", "address1_city")}
        for number, lead in enumerate(leads)
        if is_outdated(number)
    ]
    emails = [lead["emailaddress1"] for lead in leads]
    requests = [_look_up(some) for some in _shares(emails, connections, QUERIED)]
    requests += [_multiple("Create", some) for some in _shares(new, connections, ROWS)]
    return requests + [_multiple("Update", some) for some in _shares(outdated, connections, ROWS)]


def send(url: str, token: str, tls: ssl.SSLContext, requests: Sequence[Prepared]) -> int:
    """Send requests over one connection, one after the other. Gives the bytes that came back."""
    address = urlsplit(url)
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=tls, timeout=120)
    received = 0
    for request in requests:
        while True:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": request.content_type}
            connection.request("POST", SERVICE + request.path, request.body, headers)
            answer = connection.getresponse()
            received += len(answer.read())
            if answer.status < 300:
                break
            if answer.status != 429:
                raise RuntimeError(f"HTTP {answer.status} to {request.path}")
            time.sleep(float(answer.headers["Retry-After"]))
    connection.close()
    return received


def _multiple(what: str, rows: Sequence[Lead]) -> Prepared:
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.lead", **row} for row in rows]
    return Prepared(
        f"leads/Microsoft.Dynamics.CRM.{what}Multiple", "application/json", orjson.dumps({"Targets": targets})
    )


def _look_up(emails: Sequence[str]) -> Prepared:
    lines = []
    select = ",".join(("leadid", *COLUMNS))
    for start in range(0, len(emails), ADDRESSES):
        values = json.dumps(emails[start : start + ADDRESSES])
        condition = (
            f"Microsoft.Dynamics.CRM.In(PropertyName='emailaddress1',PropertyValues={values}) and statecode eq 0"
        )
        lines += ["--floor", "Content-Type: application/http", "Content-Transfer-Encoding: binary", ""]
        lines += [f"GET {SERVICE}leads?$select={select}&$filter={quote(condition)} HTTP/1.1"]
        lines += ["Accept: application/json", "", ""]
    return Prepared("$batch", "multipart/mixed; boundary=floor", "\r\n".join([*lines, "--floor--", ""]).encode())


def _shares(items: Sequence[T], connections: int, at_most: int) -> Iterator[Sequence[T]]:
    size = ceil(len(items) / (connections * ceil(len(items) / (connections * at_most))))
    return (items[start : start + size] for start in range(0, len(items), size))


def _token(ready: dict[str, Any], tls: ssl.SSLContext) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": ready["client_id"],
        "client_secret": ready["client_secret"],
        "scope": f"{ready['organizations'][0]['url']}/.default",
    }
    authority = urlsplit(f"{ready['authority']}/oauth2/v2.0/token")
    connection = http.client.HTTPSConnection(authority.hostname or "", authority.port, context=tls, timeout=30)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", authority.path, urlencode(form), kind)
    token = str(json.loads(connection.getresponse().read())["access_token"])
    connection.close()
    return token


def main(ready_file: str, prospect_file: str, connections: int) -> None:
    ready = json.loads(Path(ready_file).read_text(encoding="utf-8"))
    with open(prospect_file, "rb") as file:
        requests = prepare([lead_of(orjson.loads(line)) for line in file], connections)
    tls = ssl.create_default_context(cafile=ready["ca_bundle"])
    url, token = ready["organizations"][0]["url"], _token(ready, tls)
    with ThreadPoolExecutor(connections) as pool:
        started = time.monotonic()
        list(pool.map(lambda first: send(url, token, tls, requests[first::connections]), range(connections)))
        print(json.dumps({"working_s": time.monotonic() - started}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
