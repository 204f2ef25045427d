"""English names of countries by their two-letter code, and codes by their names in the languages people fill forms in.

Leaves names that nobody knows to whoever wrote them. Source: Unicode CLDR by way of Babel; where its English names are
those of a map's legend, the usual ones.
"""

from __future__ import annotations

from functools import cache, lru_cache

from babel import Locale

LANGUAGES = "ar cs da de el en es et fi fr he hi hr hu id it ja ko lt lv nb nl pl pt ro ru sk sl sv th tr uk vi zh"
# Codes that stand for no country: unions, tests, and islands that ISO reserves no code of its own for.
_NO_COUNTRIES = "AC CP CQ DG EA EU EZ IC QO TA UN XA XB ZZ"
_USUAL = {
    "CD": "Democratic Republic of the Congo",
    "CG": "Republic of the Congo",
    "CI": "Côte d'Ivoire",
    "HK": "Hong Kong",
    "MM": "Myanmar",
    "MO": "Macao",
    "PS": "Palestine",
}
_ALSO = {"uk": "GB", "great britain": "GB", "england": "GB", "usa": "US", "united states of america": "US"}


def country_name(text: str) -> str:
    """The English name for a two-letter code or a name in any of the languages; any other text without outer blanks."""
    code = country_code(text)
    return text.strip() if code is None else _english()[code]


@lru_cache(4096)
def country_code(text: str) -> str | None:
    """The two-letter code for a code or a name, in any case; None for a name we do not know."""
    name = text.strip()
    if name.upper() in _english():
        return name.upper()
    folded = name.casefold()
    return _code_by_english_name().get(folded) or _code_by_any_name().get(folded)


@cache
def _english() -> dict[str, str]:
    """Code -> name."""
    names = _territories("en")
    return {code: name.replace("&", "and").replace("St. ", "Saint ") for code, name in names.items()} | _USUAL


@cache
def _code_by_english_name() -> dict[str, str]:
    return {name.casefold(): code for code, name in _english().items()} | _ALSO


@cache
def _code_by_any_name() -> dict[str, str]:
    """Names that mean two countries, in one language or another, mean none. Read when English is not enough."""
    codes: dict[str, set[str]] = {}
    for language in LANGUAGES.split():
        for code, name in _territories(language).items():
            codes.setdefault(name.casefold(), set()).add(code)
    return {name: next(iter(found)) for name, found in codes.items() if len(found) == 1}


def _territories(language: str) -> dict[str, str]:
    named = Locale.parse(language).territories.items()
    return {code: name for code, name in named if len(code) == 2 and code not in _NO_COUNTRIES.split()}
