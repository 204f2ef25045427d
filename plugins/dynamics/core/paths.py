"""The names by which a mapping asks for a prospect's values, and how each is read from a captured payload.

Leaves blanks, frames and captures to `prospect`. A path is one of `STANDARD`, or begins with a family of `FAMILIES` and
goes on with a key of the customer's own (`custom.budget`). Source: prospect schema of the Capture Source API v1.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

Payload = Mapping[str, Any]
Captures = Sequence[Payload]  # a prospect's complete submissions, newest first
Reader = Callable[[Payload, Captures], object]

_ADDRESS_PARTS = ("line1", "line2", "city", "region", "postal_code", "country", "country_code")
_PHONE_KINDS = ("work", "mobile", "home", "fax", "other")
_PHONE_PARTS = ("raw", "e164", "extension")
_CONSENT_PARTS = ("state", "recorded_at", "channel", "legal_basis", "method", "statement", "statement_version")

# Families with keys of the customer's own: how a path is written -> what stands there.
FAMILIES = {
    "custom.<key>": "a custom field",
    "answer.<key>": "the answer to a form's question, by its key or element id",
    "consent.<purpose>.state": "a consent",
    "external_ids.<key>": "an id in another system",
    "social.<network>": "a profile address",
}


def reader_of(path: str) -> Reader | None:
    """How to read a path, None when no prospect has it."""
    known = STANDARD.get(path)
    if known is not None:
        return known
    family, _, rest = path.partition(".")
    if not rest:
        return None
    if family == "custom":
        return partial(_custom, rest)
    if family == "answer":
        return partial(_answer, rest)
    if family == "consent":
        purpose, _, name = rest.rpartition(".")
        return partial(_consent, purpose, name) if purpose and name in _CONSENT_PARTS else None
    if family in ("external_ids", "social"):
        return partial(_member, family, rest)
    return None


def path_fault(path: str) -> str | None:
    """None when it is a path of a prospect, else a text that names the nearest right ones."""
    if reader_of(path) is not None:
        return None
    family = path.partition(".")[0]
    written = [name for name in FAMILIES if name.partition(".")[0] == family]
    if written:
        return f"'{path}' is not complete: write {written[0]}."
    near = difflib.get_close_matches(path, STANDARD, n=3, cutoff=0.6)
    if not near:
        near = difflib.get_close_matches(path.rpartition(".")[2], STANDARD, n=3, cutoff=0.5)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return f"'{path}' is no path of a prospect.{hint}"


# ---------------------------------------------------------------- readers


def _plain(name: str, payload: Payload, _: Captures) -> object:
    return payload.get(name)


def _member(group: str, name: str, payload: Payload, _: Captures) -> object:
    return (payload.get(group) or {}).get(name)


def _full_name(payload: Payload, _: Captures) -> object:
    return " ".join(part for part in (payload.get("first_name"), payload.get("last_name")) if part)


def _money(group: str, name: str, part: str, payload: Payload, _: Captures) -> object:
    return ((payload.get(group) or {}).get(name) or {}).get(part)


def _phone(kind: str, payload: Payload, _: Captures) -> object:
    entry = _of_kind(payload.get("phones"), kind)
    number = entry.get("e164")
    if not number:
        return entry.get("raw")
    return f"{number} x{entry['extension']}" if entry.get("extension") else number


def _phone_part(kind: str, part: str, payload: Payload, _: Captures) -> object:
    return _of_kind(payload.get("phones"), kind).get(part)


def _email(kind: str, payload: Payload, _: Captures) -> object:
    return _of_kind(payload.get("emails"), kind).get("address")


def _address(kind: str | None, part: str, payload: Payload, _: Captures) -> object:
    addresses = payload.get("addresses")
    address = _of_kind(addresses, kind or "work")
    if kind is None and not address and addresses:
        address = addresses[0]
    if part == "country":
        return address.get("country") or address.get("country_code")
    return address.get(part)


def _custom(key: str, payload: Payload, _: Captures) -> object:
    fields = payload.get("custom_fields") or {}
    if key.endswith(".currency") and key not in fields:
        typed = fields.get(key.removesuffix(".currency"))
        money = typed.get("value") if isinstance(typed, dict) else None
        return money.get("currency") if isinstance(money, dict) else None
    return _untyped(fields.get(key))


def _consent(purpose: str, part: str, payload: Payload, _: Captures) -> object:
    """Of several statements about one purpose, the one recorded last holds."""
    stated = [consent for consent in payload.get("consents") or () if consent.get("purpose") == purpose]
    return max(stated, key=lambda consent: str(consent.get("recorded_at"))).get(part) if stated else None


def _capture(path: tuple[str, ...], _: Payload, captures: Captures) -> object:
    value: Any = captures[0] if captures else None
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _answer(key: str, _: Payload, captures: Captures) -> object:
    """The newest answer: a later scan that did not ask again leaves the earlier answer standing."""
    for answer in _answers(captures):
        if key in (answer.get("key"), answer.get("element_id")):
            said = _answer_value(answer)
            if said is not None:
                return said
    return None


def _all_answers(_: Payload, captures: Captures) -> object:
    """One line a question, with its answer behind it; of a question asked again the newest answer."""
    lines: dict[str, str] = {}
    for answer in _answers(captures):
        said = _answer_value(answer)
        if said is not None:
            lines.setdefault(str(answer.get("question")), _as_text(said))
    return "\n".join(_said(question.strip(), text) for question, text in lines.items())


def _all_notes(payload: Payload, _: Captures) -> object:
    """The notes' texts in the order in which they were taken, one below the other."""
    notes = sorted(payload.get("notes") or (), key=lambda note: str(note.get("created_at")))
    return "\n".join(text for note in notes if (text := str(note.get("text") or "").strip()))


# ---------------------------------------------------------------- pieces


def _of_kind(entries: Sequence[Payload] | None, kind: str) -> Payload:
    for entry in entries or ():
        if entry.get("kind") == kind:
            return entry
    return {}


def _answers(captures: Captures) -> Iterator[Payload]:
    return (answer for capture in captures for answer in capture.get("answers") or ())


def _answer_value(answer: Payload) -> object:
    labels = answer.get("labels")
    value = labels if labels else _untyped(answer.get("value"))
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return None if value == "" or value == [] else value


def _untyped(value: Any) -> object:
    """A custom value without its wrapping: a choice's label, an amount of money, else the value."""
    if not isinstance(value, dict):
        return value
    inner = value.get("value")
    if isinstance(inner, dict):
        return inner.get("amount", inner)
    return value.get("label") or inner


def _said(question: str, text: str) -> str:
    return f"{question} {text}" if question.endswith(("?", ":", "？", "：")) else f"{question}: {text}"


def _as_text(value: object) -> str:
    return "; ".join(map(_as_text, value)) if isinstance(value, list) else str(value)


# ---------------------------------------------------------------- the names


_PLAIN = """
revision status created_at updated_at salutation first_name middle_name last_name suffix email job_title department
seniority website language time_zone lead_source score tags
"""
_MEMBERS = {
    "company": "name website domain industry employee_count phone linkedin_url",
    "rating": "scale value label",
    "owner": "id email name",
    "privacy": "do_not_email do_not_bulk_email do_not_phone do_not_mail processing_restricted region_rule retain_until",
}
_CAPTURED = {
    "submission": "id captured_at received_at updated_at method station.id station.name station.code badge.id "
    "badge.raw badge.symbology badge.provider device.id device.platform device.name location.latitude "
    "location.longitude",
    "event": "id name code",
    "form": "id name code",
    "captured_by": "id email name",
}


def _standard() -> dict[str, Reader]:
    """Every path without a key of the customer's own."""
    readers: dict[str, Reader] = {
        "prospect_id": partial(_plain, "id"),
        "full_name": _full_name,
        "notes.all": _all_notes,
        "answers.all": _all_answers,
        "company.annual_revenue": partial(_money, "company", "annual_revenue", "amount"),
        "company.annual_revenue.currency": partial(_money, "company", "annual_revenue", "currency"),
    }
    readers |= {name: partial(_plain, name) for name in _PLAIN.split()}
    for group, names in _MEMBERS.items():
        readers |= {f"{group}.{name}": partial(_member, group, name) for name in names.split()}
    for group, names in _CAPTURED.items():
        stem = () if group == "submission" else (group,)
        readers |= {f"{group}.{name}": partial(_capture, (*stem, *name.split("."))) for name in names.split()}
    for kind in _PHONE_KINDS:
        readers[f"phones.{kind}"] = partial(_phone, kind)
        readers |= {f"phones.{kind}.{part}": partial(_phone_part, kind, part) for part in _PHONE_PARTS}
    readers |= {f"emails.{kind}": partial(_email, kind) for kind in ("work", "personal", "other")}
    for part in _ADDRESS_PARTS:
        readers[f"address.{part}"] = partial(_address, None, part)
        readers |= {f"address.{kind}.{part}": partial(_address, kind, part) for kind in ("work", "home", "other")}
    return readers


STANDARD: Mapping[str, Reader] = _standard()
