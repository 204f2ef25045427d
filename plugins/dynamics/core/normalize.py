"""Canonical forms: what makes two e-mails, names or telephone numbers the same, and text that Dynamics can hold.

Leaves comparing to `matching` and writing to `mapping`. Accents, look-alike letters and plus tags are never folded:
they tell people apart. Lengths are UTF-16 units, as Dataverse counts them (page "Column types").
"""

from __future__ import annotations

import re
import unicodedata

import idna
import phonenumbers

from dynamics.core.graphemes import floor_boundary

_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_SUSPECT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_E164 = re.compile(r"\+[1-9][0-9]{3,14}", re.ASCII)
_WRITTEN_OUT = re.compile(r"\+[1-9][0-9]*(?:[ .\-/][0-9]+)*", re.ASCII)
_WITHOUT_GAPS = str.maketrans("", "", "+ .-/")
# Cannot stand in a cleaned name, so ("Anna Maria", "Lee") and ("Anna", "Maria Lee") stay two people.
_NAME_SEPARATOR = "\x1f"


# ---------------------------------------------------------------- text


def clean_text(text: str) -> tuple[str, int]:
    """Text that Dynamics and PostgreSQL can hold, and how many characters were removed for it.

    Control characters but line feed and tab, the noncharacters U+FFFE and U+FFFF, which Dynamics refuses, and unpaired
    surrogates are removed; line ends become line feeds and letters are composed (NFC), which counts as no removal.
    Bidirectional marks and joiners stay.
    """
    if text.isascii() and text.isprintable():
        return text, 0
    if not _SUSPECT.search(text):  # nor most others
        return unicodedata.normalize("NFC", text), 0
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = _UNWRITABLE.sub("", text)
    removed = len(text) - len(kept)
    if _SURROGATES.search(kept):
        paired = kept.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
        removed += utf16_length(kept) - utf16_length(paired)
        kept = paired
    return unicodedata.normalize("NFC", kept), removed


def is_clean(text: str) -> bool:
    """Whether `clean_text` would change nothing."""
    return unicodedata.is_normalized("NFC", text) and (text.isprintable() or not _SUSPECT.search(text))


def collapse(text: str) -> str:
    """Cleaned text without outer blanks, inner runs of blanks as one space."""
    return " ".join(clean_text(text)[0].split())


def utf16_length(text: str) -> int:
    """Length in UTF-16 units: characters beyond the basic plane, as most emoji, count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def truncate_utf16(text: str, limit: int) -> str:
    """The longest start of a text within `limit` UTF-16 units that ends between two whole characters.

    May be empty, when the first character alone is too long.
    """
    index = min(len(text), limit)
    while (excess := utf16_length(text[:index]) - limit) > 0:
        index -= (excess + 1) // 2  # a character is at most two units: never cuts more than needed
    return text[: floor_boundary(text, index)]


# ---------------------------------------------------------------- people


def email_key(value: object) -> str | None:
    """What two equal e-mail addresses share: trimmed, composed, lower case, the domain in ASCII form (IDNA).

    None when it is no address. Plus tags stay: they are other mailboxes by default.
    """
    if not isinstance(value, str):
        return None
    address = clean_text(value)[0].strip().lower()
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or address.split() != [address]:
        return None
    # Lower case can undo the composition (the Turkish dotted I).
    return unicodedata.normalize("NFC", f"{local}@{_ascii_domain(domain)}")


def unicode_email(key: str) -> str:
    """The same address with its domain written in letters, as people type it. `key` is an e-mail key."""
    local, _, domain = key.rpartition("@")
    if "xn--" not in domain:
        return key
    try:
        return f"{local}@{idna.decode(domain)}"
    except idna.IDNAError:
        return key


def name_key(first: object, last: object) -> str | None:
    """What two equal names share: first AND last, composed, blanks collapsed, case-folded. None without both."""
    if not isinstance(first, str) or not isinstance(last, str):
        return None
    parts = [collapse(first).casefold(), collapse(last).casefold()]
    return unicodedata.normalize("NFC", _NAME_SEPARATOR.join(parts)) if all(parts) else None


def is_e164(text: str) -> bool:
    """Whether a telephone number is in international form already."""
    return _E164.fullmatch(text) is not None


def phone(value: str, region: str | None = None) -> str:
    """A telephone number in E.164 form, an extension behind it (`+442079460018 x12`).

    Args:
        value: as written down.
        region: two-letter code of the country whose national form is assumed when the country code is missing.
    Returns:
        the text itself, trimmed, when it is no valid number there: a person may still be able to dial it.
    """
    text = collapse(value)
    if is_e164(text):
        return text
    number = _written_out(text)
    if number is not None and phonenumbers.is_valid_number(number):
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_valid_number(number):
        return text
    canonical = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{canonical} x{number.extension}" if number.extension else canonical


def _written_out(text: str) -> phonenumbers.PhoneNumber | None:
    """A number with its country code, digits and gaps alone, read without the library's search for what else it might
    be, which takes most of the time. None when it is anything more than that, a trunk zero included."""
    if not _WRITTEN_OUT.fullmatch(text):
        return None
    digits = text.translate(_WITHOUT_GAPS)
    for length in (1, 2, 3):  # no country code begins another one
        if int(digits[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            national = digits[length:]
            plain = national and national[0] != "0"
            return phonenumbers.PhoneNumber(int(digits[:length]), int(national)) if plain else None
    return None


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return domain
