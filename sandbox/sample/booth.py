"""Writes down a person as the booth's devices would: a prospect of the Capture Source API, tidy or messy.

Decides how things are written, never who is whom: which prospect is planted for what stands in `cases`.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sandbox.sample import notes
from sandbox.sample.people import Person
from sandbox.sample.places import Phone
from sandbox.sample.show import Show, answers, event_ref, form_ref, instant, owner_ref, station_ref

Json = dict[str, Any]

_ALNUM = string.ascii_letters + string.digits
_TAGS = ["demo-requested", "hot", "VIP", "reseller", "étudiant", "follow up 🚀"]
_DEPARTMENTS = ["Operations", "Einkauf", "R&D", "Maintenance"]
_COUNTRY_ALIASES = {"US": "USA", "GB": "U.K.", "DE": "Deutschland", "ES": "España"}
_JUNK_PHONES = ["n/a", "call reception", "12345", "0000000000", "see card"]
_METHODS = ["badge_scan", "badge_scan", "typed", "business_card", "attendee_list", "web_form"]


@dataclass(frozen=True)
class Slot:
    """Where a prospect stands in the show: when it was last changed, and at which event it was captured."""

    updated_at: datetime
    event: str


class Booth:
    """Captures people. Everything random comes from `rng`, in a fixed order."""

    def __init__(self, rng: Random, show: Show) -> None:
        self._rng = rng
        self._show = show

    def prospect(self, person: Person, slot: Slot, *, plain: bool = False, **values: Any) -> Json:
        """A prospect with one complete submission.

        Args:
            plain: no mess and no free text: every value maps to one column, unchanged.
            values: replace or add properties; `None` leaves a property out.
        """
        captured_at = slot.updated_at - timedelta(seconds=self._rng.randint(5, 1200))
        prospect_id = self._id("pro")
        base = {
            "id": prospect_id,
            "revision": 1 if plain else self._rng.randint(1, 6),
            "status": "active",
            "created_at": instant(captured_at),
            "updated_at": instant(slot.updated_at),
            "first_name": person.first,
            "last_name": person.last,
            "email": person.email,
            "job_title": person.job_title,
            "company": self._company(person),
            "phones": [self._tidy("work", person.work), self._tidy("mobile", person.mobile)],
            "addresses": [self._address(person)],
            "owner": owner_ref(self._rng),
            "lead_source": "Trade show",
        }
        submission = self.submission(prospect_id, captured_at, slot.event, answered=not plain)
        base["submissions"] = [submission]
        if not plain:
            base |= self._mess(person, submission)
        merged = {**base, **values}
        return {name: value for name, value in merged.items() if value is not None}

    def submission(
        self, prospect_id: str, captured_at: datetime, event: str, *, state: str = "complete", answered: bool = True
    ) -> Json:
        """One capture of a prospect; a capture that waits has a reason and no answers yet."""
        rng = self._rng
        form = form_ref(rng, event)
        captured: Json = {
            "id": self._id("sub"),
            "prospect_id": prospect_id,
            "revision": 1,
            "captured_at": instant(captured_at),
            "received_at": instant(captured_at + timedelta(milliseconds=rng.randint(400, 90_000))),
            "method": rng.choice(_METHODS),
            "state": state,
            "event": event_ref(self._show, event),
            "form": form,
            "station": station_ref(rng),
            # A universal invitation does not say who held the device.
            "captured_by": owner_ref(rng) if rng.random() < 0.8 else None,
        }
        if state != "complete":
            return captured | {"hold_reason": state.replace("_", " ")}
        if captured["method"] == "badge_scan":
            captured["badge"] = {"id": f"A-{rng.randrange(10**5):05d}", "symbology": "qr"}
        return captured | {"answers": answers(rng, form["id"]) if answered else []}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(self._rng.choices(_ALNUM, k=10))}"

    def _mess(self, person: Person, submission: Json) -> Json:
        """What real people and real devices make of it. Nothing here changes who the prospect is or is rejected."""
        rng, captured = self._rng, submission["captured_at"]
        traits: list[tuple[float, str, Any]] = [
            (0.08, "salutation", lambda: rng.choice(("Dr.", "Ms", "Prof. Dr.-Ing.", "Señora"))),
            (0.05, "middle_name", lambda: rng.choice(("A.", "Maria", "van der"))),
            (0.25, "department", lambda: rng.choice(_DEPARTMENTS)),
            (0.30, "tags", lambda: sorted(rng.sample(_TAGS, rng.randint(1, 3)))),
            (0.70, "rating", lambda: {"scale": "stars_5", "value": rng.randint(1, 5)}),
            (0.60, "custom_fields", lambda: self._custom_fields(person, submission)),
            (0.55, "consents", lambda: [self._consent(submission)]),
            (0.50, "privacy", self._privacy),
            (0.40, "notes", lambda: notes.taken(rng, captured, submission["id"], submission["captured_by"])),
            (0.12, "attachments", lambda: [self._card(submission)]),
            (0.90, "phones", lambda: self._phones(person)),
            (0.60, "language", lambda: person.country.language),
            (0.20, "score", lambda: rng.randint(0, 100)),
            (0.15, "external_ids", lambda: {"badge": f"A-{rng.randrange(10**5):05d}"}),
        ]
        return {name: draw() for chance, name, draw in traits if rng.random() < chance}

    def _company(self, person: Person) -> Json:
        company = person.company
        return {
            "name": company.name,
            "website": company.website,
            "domain": company.domain,
            "industry": company.industry,
            "employee_count": company.employees,
        }

    def _address(self, person: Person) -> Json:
        town, country = person.company.town, person.country
        address = {
            "kind": "work",
            "city": town.city,
            "region": town.region,
            "postal_code": town.postal_code,
            "country": country.name,
            "country_code": country.code,
        }
        return {name: value for name, value in address.items() if value is not None}

    @staticmethod
    def _tidy(kind: str, number: Phone) -> Json:
        return {"raw": number.international, "e164": number.e164, "kind": kind}

    def _phones(self, person: Person) -> list[Json]:
        rng = self._rng
        work = self._written("work", person.work)
        roll = rng.random()
        if roll < 0.08:
            extension = str(rng.randint(10, 9999))
            work = {"raw": f"{person.work.national} ext. {extension}", "e164": person.work.e164, "extension": extension}
        elif roll < 0.12:
            work = {"raw": rng.choice(_JUNK_PHONES), "e164": None}
        phones = [work | {"kind": "work"}]
        if rng.random() < 0.6:
            phones.append(self._written("mobile", person.mobile))
        return phones

    def _written(self, kind: str, number: Phone) -> Json:
        """A number in one of the forms people write; the device resolved it, or did not."""
        dotted = number.international.replace(" ", ".").replace("-", ".")
        forms = (number.e164, number.international, number.national, dotted, f"00{number.international[1:]}")
        return {
            "raw": self._rng.choice(forms),
            "e164": number.e164 if self._rng.random() < 0.7 else None,
            "kind": kind,
        }

    def _privacy(self) -> Json:
        names = ("do_not_email", "do_not_bulk_email", "do_not_phone", "do_not_mail")
        flags: Json = {name: self._rng.random() < 0.2 for name in names}
        return flags | {"processing_restricted": False, "region_rule": self._rng.choice(("gdpr", None))}

    def _consent(self, submission: Json) -> Json:
        return {
            "purpose": "marketing",
            "channel": "email",
            "state": self._rng.choice(("granted", "granted", "denied", "withdrawn", "requested")),
            "legal_basis": "consent",
            "method": self._rng.choice(("checkbox", "double_opt_in", "badge_terms")),
            "statement_version": "2026-01",
            "recorded_at": submission["captured_at"],
            "submission_id": submission["id"],
        }

    def _custom_fields(self, person: Person, submission: Json) -> Json:
        rng = self._rng
        currency = {"GB": "GBP", "US": "USD", "JP": "JPY", "BR": "BRL"}.get(person.country.code, "EUR")
        amount = {"amount": f"{rng.choice((0, 500, 25000, 1200000))}.00", "currency": currency}
        fields: Mapping[str, Any] = {
            "budget": {"type": "money", "value": amount},
            "interests": rng.sample(["pumps", "seals", "valves"], rng.randint(1, 3)),
            "visited_before": rng.random() < 0.4,
            "badge_number": submission.get("badge", {}).get("id") or f"0{rng.randrange(10**4):04d}",
        }
        return {name: value for name, value in fields.items() if rng.random() < 0.8}

    def _card(self, submission: Json) -> Json:
        attachment = self._id("att")
        return {
            "id": attachment,
            "kind": "business_card_front",
            "media_type": "image/jpeg",
            "size": self._rng.randint(40_000, 400_000),
            "sha256": hashlib.sha256(attachment.encode()).hexdigest(),
            "submission_id": submission["id"],
        }


def with_alias_country(prospect: Json) -> Json:
    """The country as a person types it, and no code beside it."""
    address = dict(prospect["addresses"][0])
    code = address.pop("country_code")
    address["country"] = _COUNTRY_ALIASES.get(code, address["country"])
    return {**prospect, "addresses": [address]}
