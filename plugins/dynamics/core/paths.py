"""The names by which a mapping asks for a prospect's values, and how each is read from a captured payload.

Leaves blanks, frames and captures to `prospect`. A path is one of `STANDARD`, or begins with a family of `FAMILIES` and
goes on with a key of the customer's own (`custom.budget`). A reader takes a whole chunk at once: there are many paths,
and most are found by one look. Source: prospect schema of the Capture Source API v1.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dynamics.core.gathered import (
    Captures,
    Payload,
    all_answers,
    all_consents,
    all_events,
    all_notes,
    all_transcripts,
    last_consent,
    latest_note,
    newest_answer,
    on_an_envelope,
    untyped,
    within,
)

Read = Callable[[Payload, Captures], object]  # one prospect's value

_ADDRESS_PARTS = ("line1", "line2", "city", "region", "postal_code", "country", "country_code")
_ADDRESS_KINDS = ("work", "home", "other")
_EMAIL_KINDS = ("work", "personal", "other")
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


_NOTHING: Payload = {}
_NO_KINDS: Mapping[object, Payload] = {}


class Prospects:
    """The prospects of a chunk, with what several paths look for found once."""

    def __init__(self, payloads: Sequence[Payload], captures: Sequence[Captures]) -> None:
        self.payloads = payloads
        self.captures = captures
        self._groups: dict[str, list[Mapping[object, Payload]]] = {}
        self._kinds: dict[tuple[str, str | None], list[Payload]] = {}

    def of_kind(self, group: str, kind: str) -> list[Payload]:
        """The telephone, e-mail or address of a kind; empty where there is none."""
        if group not in self._groups:
            self._groups[group] = [_by_kind(payload.get(group)) for payload in self.payloads]
        if (group, kind) not in self._kinds:
            self._kinds[group, kind] = [kinds.get(kind, _NOTHING) for kinds in self._groups[group]]
        return self._kinds[group, kind]

    def addresses(self, kind: str | None) -> list[Payload]:
        """The addresses of a kind; of no kind in particular the work address, without one the first."""
        if kind is not None:
            return self.of_kind("addresses", kind)
        if ("addresses", None) not in self._kinds:
            pairs = zip(self.of_kind("addresses", "work"), self.payloads, strict=True)
            self._kinds["addresses", None] = [
                work or next(iter(payload.get("addresses") or ()), {}) for work, payload in pairs
            ]
        return self._kinds["addresses", None]


Reader = Callable[[Prospects], list[object]]


def reader_of(path: str) -> Reader | None:
    """How to read a path, None when no prospect has it."""
    known = STANDARD.get(path)
    if known is not None:
        return known
    family, _, rest = path.partition(".")
    if not rest:
        return None
    if family == "custom":
        return _each(partial(_custom, rest))
    if family == "answer":
        return _each(partial(newest_answer, rest))
    if family == "consent":
        purpose, _, name = rest.rpartition(".")
        return _each(partial(_consent, purpose, name)) if purpose and name in _CONSENT_PARTS else None
    if family in ("external_ids", "social"):
        return partial(_member, family, rest)
    return None


def has_own_key(path: str) -> bool:
    """Whether a part of the path is the customer's own, so that nobody here can tell if it is spelt right."""
    return path.partition(".")[0] in {written.partition(".")[0] for written in FAMILIES}


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


def _each(read: Read) -> Reader:
    return lambda chunk: [read(*both) for both in zip(chunk.payloads, chunk.captures, strict=True)]


def _plain(name: str, chunk: Prospects) -> list[object]:
    return [payload.get(name) for payload in chunk.payloads]


def _member(group: str, name: str, chunk: Prospects) -> list[object]:
    groups = [payload.get(group) for payload in chunk.payloads]
    return [members.get(name) if members else None for members in groups]


def _full_name(payload: Payload, _: Captures) -> object:
    return " ".join(part for part in (payload.get("first_name"), payload.get("last_name")) if part)


def _money(group: str, name: str, part: str, payload: Payload, _: Captures) -> object:
    return ((payload.get(group) or {}).get(name) or {}).get(part)


def _phone(kind: str, chunk: Prospects) -> list[object]:
    return [_dialled(entry) for entry in chunk.of_kind("phones", kind)]


def _dialled(entry: Payload) -> object:
    number = entry.get("e164")
    if not number:
        return entry.get("raw")
    return f"{number} x{entry['extension']}" if entry.get("extension") else number


def _of_kind_part(group: str, kind: str, part: str, chunk: Prospects) -> list[object]:
    return [entry.get(part) for entry in chunk.of_kind(group, kind)]


def _address(kind: str | None, part: str, chunk: Prospects) -> list[object]:
    addresses = chunk.addresses(kind)
    if part == "country":
        return [address.get("country") or address.get("country_code") for address in addresses]
    return [address.get(part) for address in addresses]


def _whole_address(kind: str | None, chunk: Prospects) -> list[object]:
    return [on_an_envelope(address) for address in chunk.addresses(kind)]


def _custom(key: str, payload: Payload, _: Captures) -> object:
    fields = payload.get("custom_fields") or {}
    if key.endswith(".currency") and key not in fields:
        typed = fields.get(key.removesuffix(".currency"))
        money = typed.get("value") if isinstance(typed, dict) else None
        return money.get("currency") if isinstance(money, dict) else None
    return untyped(fields.get(key))


def _consent(purpose: str, part: str, payload: Payload, _: Captures) -> object:
    return last_consent(purpose, payload).get(part)


def _capture(path: tuple[str, ...], chunk: Prospects) -> list[object]:
    return [within(done[0], path) if done else None for done in chunk.captures]


def _first_captured_at(_: Payload, captures: Captures) -> object:
    return captures[-1].get("captured_at") if captures else None


def _count(_: Payload, captures: Captures) -> object:
    return len(captures) or None


# ---------------------------------------------------------------- pieces


def _by_kind(entries: Sequence[Payload] | None) -> Mapping[object, Payload]:
    """The first entry of each kind."""
    if not entries:
        return _NO_KINDS
    return {kind: entry for entry in reversed(entries) if isinstance(kind := entry.get("kind"), str)}


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
    "location.longitude location.accuracy_m hold_reason is_duplicate_of actions",
    "event": "id name code",
    "form": "id name code",
    "captured_by": "id email name",
}


def _standard() -> dict[str, Reader]:
    """Every path without a key of the customer's own."""
    readers: dict[str, Reader] = {
        "prospect_id": partial(_plain, "id"),
        "full_name": _each(_full_name),
        "notes.all": _each(all_notes),
        "notes.latest": _each(latest_note),
        "answers.all": _each(all_answers),
        "consents.all": _each(all_consents),
        "transcripts.all": _each(all_transcripts),
        "events.all": _each(all_events),
        "submission.count": _each(_count),
        "submission.first_captured_at": _each(_first_captured_at),
        "company.annual_revenue": _each(partial(_money, "company", "annual_revenue", "amount")),
        "company.annual_revenue.currency": _each(partial(_money, "company", "annual_revenue", "currency")),
    }
    readers |= {name: partial(_plain, name) for name in _PLAIN.split()}
    for group, names in _MEMBERS.items():
        readers |= {f"{group}.{name}": partial(_member, group, name) for name in names.split()}
    for group, names in _CAPTURED.items():
        stem = () if group == "submission" else (group,)
        readers |= {f"{group}.{name}": partial(_capture, (*stem, *name.split("."))) for name in names.split()}
    for kind in _PHONE_KINDS:
        readers[f"phones.{kind}"] = partial(_phone, kind)
        readers |= {f"phones.{kind}.{part}": partial(_of_kind_part, "phones", kind, part) for part in _PHONE_PARTS}
    readers |= {f"emails.{kind}": partial(_of_kind_part, "emails", kind, "address") for kind in _EMAIL_KINDS}
    for each in (None, *_ADDRESS_KINDS):
        stem_name = f"address.{each}" if each else "address"
        readers[f"{stem_name}.all"] = partial(_whole_address, each)
        readers |= {f"{stem_name}.{part}": partial(_address, each, part) for part in _ADDRESS_PARTS}
    return readers


STANDARD: Mapping[str, Reader] = _standard()
