"""The prospects of the race, the leads that stand in the CRM before it, and what must stand there after it.

Of four prospects two are new, one is known under an older job title and city, and one is known as it is. Names are of
many countries and scripts. A prospect carries what a booth captures, of which the mapping takes thirteen columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID, uuid5

from sandbox.sample.names import family_names, given_names

Prospect = dict[str, Any]
Lead = dict[str, str]

MAPPING = """target,source,transform,default,write,blank,comment
subject,{first_name} {last_name},truncate,,always,keep,
firstname,first_name,trim,,always,keep,
lastname,last_name,trim,,always,keep,
emailaddress1,email,trim|lower,,always,keep,
jobtitle,job_title,trim,,always,keep,
mobilephone,phones.mobile,phone,,always,keep,
telephone1,phones.work,phone,,always,keep,
companyname,company.name,trim,,always,keep,
address1_line1,address.line1,trim,,always,keep,
address1_city,address.city,trim,,always,keep,
address1_postalcode,address.postal_code,trim,,always,keep,
address1_country,address.country,trim,,always,keep,
description,notes.all,truncate,,always,keep,
"""
COLUMNS = tuple(line.partition(",")[0] for line in MAPPING.splitlines()[1:])

_COUNTRIES = ("GB", "IE", "DE", "FR", "PL", "UA", "GR", "EG", "IL", "CN", "JP", "KR", "TH", "IN", "BR")
_CITIES = (
    "Leeds",
    "Cork",
    "Łódź",
    "Львів",
    "Θεσσαλονίκη",
    "부산",
    "横浜",
    "杭州",
    "เชียงใหม่",
    "الإسكندرية",
    "İzmir",
    "A Coruña",
)
_JOBS = ("Plant engineer", "Leiterin Einkauf", "구매 팀장", "Директор з постачання", "購買部長", "Jefe de compras")
_NOTES = (
    "Asked for a demonstration next week.",
    "Ruft uns an – dringend",
    "Needs ATEX & SIL-2 ✅",
    "Zwei Werke, 3 Linien",
)
_SPACE = UUID("3d0f7f0a-6a43-4c06-9a51-7f1f5a8f0b11")


def is_known(number: int) -> bool:
    """Whether the person stands in the CRM already."""
    return number % 4 >= 2


def is_outdated(number: int) -> bool:
    """Whether the CRM says something else of the person than the prospect does."""
    return number % 4 == 2


def prospects(count: int) -> Iterator[Prospect]:
    """`count` persons who share nothing; the same ones each time."""
    for number in range(count):
        country = _COUNTRIES[number % len(_COUNTRIES)]
        given, family = _name(given_names(country), number // 3), _name(family_names(country), number // 7)
        at = f"2026-03-{1 + number % 28:02}T{8 + number % 10:02}:{number % 60:02}:{number // 60 % 60:02}.000Z"
        yield {
            "id": f"pro_{number:010d}",
            "revision": 1 + number % 3,
            "status": "active",
            "created_at": at,
            "updated_at": at,
            "first_name": given,
            "last_name": family,
            "email": f"Person.{number:07}@company-{number % 997:03}.example",
            "job_title": _JOBS[number % len(_JOBS)],
            "company": {
                "name": f"Orel {family} GmbH & Co",
                "website": f"https://company-{number % 997:03}.example",
                "industry": "Utility Creation and Distribution",
                "employee_count": 7 + number % 900,
            },
            "phones": [
                {"raw": f"020 7946 {number % 10_000:04}", "e164": f"+44207946{number % 10_000:04}", "kind": "work"},
                {"raw": f"07700 9{number % 100_000:05}", "e164": f"+4477009{number % 100_000:05}", "kind": "mobile"},
            ],
            "addresses": [
                {
                    "kind": "work",
                    "line1": f"{1 + number % 180} Harbour Road",
                    "city": _CITIES[number % len(_CITIES)],
                    "postal_code": f"{number % 100_000:05}",
                    "country": "United Kingdom",
                    "country_code": "GB",
                }
            ],
            "owner": {"id": f"usr_{30 + number % 6}", "email": "sam.lee@vendor.example", "name": "Sam Lee"},
            "lead_source": "Trade show",
            "notes": [{"id": f"not_{number}", "text": _NOTES[number % len(_NOTES)], "created_at": at}],
            "submissions": [_submission(number, at)],
            "tags": ["follow up 🚀", "hot"],
            "rating": {"scale": "stars_5", "value": 1 + number % 5},
            "privacy": {"do_not_email": False, "do_not_phone": False, "processing_restricted": False},
            "language": "en",
        }


def lead_of(prospect: Mapping[str, Any]) -> Lead:
    """What the mapping makes of a prospect, as somebody would write it who has this one mapping only."""
    phones = {phone["kind"]: phone["e164"] for phone in prospect["phones"]}
    address = prospect["addresses"][0]
    return {
        "subject": f"{prospect['first_name'].strip()} {prospect['last_name'].strip()}",
        "firstname": prospect["first_name"].strip(),
        "lastname": prospect["last_name"].strip(),
        "emailaddress1": prospect["email"].strip().lower(),
        "jobtitle": prospect["job_title"].strip(),
        "mobilephone": phones["mobile"],
        "telephone1": phones["work"],
        "companyname": prospect["company"]["name"].strip(),
        "address1_line1": address["line1"].strip(),
        "address1_city": address["city"].strip(),
        "address1_postalcode": address["postal_code"].strip(),
        "address1_country": address["country"].strip(),
        "description": "\n".join(note["text"].strip() for note in prospect["notes"]),
    }


def known_leads(count: int) -> Iterator[Lead]:
    """The leads that stand in the CRM before the race."""
    for number, prospect in enumerate(prospects(count)):
        if is_known(number):
            older = {"jobtitle": "Trainee", "address1_city": "Old Town"} if is_outdated(number) else {}
            yield {"leadid": lead_id(number), **lead_of(prospect), **older}


def lead_id(number: int) -> str:
    """Under which id the lead of a known person stands in the CRM."""
    return str(uuid5(_SPACE, str(number)))


def digest(leads: Iterable[Mapping[str, object]]) -> str:
    """What two sets of leads with the same content share, whatever their order and ids."""
    lines = sorted("\x1f".join(str(lead.get(column)) for column in COLUMNS) for lead in leads)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _submission(number: int, at: str) -> dict[str, Any]:
    return {
        "id": f"sub_{number:010d}",
        "prospect_id": f"pro_{number:010d}",
        "revision": 1,
        "captured_at": at,
        "received_at": at,
        "method": "badge_scan",
        "state": "complete",
        "event": {"id": "evt_12", "name": "Flow Expo 2026", "code": "FLOW26"},
        "form": {"id": "frm_88", "name": "Booth form"},
        "station": {"id": "st_2", "name": "Demo island"},
        "captured_by": {"id": "usr_32", "email": "ines.okafor@vendor.example", "name": "Ines Okafor"},
        "badge": {"id": f"A-{number}", "symbology": "qr"},
        "answers": [
            {
                "element_id": "el_2",
                "key": "products",
                "question": "Which products interest you?",
                "type": "multi_choice",
                "value": ["pumps", "valves"],
                "labels": ["Pumps", "Valves"],
            },
            {"element_id": "el_3", "key": "comment", "question": "Anything else?", "type": "text", "value": "Call us"},
        ],
    }


def _name(names: tuple[Any, ...], number: int) -> str:
    return str(names[number % len(names)].text)
