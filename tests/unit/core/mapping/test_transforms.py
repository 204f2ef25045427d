"""Each named step, on one value at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.mapping.coercion import Misfit
from dynamics.core.mapping.transforms import REGISTRY, STEP_NAMES, BadArgumentError, build_step
from dynamics.core.mapping.transforms.page import page
from tests.unit.core.builders import modest

TABLES = {"rating": {"hot": "1", "Warm": "2", "*": ""}, "strict": {"hot": "1"}, "empty": {}}
NO_ARGUMENT_STEPS = [name for name in STEP_NAMES if name in REGISTRY and name not in ("map", "zone")]


def run(name: str, value: object, argument: str | None = None, region: str | None = None) -> object:
    return build_step(name, argument, TABLES).over([value], [region])[0]


@pytest.mark.parametrize(
    ("name", "argument", "value", "result"),
    [
        ("trim", None, "  a b ", "a b"),
        ("trim", None, "   ", None),
        ("trim", None, [" a ", "b "], ["a", "b"]),
        ("trim", None, 5, 5),
        ("lower", None, "ANN", "ann"),
        ("upper", None, "straße", "STRASSE"),
        ("title", None, "ANNA-MARIA O'BRIEN", "Anna-Maria O'Brien"),
        ("title", None, "ann lee", "Ann Lee"),
        ("title", None, "Ronald McDonald van Dyck", "Ronald McDonald van Dyck"),
        ("text", None, 5.0, "5"),
        ("text", None, True, "true"),
        ("text", None, ["a", 1], "a; 1"),
        ("country", None, "DE", "Germany"),
        ("country", None, "Deutschland", "Germany"),
        ("country", None, " Utopia ", "Utopia"),
        ("country", "code", "España", "ES"),
        ("first", None, ["a", "b"], "a"),
        ("first", None, "a", "a"),
        ("join", None, ["a", "b"], "a; b"),
        ("join", ", ", ["a", 2], "a, 2"),
        ("join", "\\n", ["a", "b"], "a\nb"),
        ("join", ", ", "a", "a"),
        ("bool", None, "Yes", True),
        ("bool", None, "off", False),
        ("bool", None, 0, False),
        ("only_true", None, True, True),
        ("only_true", None, False, None),
        ("only_true", None, "no", None),
        ("map", "rating", " HOT ", "1"),
        ("map", "rating", "Warm", "2"),
        ("map", "rating", "tepid", None),
        ("map", "strict", ["hot", "hot"], ["1", "1"]),
        ("date", "%d/%m/%Y", "04/03/2026", date(2026, 3, 4)),
        ("date", None, "2026-03-04T23:30:00-05:00", date(2026, 3, 4)),
        ("datetime", "%d.%m.%Y %H:%M", "04.03.2026 09:30", datetime(2026, 3, 4, 9, 30)),  # noqa: DTZ001
        ("datetime", "%Y-%m-%d %H:%M %z", "2026-03-04 09:30 +0100", datetime(2026, 3, 4, 8, 30, tzinfo=UTC)),
        ("number", "de", "€ 1.234,56", Decimal("1234.56")),
        ("number", "en", "$1,234.56", Decimal("1234.56")),
        ("number", "fr", "1 234,5", Decimal("1234.5")),
        ("number", "ch", "1’234.50", Decimal("1234.50")),
        ("number", None, "-12", Decimal(-12)),
        ("number", "de", 5, 5),
        ("strip_html", None, "<p>Dear &amp; <b>near</b></p><script>x()</script>a < b", "Dear & near\na < b"),
        ("strip_html", None, "no tags", "no tags"),
        ("strip_html", None, "<br>", None),
    ],
)
def test_step(name: str, argument: str | None, value: object, result: object) -> None:
    found = run(name, value, argument)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("name", "argument", "value", "rule"),
    [
        ("bool", None, "maybe", "not_a_boolean"),
        ("only_true", None, "maybe", "not_a_boolean"),
        ("map", "strict", "cold", "not_in_value_table"),
        ("map", "strict", ["hot", "cold"], "not_in_value_table"),
        ("date", "%d/%m/%Y", "2026-03-04", "not_a_date"),
        ("date", None, "tomorrow", "not_a_date"),
        ("date", None, "1066-10-14", "out_of_range"),
        ("number", "de", "1,234.56", "not_a_number"),
        ("number", "en", "1,50", "not_a_number"),
        ("number", "en", "about 5", "not_a_number"),
        ("number", "en", "1E5", "not_a_number"),
        ("text", None, {"latitude": 1}, "not_text"),
    ],
)
def test_a_value_that_cannot_be_read_is_no_guess(name: str, argument: str | None, value: object, rule: str) -> None:
    misfit = run(name, value, argument)
    assert isinstance(misfit, Misfit)
    assert misfit.rule == rule
    assert str(value) not in str(misfit)


def test_numbers_without_country_code_are_of_the_prospect_s_country() -> None:
    assert run("phone", "020 7946 0018", region="GB") == "+442079460018"
    assert run("phone", "020 7946 0018") == "020 7946 0018"


def test_blanks_and_misfits_pass() -> None:
    misfit = Misfit("not_a_date", "text of 3 characters", "is no date")
    assert build_step("lower", None, TABLES).over([None, misfit, "A"], [None] * 3) == [None, misfit, "a"]


@pytest.mark.parametrize(
    ("name", "argument"), [("trim", "x"), ("map", None), ("map", "no"), ("date", "%"), ("number", "x")]
)
def test_bad_arguments(name: str, argument: str | None) -> None:
    with pytest.raises(BadArgumentError):
        build_step(name, argument, TABLES)


VALUES = st.one_of(
    st.text(),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.lists(st.text(max_size=3), min_size=1, max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@given(st.sampled_from(NO_ARGUMENT_STEPS), VALUES)
@modest
def test_no_value_breaks_a_step(name: str, value: object) -> None:
    result = run(name, value)
    assert not (isinstance(result, str) and not result.strip())


@given(st.sampled_from(["trim", "lower", "upper", "title", "country", "strip_html"]), st.text())
@modest
def test_text_steps_give_text_or_nothing(name: str, value: str) -> None:
    assert run(name, value) is None or isinstance(run(name, value), str)


EXAMPLES = [(each.usage, given, gives) for each in REGISTRY.values() for given, gives in each.examples]


@pytest.mark.parametrize(("usage", "given", "gives"), EXAMPLES)
def test_the_examples_of_the_page_hold(usage: str, given: object, gives: object) -> None:
    name, _, argument = usage.removesuffix(")").partition("(")
    assert run(name, given, argument or None) == gives


def test_every_transform_says_what_it_does() -> None:
    assert [each.name for each in REGISTRY.values() if not each.doc.endswith(".")] == []


def test_the_page_of_the_docs_is_up_to_date() -> None:
    written = (Path(__file__).parents[4] / "docs" / "transforms.md").read_text("utf-8")
    assert written == page(), "run make docs"
