"""What counts as the same e-mail, name and number, and what a text loses on its way."""

from __future__ import annotations

import unicodedata

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dynamics.core.countries import country_code, country_name
from dynamics.core.normalize import (
    clean_text,
    collapse,
    email_key,
    name_key,
    phone,
    truncate_utf16,
    unicode_email,
    utf16_length,
)
from tests.unit.core.builders import modest

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # unpaired surrogates and controls too
FAMILY = "👩‍👩‍👧‍👦"


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("Ann.Lee@Example.COM", "ann.lee@example.com"),
        ("  ann@example.com\t", "ann@example.com"),
        ("ann+expo@example.com", "ann+expo@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("info@Müller.example", "info@xn--mller-kva.example"),
        ("info@MÜLLER.example", "info@xn--mller-kva.example"),
        ("info@xn--mller-kva.example", "info@xn--mller-kva.example"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("a\x00nn@example.com", "ann@example.com"),
        ('"odd@local"@example.com', '"odd@local"@example.com'),
    ],
)
def test_email_key(value: str, key: str) -> None:
    assert email_key(value) == key


@pytest.mark.parametrize("value", [None, "", "   ", "ann", "@example.com", "ann@", "ann lee@example.com", 5])
def test_no_address_has_no_email_key(value: object) -> None:
    assert email_key(value) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@example.com", "ann+1@example.com"),
        ("jose@example.com", "josé@example.com"),
        ("ann@example.com", "аnn@example.com"),  # Cyrillic а
    ],
)
def test_other_mailboxes_have_other_keys(one: str, other: str) -> None:
    assert email_key(one) != email_key(other)


def test_a_domain_is_also_asked_for_in_its_own_letters() -> None:
    assert unicode_email("info@xn--mller-kva.example") == "info@müller.example"
    assert unicode_email("info@xn--\u0000.example") == "info@xn--\u0000.example"
    assert unicode_email("info@example.com") == "info@example.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ann", "Lee"), (" ANN ", "lee")),
        (("Anna  Maria", "Lee"), ("anna maria", "LEE")),
        (("Jose\u0301", "Ruiz"), ("José", "ruiz")),
        (("Hans", "Groß"), ("HANS", "GROSS")),
    ],
)
def test_same_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert name_key(*one) == name_key(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("José", "Ruiz"), ("Jose", "Ruiz")),
        (("Anna Maria", "Lee"), ("Anna", "Maria Lee")),
        (("Ann", "Lee"), ("Lee", "Ann")),
    ],
)
def test_other_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert name_key(*one) != name_key(*other)


@pytest.mark.parametrize(("first", "last"), [(None, "Lee"), ("Ann", None), ("Ann", "  "), ("", "Lee"), (1, 2)])
def test_half_a_name_is_no_key(first: object, last: object) -> None:
    assert name_key(first, last) is None


@given(ANY_TEXT, ANY_TEXT)
@modest
def test_keys_do_not_depend_on_case_blanks_or_composition(first: str, last: str) -> None:
    key = name_key(first, last)
    # The capital of one letter can be two, and some letters have no way back: compare what survives the round trip.
    if key is not None and first.upper().casefold() == first.casefold() and last.upper().casefold() == last.casefold():
        assert name_key(f"  {first.upper()} ", f"\t{last.upper()}") == key
    assert name_key(unicodedata.normalize("NFD", first), last) == key


@given(ANY_TEXT)
@modest
def test_cleaned_text_can_be_stored_and_is_clean_already(text: str) -> None:
    cleaned, removed = clean_text(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert not any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in cleaned)
    assert clean_text(cleaned) == (cleaned, 0)
    assert removed >= 0


@pytest.mark.parametrize(
    ("text", "cleaned", "removed"),
    [
        ("plain", "plain", 0),
        ("a\x00b\x1fc\x7fd\x85", "abcd", 4),
        ("one\r\ntwo\rthree\tfour\n", "one\ntwo\nthree\tfour\n", 0),
        ("lone \ud83d high, \ude00 low", "lone  high,  low", 2),
        ("paired \ud83d\ude00", "paired 😀", 0),
        ("e\u0301", "é", 0),
        ("\u202bעברית\u202c", "\u202bעברית\u202c", 0),
        (FAMILY, FAMILY, 0),
        ("a\ufffeb\uffff", "ab", 2),
    ],
)
def test_clean_text(text: str, cleaned: str, removed: int) -> None:
    assert clean_text(text) == (cleaned, removed)


def test_collapse() -> None:
    assert collapse(" a \n b\u00a0c ") == "a b c"


def test_length_counts_utf16_units() -> None:
    assert [utf16_length(text) for text in ("abc", "é", "😀", FAMILY, "\ud83d")] == [3, 1, 2, 11, 1]


@given(ANY_TEXT, st.integers(0, 12))
@modest
def test_a_cut_text_fits_and_is_a_beginning(text: str, limit: int) -> None:
    cut = truncate_utf16(text, limit)
    assert text.startswith(cut)
    assert utf16_length(cut) <= limit
    assert cut == text or utf16_length(text) > limit


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("abcdef", 3, "abc"),
        ("abc", 3, "abc"),
        ("ab😀", 3, "ab"),
        (f"ab{FAMILY}", 12, "ab"),
        (f"ab{FAMILY}", 13, f"ab{FAMILY}"),
        ("ae\u0301", 2, "a"),
        (FAMILY, 5, ""),
    ],
)
def test_truncate(text: str, limit: int, cut: str) -> None:
    assert truncate_utf16(text, limit) == cut


@pytest.mark.parametrize(
    ("value", "region", "number"),
    [
        ("+442079460018", None, "+442079460018"),
        ("(020) 7946 0018", "GB", "+442079460018"),
        ("020 7946 0018", None, "020 7946 0018"),
        ("0049 30 901820", "DE", "+4930901820"),
        ("+49 (0)30 901820", None, "+4930901820"),
        ("+44 20 7946 0018 ext. 12", None, "+442079460018 x12"),
        ("+442079460018 x12", None, "+442079460018 x12"),
        (" call  my assistant ", "US", "call my assistant"),
        ("123", "US", "123"),
        ("00123", None, "00123"),
    ],
)
def test_phone(value: str, region: str | None, number: str) -> None:
    assert phone(value, region) == number


@given(ANY_TEXT, st.sampled_from([None, "DE", "US", "JP"]))
@modest
def test_a_number_once_read_stays(text: str, region: str | None) -> None:
    once = phone(text, region)
    assert phone(once, region) == once


REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS = sorted(phonenumbers.PhoneNumberType.values())


@given(st.sampled_from(REGIONS), st.sampled_from(KINDS), st.data())
@modest
def test_a_number_written_out_is_what_the_library_reads(region: str, kind: int, data: st.DataObject) -> None:
    """Examples of every country and kind, some digits changed, put before or taken away, with any gaps."""
    example = phonenumbers.example_number_for_type(region, kind) or phonenumbers.example_number(region)
    assume(example is not None)
    digits = list(phonenumbers.national_significant_number(example))
    for position in data.draw(st.lists(st.integers(0, len(digits) - 1), max_size=2)):
        digits[position] = data.draw(st.sampled_from("0123456789"))
    digits[:0] = data.draw(st.lists(st.sampled_from("0123456789"), max_size=2))
    gap = data.draw(st.sampled_from(["", " ", ".", "-"]))
    text = f"+{example.country_code} {gap.join(digits)}"
    read = phonenumbers.parse(text, None)
    whole = phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164)
    assert phone(text) == (whole if phonenumbers.is_valid_number(read) else text)


def test_countries() -> None:
    assert [country_name(text) for text in ("de", "GB", " Deutschland ", "ESPAÑA", "ad", "XX", "Kongo")] == [
        "Germany",
        "United Kingdom",
        "Germany",
        "Spain",
        "Andorra",
        "XX",
        "Kongo",  # of two countries, in one language or another
    ]
    known = {"de": "DE", "germany": "DE", "Côte d'Ivoire": "CI", "UK": "GB", "日本": "JP", "Utopia": None, "EU": None}
    assert {text: country_code(text) for text in known} == known


def test_every_country_is_found_by_its_code_and_by_its_name() -> None:
    codes = phonenumbers.SUPPORTED_REGIONS - {"AC", "TA"}
    assert {code for code in codes if country_code(country_name(code)) != code or country_name(code) == code} == set()
