"""What becomes of good, odd and impossible input in each kind of column: whole rows of a mapping, one value each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.lookup import LookupKey, LookupMiss
from dynamics.core.mapping import Mapped, apply_mapping, check_mapping, parse_mapping, wanted_lookups
from dynamics.core.mapping.coercion import YEARS
from dynamics.core.metadata import Column, DateBehavior
from tests.unit.core.builders import chunk, modest, prospect, table, text

INTERESTS = {100_000_000: ("Pumps", "Pumpen"), 100_000_001: ("Seals, rings", "Dichtungen"), 100_000_002: ("1", "Eins")}
GRADES = {1: ("Hot", "Heiß"), 2: ("Warm",), 3: ("Very  cold", "Kalt"), 4: ("Unsure", "Offen"), 5: ("Open", "Offen")}
TABLE = table(
    Column("grade", "Picklist", options={n: ls[0] for n, ls in GRADES.items()}, labels=GRADES),
    Column("statuscode", "Status", options={1: "New", 2: "Contacted"}, labels={1: ("New", "Neu"), 2: ("Contacted",)}),
    Column("interests", "MultiSelectPicklist", options={n: ls[0] for n, ls in INTERESTS.items()}, labels=INTERESTS),
    Column("donotemail", "Boolean", options={0: "Allow", 1: "Do Not Allow"}, labels={0: ("Allow", "Zulassen")}),
    Column("budget", "Money", minimum=0, maximum=1e9, precision=2),
    Column("score", "Decimal", minimum=-100, maximum=100, precision=3),
    Column("seats", "Integer", minimum=0, maximum=1000),
    Column("birthdate", "DateTime", behavior=DateBehavior.DATE_ONLY),
    Column("seenon", "DateTime"),
    Column("opensat", "DateTime", behavior=DateBehavior.ZONELESS),
    Column("campaignid", "Lookup", navigation={"campaign": "campaignid"}),
    Column("customerid", "Customer", navigation={"account": "customerid_account", "contact": "customerid_contact"}),
    Column("ownerid", "Owner", navigation={"systemuser": "ownerid", "team": "ownerid"}),
    text("note", 10),
)
CAMPAIGN_ID, ACCOUNT_ID, USER_ID, TEAM_ID = (
    f"{name}({UUID(int=number)})" for number, name in enumerate(("campaign", "account", "systemuser", "team"), 1)
)
KNOWN = {
    ("campaign", "codename", "FLOW25"): CAMPAIGN_ID,
    ("account", "name", "Northmoor Valves"): ACCOUNT_ID,
    ("account", "name", "Acme"): LookupMiss.AMBIGUOUS,
    ("systemuser", "internalemailaddress", "sam@x.test"): USER_ID,
    ("systemuser", "internalemailaddress", "gone@x.test"): LookupMiss.INACTIVE,
    ("team", "name", "Inside sales"): TEAM_ID,
}
UTC_MIDNIGHT = "2026-03-14T00:00:00Z"


def mapped(column: str, transform: str, value: object) -> Mapped:
    row = f'target,source,transform\n{column},custom.value,"{transform}"\n'
    mapping = parse_mapping("lead", row, "lead.csv", {})
    assert check_mapping(mapping, TABLE, creates=False) == []
    frame = chunk(prospect(custom_fields={"value": value}))
    wanted = wanted_lookups(mapping, frame)
    answers = {key: KNOWN.get(tuple(key), LookupMiss.NOT_FOUND) for key in wanted}
    return apply_mapping(mapping, frame, TABLE, answers)


GOOD_AND_ODD: list[tuple[str, str, object, object]] = [
    # choices: a label in any language, or the number
    ("grade", "choice", "Hot", 1),
    ("grade", "choice", " hOT ", 1),
    ("grade", "choice", "heiss", 1),
    ("grade", "choice", "very cold", 3),
    ("grade", "choice", "VeryCold", 3),
    ("grade", "choice", "Kalt", 3),
    ("grade", "choice", "2", 2),
    ("grade", "choice", 2.0, 2),
    ("grade", "choice", ["Warm"], 2),
    ("grade", "", "2", 2),
    ("grade", "choice", None, None),
    ("grade", "choice", "  ", None),
    ("statuscode", "choice", "neu", 1),
    ("donotemail", "choice", "Do not allow", True),
    ("donotemail", "choice", "zulassen", False),
    ("donotemail", "choice", False, False),
    # several choices travel as text, in order of their numbers
    ("interests", "choices", ["Seals, rings", "pumps"], "100000000,100000001"),
    ("interests", "choices", "Pumpen; Dichtungen", "100000000,100000001"),
    ("interests", "choices", "Pumps,Eins", "100000000,100000002"),
    ("interests", "choices", "seals, RINGS", "100000001"),
    ("interests", "choices", "Seals, rings\nPumps\nPumps", "100000000,100000001"),
    ("interests", "choices", 100000001, "100000001"),
    ("interests", "choices", [], None),
    ("interests", "", "100000001,100000000", "100000000,100000001"),
    ("interests", "", [100000002], "100000002"),
    # yes and no
    ("donotemail", "", True, True),
    ("donotemail", "", "YES", True),
    ("donotemail", "", " on ", True),
    ("donotemail", "", 0, False),
    ("donotemail", "", "n", False),
    ("donotemail", "bool(ja, nein)", "JA", True),
    ("donotemail", "bool(ja, nein)", "nein", False),
    ("donotemail", "bool(ja, nein)", True, True),
    ("donotemail", "only_true", "no", None),
    # money and numbers
    ("budget", "", {"type": "money", "value": {"amount": "25000.005", "currency": "GBP"}}, 25000.01),
    ("budget", "number", "£25,000.50", 25000.5),
    ("budget", "number(de)", "25.000,50 €", 25000.5),
    ("budget", "number(fr)", "25\u202f000,50", 25000.5),
    ("budget", "number(ch)", "CHF 25’000.50".removeprefix("CHF "), 25000.5),
    ("budget", "number(de)", "25000", 25000.0),
    ("budget", "", 0, 0.0),
    ("score", "number(de)", "-1,2345", -1.235),
    ("score", "", "100", 100.0),
    ("seats", "", "12", 12),
    ("seats", "", 12.0, 12),
    # dates: an offset never moves them to another day
    ("birthdate", "", "2026-03-14", "2026-03-14"),
    ("birthdate", "", "2026-03-14T23:59:59-11:00", "2026-03-14"),
    ("birthdate", "", "2026-03-14T00:00:00+14:00", "2026-03-14"),
    ("birthdate", "", "2026-03-14T23:59:59Z", "2026-03-14"),
    ("birthdate", "date(%d/%m/%Y)", "14/03/2026", "2026-03-14"),
    ("birthdate", "date", "2026-03-14T23:30:00-05:00", "2026-03-14"),
    ("birthdate", "zone(Europe/Berlin)", "2026-03-14T23:30:00Z", "2026-03-15"),
    ("birthdate", "zone(America/New_York)", "2026-03-14T03:30:00Z", "2026-03-13"),
    ("birthdate", "zone(Pacific/Auckland)", "2026-03-14", "2026-03-14"),
    ("birthdate", "", "2024-02-29", "2024-02-29"),
    # instants
    ("seenon", "", "2026-03-14", UTC_MIDNIGHT),
    ("seenon", "", "2026-03-14T09:15:30.999Z", "2026-03-14T09:15:30Z"),
    ("seenon", "", "2026-03-14T23:30:00-05:00", "2026-03-15T04:30:00Z"),
    ("seenon", "", "2026-03-14 09:15", "2026-03-14T09:15:00Z"),
    ("seenon", "zone(Europe/Berlin)", "2026-03-14", "2026-03-13T23:00:00Z"),
    ("seenon", "zone(Europe/Berlin)", "2026-03-29 01:59", "2026-03-29T00:59:00Z"),  # the clocks go forward at 2
    ("seenon", "zone(Europe/Berlin)", "2026-03-29 02:30", "2026-03-29T01:30:00Z"),  # there was no such time
    ("seenon", "zone(Europe/Berlin)", "2026-03-29 03:00", "2026-03-29T01:00:00Z"),
    ("seenon", "zone(Europe/Berlin)", "2026-10-25 02:30", "2026-10-25T00:30:00Z"),  # the first of two
    ("seenon", "zone(Europe/Berlin)", "2026-10-25 03:00", "2026-10-25T02:00:00Z"),
    ("seenon", "datetime(%d.%m.%Y %H:%M)|zone(Europe/Berlin)", "01.07.2026 09:00", "2026-07-01T07:00:00Z"),
    # the time on the wall
    ("opensat", "", "2026-03-14T23:30:00-05:00", "2026-03-14T23:30:00Z"),
    ("opensat", "", "2026-03-14T09:00:00", "2026-03-14T09:00:00Z"),
    ("opensat", "", "2026-03-14", UTC_MIDNIGHT),
    ("opensat", "zone(Europe/Berlin)", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
    ("opensat", "zone(Europe/Berlin)", "2026-03-29T01:30:00Z", "2026-03-29T03:30:00Z"),
    ("opensat", "zone(Europe/Berlin)", "2026-03-29 09:00", "2026-03-29T09:00:00Z"),
    # records
    ("campaignid", "lookup(campaign.codename)", "FLOW25", CAMPAIGN_ID),
    ("campaignid", "upper|lookup(campaign.codename)", " flow25  ", CAMPAIGN_ID),
    ("customerid", "lookup(account.name)", "Northmoor  Valves", ACCOUNT_ID),
    ("customerid", "lookup(account.name, blank)", "Nobody Ltd", None),
    ("customerid", "lookup(account.name)", ["Northmoor Valves"], ACCOUNT_ID),
    ("ownerid", "lookup(systemuser.internalemailaddress)", "sam@x.test", USER_ID),
    ("ownerid", "lookup(team.name)", "Inside sales", TEAM_ID),
    ("ownerid", "lookup(team.name)", None, None),
    # text
    ("note", "truncate", "Zürich 👩‍👩‍👧!", "Zürich "),
    ("note", "", 12.0, "12"),
    ("note", "email", "A@B.TEST", "A@b.test"),
    ("note", "email", "é@ü.test", "é@ü.test"),
    ("note", "", False, "false"),
    ("note", "join(/)", ["a", 1], "a/1"),
]


@pytest.mark.parametrize(("column", "transform", "value", "written"), GOOD_AND_ODD)
def test_good_and_odd_input(column: str, transform: str, value: object, written: object) -> None:
    result = mapped(column, transform, value)
    assert result.rejects == {}
    found = result.values[column].iloc[0]
    assert (found, type(found)) == (written, type(written))


IMPOSSIBLE: list[tuple[str, str, object, str]] = [
    ("grade", "choice", "Lukewarm", "not_an_option"),
    ("grade", "choice", "6", "not_an_option"),
    ("grade", "choice", "Offen", "ambiguous_label"),
    ("grade", "choice", ["Hot", "Warm"], "not_an_option"),
    ("grade", "choice", [{"a": 1}], "not_an_option"),
    ("grade", "", "Hot", "not_an_option"),
    ("grade", "", True, "not_an_option"),
    ("interests", "choices", ["Pumps", "Valves"], "not_an_option"),
    ("interests", "choices", "Pumps; Valves", "not_an_option"),
    ("interests", "", "Pumps", "not_an_option"),
    ("interests", "", "100000000,,100000001", "not_an_option"),
    ("donotemail", "", "perhaps", "not_a_boolean"),
    ("donotemail", "", 2, "not_a_boolean"),
    ("donotemail", "choice", "perhaps", "not_an_option"),
    ("donotemail", "bool(ja, nein)", "jein", "not_a_boolean"),
    ("budget", "number(de)", "25,000.50", "not_a_number"),
    ("budget", "number(de)", "1.5", "not_a_number"),
    ("budget", "number", "25.000,50", "not_a_number"),
    ("budget", "", "25 thousand", "not_a_number"),
    ("budget", "", "1e3", "not_a_number"),
    ("budget", "", -1, "out_of_range"),
    ("budget", "", "1000000000.01", "out_of_range"),
    ("budget", "", True, "not_a_number"),
    ("score", "", 100.001, "out_of_range"),
    ("seats", "", "12.5", "not_a_whole_number"),
    ("seats", "", 1001, "out_of_range"),
    ("birthdate", "", "14.03.2026", "not_a_date"),
    ("birthdate", "", "2026-02-30", "not_a_date"),
    ("birthdate", "", "2025-02-29", "not_a_date"),
    ("birthdate", "", "1752-12-31", "out_of_range"),
    ("birthdate", "date(%d/%m/%Y)", "03/14/2026", "not_a_date"),
    ("birthdate", "", 20260314, "not_a_date"),
    ("seenon", "", "yesterday", "not_a_date"),
    ("seenon", "", "9999-01-01T00:00:00Z", "out_of_range"),
    ("opensat", "", "25:00", "not_a_date"),
    ("campaignid", "lookup(campaign.codename)", "NOWHERE", "lookup_not_found"),
    ("campaignid", "lookup(campaign.codename)", [{"a": 1}], "not_a_reference"),
    ("customerid", "lookup(account.name)", "Acme", "lookup_ambiguous"),
    ("ownerid", "lookup(systemuser.internalemailaddress)", "gone@x.test", "lookup_not_found"),
    ("note", "", "👩‍👩‍👧👩‍👩‍👧", "too_long"),
    ("note", "email", "ann at x.test", "not_an_email"),
    ("note", "email", "ann@localhost", "not_an_email"),
    ("note", "email", ["a@x.test", "b@x.test"], "not_an_email"),
    ("note", "", [{"a": 1}], "not_text"),
]


@pytest.mark.parametrize(("column", "transform", "value", "rule"), IMPOSSIBLE)
def test_impossible_input(column: str, transform: str, value: object, rule: str) -> None:
    result = mapped(column, transform, value)
    assert result.values[column].iloc[0] is None
    (reject,) = result.rejects.values()
    assert (reject.column, reject.rule) == (column, rule)
    if isinstance(value, str):
        assert value not in reject.message


# ---------------------------------------------------------------- for all values

MOMENTS = st.datetimes(datetime(YEARS.start, 1, 2), datetime(YEARS.stop - 1, 12, 30))  # noqa: DTZ001
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ZONES = st.sampled_from(["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe"])


@modest
@given(MOMENTS, OFFSETS)
def test_people_s_date_and_wall_clock_stay(moment: datetime, offset: timezone) -> None:
    captured = moment.replace(tzinfo=offset, microsecond=0)
    for column, written in (
        ("birthdate", moment.date().isoformat()),
        ("opensat", moment.replace(microsecond=0).isoformat() + "Z"),
        ("seenon", captured.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"),
    ):
        assert mapped(column, "", captured.isoformat()).values[column].iloc[0] == written


@modest
@given(MOMENTS, ZONES)
def test_an_instant_is_the_same_in_every_zone(moment: datetime, name: str) -> None:
    text = moment.replace(tzinfo=UTC, microsecond=0).isoformat()
    plain, moved = mapped("seenon", "", text), mapped("seenon", f"zone({name})", text)
    assert plain.values["seenon"].iloc[0] == moved.values["seenon"].iloc[0]
    day = mapped("birthdate", f"zone({name})", text).values["birthdate"].iloc[0]
    assert day == moment.replace(tzinfo=UTC).astimezone(ZoneInfo(name)).date().isoformat()


@modest
@given(st.lists(st.sampled_from(sorted(INTERESTS)), min_size=1), st.sampled_from(["; ", ",", "\n", ";"]), st.booleans())
def test_several_choices_mean_the_same_however_they_are_written(numbers: list[int], glue: str, as_list: bool) -> None:
    words = [INTERESTS[number][1].upper() for number in numbers]
    value: Any = words if as_list else glue.join(words)
    written = ",".join(str(number) for number in sorted(set(numbers)))
    assert mapped("interests", "choices", value).values["interests"].iloc[0] == written


@modest
@given(st.decimals(0, 10**9, places=2), st.sampled_from(["de", "en", "fr", "ch"]))
def test_money_is_read_back_in_every_locale(amount: Any, locale: str) -> None:
    point, gap = {"de": (",", "."), "en": (".", ","), "fr": (",", "\u202f"), "ch": (".", "’")}[locale]
    shown = f"{amount:,.2f}".replace(",", "_").replace(".", point).replace("_", gap)
    assert mapped("budget", f"number({locale})", shown).values["budget"].iloc[0] == float(amount)


@modest
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_no_value_breaks_a_column(value: object) -> None:
    for column, transform in (
        ("grade", "choice"),
        ("interests", "choices"),
        ("donotemail", "choice"),
        ("opensat", "zone(Europe/Berlin)"),
        ("customerid", "lookup(account.name)"),
    ):
        result = mapped(column, transform, value)
        assert len(result.rejects) <= 1


def test_a_key_names_the_text_without_its_blanks() -> None:
    assert LookupKey.of("account", "name", " Northmoor \n Valves ").text == "Northmoor Valves"
