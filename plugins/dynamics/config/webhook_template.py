"""The unsigned webhook of a captello connection, its extra field `webhook_template`, as a frozen type.

Off unless it is there. Every fault at once; none repeats a value: the token is a secret.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from dynamics.captello.template import FIELDS, IpNetwork, WebhookTemplate

LABEL = "Webhook template"
TOKEN_CHARACTERS = 32  # of 64 kinds: nobody guesses it
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_POINTER = re.compile(r"(/[^/]*)+")
_KNOWN = ("token", "addresses", "fields", "proxies", "repeat_window_s")

Complain = Callable[[str, str], None]


def webhook_template(value: object, complain: Complain) -> WebhookTemplate | None:
    """What an extra field says, as an object or as JSON text; None where nothing does, or something is wrong.

    Args:
        complain: hears what is wrong and what to do.
    """
    if value in (None, "", {}):
        return None
    given = _object(value)
    if given is None:
        complain(f"'{LABEL}' is no JSON object.", 'Write {"token": "...", "addresses": [...], "fields": {...}}.')
        return None
    for name in given:
        if name not in _KNOWN:
            complain(f"'{LABEL}' has a setting '{name}' that nobody reads.", f"Known: {', '.join(_KNOWN)}.")
    token = _token(given.get("token"), complain)
    addresses = _addresses(given.get("addresses"), complain)
    fields = _fields(given.get("fields"), complain)
    proxies = _number(given, "proxies", 0, 0, 10, complain)
    window_s = _number(given, "repeat_window_s", 300, 1, 86_400, complain)
    if token is None or not addresses or not fields:
        return None
    return WebhookTemplate(SecretStr(token), addresses, fields, proxies, float(window_s))


def _object(value: object) -> Mapping[str, Any] | None:
    try:
        content = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return content if isinstance(content, Mapping) else None


def _token(value: object, complain: Complain) -> str | None:
    if isinstance(value, str) and _TOKEN.fullmatch(value) and len(value) >= TOKEN_CHARACTERS:
        return value
    remedy = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))".'
    complain(f"'{LABEL}': 'token' has not {TOKEN_CHARACTERS} letters, digits, '_' or '-'.", remedy)
    return None


def _addresses(value: object, complain: Complain) -> tuple[IpNetwork, ...]:
    listed = value if isinstance(value, list) else []
    try:
        networks = tuple(ipaddress.ip_network(str(text)) for text in listed)
    except ValueError:
        networks = ()
    if not networks:
        complain(f"'{LABEL}': 'addresses' lists no networks.", 'Write them like ["203.0.113.0/24", "198.51.100.7"].')
    elif any(network.prefixlen == 0 for network in networks):
        complain(f"'{LABEL}': 'addresses' allows the whole internet.", "Name the addresses that Captello calls from.")
        return ()
    return networks


def _fields(value: object, complain: Complain) -> Mapping[str, str]:
    fields = value if isinstance(value, Mapping) else {}
    before = len(fields)
    good = {
        pointer: path for pointer, path in fields.items() if isinstance(path, str) and _POINTER.fullmatch(str(pointer))
    }
    if not fields or len(good) < before:
        complain(f"'{LABEL}': 'fields' is no map of JSON pointers.", 'Write it like {"/Email": "email"}.')
    unknown = sorted({path for path in good.values() if path not in FIELDS and not path.startswith("custom.")})
    for path in unknown:
        complain(
            f"'{LABEL}': 'fields' names '{path}', which no prospect has.", f"Known: {', '.join(FIELDS)}, custom.<key>."
        )
    if len(set(good.values())) < len(good):
        complain(f"'{LABEL}': 'fields' fills the same path twice.", "Keep one of them.")
    if good and "id" not in good.values():
        complain(f"'{LABEL}': 'fields' does not say what the prospect's id is.", 'Map a pointer to "id".')
    return {} if unknown else good


def _number(given: Mapping[str, Any], name: str, default: int, least: int, most: int, complain: Complain) -> int:
    value = given.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    complain(f"'{LABEL}': '{name}' is no whole number from {least} to {most}.", "Correct it, or leave it out.")
    return default
