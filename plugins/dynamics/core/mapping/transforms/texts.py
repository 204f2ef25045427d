"""Steps on texts and lists of texts."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser

from dynamics.core.countries import country_code, country_name
from dynamics.core.mapping.coercion import Misfit, text_of, value_class
from dynamics.core.mapping.transforms.registry import (
    BadArgumentError,
    Convert,
    ValueTables,
    argument_step,
    text_step,
    value_step,
)
from dynamics.core.normalize import is_e164, phone

_ONE_CASE_WORD = re.compile(r"[^\W\d_]{2,}")


@text_step("trim", ("  Ann ", "Ann"))
def trim(text: str) -> str:
    """Takes away blanks at both ends."""
    return text.strip()


@text_step("collapse", (" Ann  Marie ", "Ann Marie"))
def collapse(text: str) -> str:
    """Makes every run of blanks and line ends one blank, and takes away those at both ends."""
    return " ".join(text.split())


@text_step("lower", ("Ann@Example.COM", "ann@example.com"))
def lower(text: str) -> str:
    """Small letters."""
    return text.lower()


@text_step("upper", ("flow25", "FLOW25"))
def upper(text: str) -> str:
    """Capital letters."""
    return text.upper()


@text_step("title", ("ANNA-MARIA O'BRIEN", "Anna-Maria O'Brien"), ("Ronald McDonald", "Ronald McDonald"))
def title(text: str) -> str:
    """Capitals at word starts, when the text has one case only: `McDonald` and `van Dyck` know better than we do."""
    if text not in (text.upper(), text.lower()):
        return text
    return _ONE_CASE_WORD.sub(lambda word: word[0].capitalize(), text)


class _TextOnly(HTMLParser):
    """Collects what a reader would see; a line for each block."""

    blocks = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "ul", "ol", "table"})
    hidden = frozenset({"script", "style"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.muted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.muted += tag in self.hidden
        if tag in self.blocks:
            self.seen.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden and self.muted:
            self.muted -= 1
        if tag in self.blocks:
            self.seen.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.muted:
            self.seen.append(data)


@text_step("strip_html", ("<p>Call <b>Ann</b></p><p>Tue &amp; Wed</p>", "Call Ann\nTue & Wed"))
def strip_html(text: str) -> str:
    """What a reader would see of HTML, a line for each block."""
    if "<" not in text and "&" not in text:
        return text
    parser = _TextOnly()
    parser.feed(text)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.seen).split("\n"))
    return "\n".join(line for line in lines if line)


@argument_step("email", (" Ann.Lee@EXAMPLE.org ", "Ann.Lee@example.org"))
def email(argument: str | None, _: ValueTables) -> Convert:
    """An e-mail address, checked for its form, its domain in small letters. What is none does not fit."""
    if argument is not None:
        raise BadArgumentError("'email' takes no argument")
    # Here, because it takes a tenth of a second that only mappings with this step need.
    from email_validator import EmailNotValidError, validate_email

    def convert(value: object, _: str | None) -> object:
        try:
            address = validate_email((text_of(value) or "").strip(), check_deliverability=False, test_environment=True)
        except EmailNotValidError:
            return Misfit("not_an_email", value_class(value), "is no e-mail address")
        return address.normalized

    return convert


@argument_step("country(code)", ("Deutschland", "DE"), ("gb", "GB"), ("Utopia", "Utopia"))
def country(form: str | None, _: ValueTables) -> Convert:
    """The English name of a country, from its two-letter code or its name in any of some thirty languages; with `code`
    the two letters. What is neither stays as it is."""
    if form not in (None, "code"):
        raise BadArgumentError("'country' is written country for the name or country(code) for the two letters")

    def name(text: str) -> str:
        return country_name(text) if form is None else country_code(text) or text.strip()

    def convert(value: object, _: str | None) -> object:
        if isinstance(value, list):
            return [name(item) if isinstance(item, str) else item for item in value]
        return name(value) if isinstance(value, str) else value

    return convert


@value_step("phone", ("+44 20 7946 0018", "+442079460018"), ("ask for Ann", "ask for Ann"))
def phone_number(value: object, region: str | None) -> object:
    """A telephone number in international form, an extension behind it. Without a country code the country of the
    prospect's address counts. What is no number stays as it is: a person may still be able to dial it."""
    if isinstance(value, str) and is_e164(value):  # as most are
        return value
    text = text_of(value)
    return value if text is None else _known_phone(text, region)


_known_phone = lru_cache(4096)(phone)  # a company's switchboard comes again and again


@value_step("text", (5.0, "5"), (["a", 1], "a; 1"), (True, "true"))
def text(value: object, _: str | None) -> object:
    """A number, a yes/no value, a date or a list as people write it."""
    written = text_of(value)
    return Misfit("not_text", value_class(value), "cannot be written as text") if written is None else written


@value_step("first", (["a", "b"], "a"), ("a", "a"))
def first(value: object, _: str | None) -> object:
    """The first item of a list."""
    return value[0] if isinstance(value, list) and value else value


@argument_step("join(; )", (["pumps", "seals"], "pumps; seals"), ("pumps", "pumps"))
def join(separator: str | None, _: ValueTables) -> Convert:
    """A list as one text, with this between its items; `\\n` stands for a line end."""
    glue = "; " if separator is None else separator.replace("\\n", "\n")

    def convert(value: object, _: str | None) -> object:
        if not isinstance(value, list):
            return value
        texts = [text_of(item) for item in value]
        if None in texts:
            return Misfit("not_text", value_class(value), "holds what cannot be written as text")
        return glue.join(text for text in texts if text)

    return convert
