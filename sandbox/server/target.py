"""Decides what a request target means: decoded once, split into service path and query options.

Once, since a second decoding would turn the text `%2527` into a quote and one record's name into another's query.
In a query `+` is a blank, as in every OData service built on .NET; in a path it is a plus.

Source: OData 4.0 URL conventions, part 2; learn.microsoft.com, "Compose HTTP requests and handle errors".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus, urlsplit

SERVICE = re.compile(r"/api/data/v9\.[012](?:/|$)")


@dataclass(frozen=True)
class Target:
    """A request target, decoded.

    Args:
        path: from the root, percent-decoded.
        query: decoded name and value pairs in their order.
    """

    path: str
    query: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """Path and query as one readable line, for the journal."""
        if not self.query:
            return self.path
        return f"{self.path}?{'&'.join(f'{name}={value}' if value else name for name, value in self.query)}"

    @property
    def service_path(self) -> str | None:
        """The path below the service root, without leading slash; None outside the Web API."""
        root = SERVICE.match(self.path)
        return self.path[root.end() :] if root else None


def decode(raw: str) -> Target:
    """Decode the target of a request line.

    Args:
        raw: still percent-encoded, "/path?query" or a whole URL.
    """
    if not raw.startswith("/") and "://" in raw.partition("?")[0]:
        split = urlsplit(raw)
        raw = f"{split.path or '/'}?{split.query}" if split.query else split.path or "/"
    path, _, query = raw.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return Target(unquote(path), tuple((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs))


def operation_of(method: str, service_path: str, has_if_match: bool) -> str:
    """What a request is about to do, as the journal and fault rules name it, before it is carried out."""
    first, _, rest = service_path.partition("/")
    last = (rest or first).rpartition("/")[2].partition("(")[0]
    if "Microsoft.Dynamics.CRM." in service_path:
        return last.removeprefix("Microsoft.Dynamics.CRM.")
    if first == "$batch":
        return "Batch"
    if first.startswith(("EntityDefinitions", "GlobalOptionSetDefinitions", "RelationshipDefinitions", "$metadata")):
        return "Metadata"
    if last[:1].isupper():
        return last
    if last == "$ref":
        return "Disassociate" if method == "DELETE" else "Associate"
    if method == "GET":
        return "Retrieve" if "(" in first else "RetrieveMultiple"
    if method == "PATCH":
        return "Update" if has_if_match else "Upsert"
    return {"POST": "Create", "PUT": "Update", "DELETE": "Delete"}.get(method, method)
