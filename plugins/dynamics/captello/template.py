"""Reads Captello's own webhook: a body that a customer has written as a template, without a signature.

A map of JSON pointers says which of its values is which of a prospect's. What a template cannot say is made up in the
open: the revision is the time of arrival, so of two calls the one that came later counts, whatever order they were sent
in. Source: Captello, "Webhooks" (form or JSON templates); RFC 6901, JSON pointer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from pydantic import SecretStr

from dynamics.captello.shape import shape_fault, sourced
from dynamics.core.fulfillment import Accepted, Delivery, Repeats, scene_of_prospect
from dynamics.core.json_text import parse_json
from dynamics.errors import ContractError

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

SOURCE = "webhook"
MAX_FIELDS = 500
MAX_ID = 200
_PLAIN = (
    *("salutation", "first_name", "middle_name", "last_name", "suffix", "email", "website", "language", "time_zone"),
    *("job_title", "department", "seniority", "lead_source"),
)
_COMPANY = ("name", "website", "domain", "industry", "phone", "linkedin_url")
_ADDRESS = ("line1", "line2", "city", "region", "postal_code", "country", "country_code")
_PHONES = ("work", "mobile", "home", "fax", "other")
_CAPTURE = ("event.id", "event.name", "form.id", "form.name")
FIELDS = (
    "id",
    *_PLAIN,
    "owner.email",
    "note",
    *(f"company.{name}" for name in _COMPANY),
    *(f"address.{name}" for name in _ADDRESS),
    *(f"phones.{name}" for name in _PHONES),
    *_CAPTURE,
)


@dataclass(frozen=True)
class WebhookTemplate:
    """How a connection takes unsigned calls.

    Attributes:
        token: last part of the address. addresses: who may call.
        fields: JSON pointer into the body -> one of `FIELDS`, or `custom.<key>`.
        proxies: how many of ours stand before the API server; only these are believed who they say has called.
        repeat_window_s: the same body again within so long is a repetition, if no other of this prospect came since.
    """

    token: SecretStr
    addresses: tuple[IpNetwork, ...]
    fields: Mapping[str, str] = field(repr=False)
    proxies: int = 0
    repeat_window_s: float = 300.0

    def admits(self, caller: str | None, forwarded: str) -> bool:
        """Whether a call may come from there.

        Args:
            caller: the address at the other end of the connection.
            forwarded: all X-Forwarded-For headers; each proxy adds whom it was called by at the end.
        """
        chain = [*(part.strip() for part in forwarded.split(",") if part.strip()), caller or ""]
        if len(chain) <= self.proxies:
            return False
        try:
            address = ipaddress.ip_address(chain[-1 - self.proxies])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.addresses)


def read_template(source: str, template: WebhookTemplate, body: bytes, content_type: str, now: datetime) -> Accepted:
    """The prospect that a body makes, by the template's map. The same body again within the window is a repetition,
    unless another one of this prospect has come since.

    Raises:
        ContractError: it is no form or JSON object, or makes no prospect. The text repeats no value.
    """
    content = _content(body, content_type)
    values = {path: _pointed_to(content, pointer) for pointer, path in template.fields.items()}
    known = {path: value for path, value in values.items() if value is not None}
    prospect = _prospect(source, known, now)
    fault = shape_fault(prospect)
    if fault is not None or not _is_id(known.get("id", "")):
        raise ContractError("read", "webhook", detail=fault or "'id' is empty, too long, or has odd characters")
    found = sourced(prospect)
    series = f"template-{sha256(found.prospect_id.encode()).hexdigest()[:32]}-"
    mark = f"-{sha256(body).hexdigest()}"
    delivery = Delivery(
        source=source,
        delivery_id=f"{series}{found.revision:014d}{mark}",
        type="template",
        prospect_source=SOURCE,
        prospect_ids=(found.prospect_id,),
        scene=scene_of_prospect(prospect),
        whole=True,
    )
    return Accepted(delivery, (found,), Repeats(series, mark, template.repeat_window_s))


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_ID and text.isprintable()


def _content(body: bytes, content_type: str) -> Any:
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise ContractError("read", "webhook", detail="the body is no form") from None
    try:
        content = parse_json(body)
    except ValueError:
        raise ContractError("read", "webhook", detail="the body is neither JSON nor said to be a form") from None
    if not isinstance(content, dict):
        raise ContractError("read", "webhook", detail="the body is no JSON object")
    return content


def _pointed_to(content: Any, pointer: str) -> str | None:
    """The value as text; None where there is none, or something else than one value."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(content, dict):
            content = content.get(name)
        elif isinstance(content, list) and name.isascii() and name.isdecimal() and int(name[:6]) < len(content):
            content = content[int(name[:6])]
        else:
            return None
    if isinstance(content, bool):
        return str(content).lower()
    if isinstance(content, (int, float)):
        return str(content)
    return content.strip() or None if isinstance(content, str) else None


def _prospect(source: str, values: Mapping[str, str], now: datetime) -> dict[str, Any]:
    at = now.isoformat(timespec="milliseconds")
    capture = {"id": "1", "captured_at": at, "received_at": at, "method": "web_form", "state": "complete"}
    prospect: dict[str, Any] = {
        "id": f"{source}:{values.get('id', '')}",
        "revision": int(now.timestamp() * 1000),
        "status": "active",
        "created_at": at,
        "updated_at": at,
        **{name: values[name] for name in _PLAIN if name in values},
        "company": _under("company.", values),
        "addresses": [{"kind": "work", **_under("address.", values)}] if _under("address.", values) else [],
        "phones": [{"raw": value, "kind": kind} for kind, value in _under("phones.", values).items()],
        "custom_fields": _under("custom.", values),
        "submissions": [{**capture, **_refs(values)}],
    }
    if "owner.email" in values:
        prospect["owner"] = {"id": values["owner.email"], "email": values["owner.email"]}
    if "note" in values:
        prospect["notes"] = [{"id": "1", "text": values["note"], "created_at": at, "kind": "typed"}]
    return prospect


def _under(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {path.removeprefix(prefix): value for path, value in values.items() if path.startswith(prefix)}


def _refs(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Event and form. One that has only a name is known by it."""
    refs = {}
    for kind in ("event", "form"):
        named = _under(f"{kind}.", values)
        if named:
            refs[kind] = {"id": named.get("id", named.get("name", "")), **named}
    return refs
