"""Invents companies and people, every person distinct from every other by e-mail and by name.

Distinct means: also after folding case and accents, so that nobody is taken for somebody else unless a case plants it.
Enough for half a million people.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from random import Random

from sandbox.sample.names import Name, family_names, given_names
from sandbox.sample.places import COUNTRIES, Country, Phone, Town

_STEMS = [
    "Northmoor", "Halcyon", "Brightwell", "Kestrel", "Ironbridge", "Calder", "Ostara", "Veridian", "Lumen",
    "Torrent", "Meridian", "Alder", "Quarry", "Fenwick", "Solent", "Arken", "Boreal", "Cascade", "Delphin",
    "Estuary", "Falkner", "Grünwald", "Hydrion", "Isar", "Jutland", "Kronos", "Lagoon", "Marlow", "Nautil",
    "Orsted", "Penrose", "Quantock", "Rivera", "Santoro", "Tideway", "Ursa", "Valmont", "Westerly", "Xenith",
    "Yarrow", "Zephyr", "Ardent", "Baltic", "Corva", "Drava", "Elbe", "Fjord", "Garonne", "Hanse", "Inver",
]  # fmt: skip
_TRADES = ["Valves", "Pumps", "Seals", "Filtration", "Process Controls", "Water Systems", "Fluid Power", "Instruments"]
_INDUSTRIES = [
    "Durable Manufacturing",
    "Petrochemical Extraction and Distribution",
    "Utility Creation and Distribution",
    "Food and Tobacco Processing",
    "Consulting",
    "Water & Wastewater",
    "Transportation",
]
_TITLES = [
    "Plant Engineer",
    "Head of Procurement",
    "Maintenance Manager",
    "R&D Lead",
    "CEO",
    "Project Manager",
    'Sales "Closer"',
    "VP, Operations & Supply Chain",
    "Quality <QA> Lead",
]
_LOCAL_TITLES = {
    "fr": ["Ingénieure procédés", "Directeur d'usine"],
    "de": ["Einkaufsleiter", "Geschäftsführerin"],
    "es": ["Director de Planta", "Jefa de mantenimiento"],
    "el": ["Διευθυντής Παραγωγής"],
    "uk": ["Головний інженер"],
    "ar": ["مدير المشتريات"],
    "he": ["מנהלת רכש"],
    "zh": ["工程师", "采购经理"],
    "ja": ["部長", "技術営業"],
    "ko": ["구매 팀장"],
    "th": ["ผู้จัดการโรงงาน"],
    "hi": ["संयंत्र प्रबंधक"],
    "pt": ["Técnico de manutenção"],
}
_COMPANIES = 300
_SPELLED_OUT = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "đ": "d", "ı": "i"})


@dataclass(frozen=True)
class Company:
    name: str
    domain: str
    country: Country
    town: Town
    industry: str
    employees: int

    @property
    def website(self) -> str:
        return f"https://{self.domain}"


@dataclass(frozen=True)
class Person:
    first: str
    last: str
    email: str
    job_title: str
    company: Company
    work: Phone
    mobile: Phone

    @property
    def country(self) -> Country:
        return self.company.country


def latin(name: Name) -> str:
    """A name in lower-case ASCII letters, for an address."""
    if name.latin is not None:
        return name.latin
    return re.sub("[^a-z]", "", folded(name.text))


def folded(text: str) -> str:
    """Case and accents taken away."""
    spelled = unicodedata.normalize("NFKD", text.translate(_SPELLED_OUT))
    return "".join(c for c in spelled if not unicodedata.combining(c)).casefold()


class Cast:
    """Draws people one after the other."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._pairs = {c.code: _name_pairs(rng, c.code) for c in COUNTRIES}
        self._names: set[tuple[str, str]] = set()
        self._addresses: set[str] = set()
        companies = [_company(rng, number) for number in range(_COMPANIES)]
        self._companies = {c.code: [x for x in companies if x.country is c] for c in COUNTRIES}

    def person(self, *countries: str) -> Person:
        """Somebody new, from one of these countries (ISO alpha-2), by default from any."""
        rng = self._rng
        company = rng.choice(self._companies[rng.choice(countries or tuple(self._companies))])
        first, last = self._name(company.country.code)
        return Person(
            first=first.text,
            last=last.text,
            email=self._address(first, last, company),
            job_title=rng.choice(_TITLES + 2 * _LOCAL_TITLES.get(company.country.language, [])),
            company=company,
            work=Phone.draw(rng, company.country, company.country.work),
            mobile=Phone.draw(rng, company.country, company.country.mobile),
        )

    def _name(self, country: str) -> tuple[Name, Name]:
        for first, last in self._pairs[country]:
            key = (folded(first.text), folded(last.text))
            if key not in self._names:
                self._names.add(key)
                return first, last
        raise ValueError(f"no names left in {country}")

    def _address(self, first: Name, last: Name, company: Company) -> str:
        domain = company.domain if self._rng.random() < 0.85 else self._rng.choice(("mail.example", "post.example"))
        local = self._rng.choice((f"{latin(first)}.{latin(last)}", f"{latin(first)[0]}{latin(last)}"))
        address, number = f"{local}@{domain}", 1
        while address in self._addresses:
            number += 1
            address = f"{local}{number}@{domain}"
        self._addresses.add(address)
        return address


def _company(rng: Random, number: int) -> Company:
    """Company of a number below `_COMPANIES`; every country gets some, every pair of stem and trade is there once."""
    country = COUNTRIES[number % len(COUNTRIES)]
    town = rng.choice(country.towns)
    stem, trade = _STEMS[number % len(_STEMS)], _TRADES[(number + number // len(_STEMS)) % len(_TRADES)]
    # Some carry their town in the name, in the town's own script.
    title = f"{stem} {town.city} {trade}" if rng.random() < 0.2 else f"{stem} {trade}"
    return Company(
        name=f"{title} {country.legal_form}",
        domain=f"{re.sub('[^a-z]+', '-', folded(f'{stem} {trade}'))}.example",
        country=country,
        town=town,
        industry=rng.choice(_INDUSTRIES),
        employees=rng.choice((7, 24, 85, 240, 1200, 18000)),
    )


def _name_pairs(rng: Random, country: str) -> Iterator[tuple[Name, Name]]:
    """Every pair of names once: plain ones first, then double family names, then double given names too."""
    given, family = given_names(country), family_names(country)
    yield from _shuffled(rng, given, family)
    doubled_family = tuple(_double(a, b) for a, b in product(family, family) if a is not b)
    yield from _shuffled(rng, given, doubled_family)
    doubled_given = tuple(_double(a, b) for a, b in product(given, given) if a is not b)
    yield from _shuffled(rng, doubled_given, doubled_family)


def _shuffled(rng: Random, given: tuple[Name, ...], family: tuple[Name, ...]) -> list[tuple[Name, Name]]:
    pairs = list(product(given, family))
    rng.shuffle(pairs)
    return pairs


def _double(a: Name, b: Name) -> Name:
    both = None if a.latin is None or b.latin is None else f"{a.latin}{b.latin}"
    return Name(f"{a.text}-{b.text}", both)
