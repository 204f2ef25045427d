"""Countries of the show's visitors: towns, postal codes, telephone plans, read from `countries.csv`.

Decides only how a number is written (`Phone`). Numbers follow each country's plan closely enough to be parsed; `#`
stands for a digit to be drawn.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Town:
    city: str
    region: str | None
    postal_code: str


@dataclass(frozen=True)
class Country:
    """A country. `work` and `mobile` are national masks, `trunk` the prefix they carry only inside the country."""

    code: str
    name: str
    language: str
    calling: str
    work: str
    mobile: str
    trunk: str
    legal_form: str
    towns: tuple[Town, ...]


@dataclass(frozen=True)
class Phone:
    """One number in the forms people write it."""

    country: Country
    national: str

    @classmethod
    def draw(cls, rng: Random, country: Country, mask: str) -> Phone:
        return cls(country, "".join(str(rng.randrange(10)) if c == "#" else c for c in mask))

    @property
    def significant(self) -> str:
        """The national number without its trunk prefix, still grouped as in the country."""
        number = self.national.replace("(", "").replace(")", "")
        return number.removeprefix(self.country.trunk) if self.country.trunk else number

    @property
    def international(self) -> str:
        return f"+{self.country.calling} {self.significant}"

    @property
    def e164(self) -> str:
        return "+" + "".join(c for c in self.country.calling + self.significant if c.isdigit())


def _read() -> tuple[Country, ...]:
    with Path(__file__).with_name("countries.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_country(row) for row in csv.DictReader(file))


def _country(row: dict[str, str]) -> Country:
    towns = (town.strip().split("/") for town in row.pop("towns").split(";"))
    return Country(**row, towns=tuple(Town(city, region or None, code) for city, region, code in towns))


COUNTRIES = _read()
