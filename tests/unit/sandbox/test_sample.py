"""The sample: repeatable, valid, full of the cases it promises, and nobody taken for somebody else by accident."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import phonenumbers
import pytest

from sandbox.capture import schema
from sandbox.sample import SHOW_ENDS, Sample, generate
from sandbox.sample.cases import NEW, PLANTED
from sandbox.sample.files import CSV_COLUMNS
from sandbox.sample.people import folded
from sandbox.sample.places import COUNTRIES, Country, Phone


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate()


@pytest.fixture(scope="module")
def prospects(sample: Sample) -> dict[str, dict[str, Any]]:
    return {prospect["id"]: prospect for prospect in sample.prospects}


def of_case(sample: Sample, prospects: dict[str, dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [prospects[key] for key, expected in sample.expected.items() if expected.case == name]


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


# ---------------------------------------------------------------- the sample as a whole


def test_the_same_seed_gives_the_same_sample_and_another_seed_another() -> None:
    assert generate(seed=7, prospects=150) == generate(seed=7, prospects=150)
    assert generate(seed=7, prospects=150).prospects != generate(seed=8, prospects=150).prospects


@pytest.mark.parametrize("number", [0, 1, 2, 19, 250, 2000])
def test_there_are_as_many_prospects_as_asked_for_and_each_has_one_result(number: int) -> None:
    sample = generate(prospects=number)
    assert len(sample.prospects) == number
    assert {prospect["id"] for prospect in sample.prospects} == sample.expected.keys()
    assert sum(sample.expected_balance.values()) == number


def test_every_case_is_planted() -> None:
    planted = {expected.case for expected in generate(prospects=250).expected.values()}
    assert planted == {case.name for case in (*PLANTED, NEW)}


def test_every_prospect_is_valid(sample: Sample) -> None:
    assert {prospect["id"]: found for prospect in sample.prospects if (found := schema.faults(prospect))} == {}


def test_prospects_stand_in_the_order_of_their_last_change_and_before_the_end(sample: Sample) -> None:
    changed = [(prospect["updated_at"], prospect["id"]) for prospect in sample.prospects]
    assert changed == sorted(changed)
    assert changed[-1][0] < SHOW_ENDS.strftime("%Y-%m-%dT%H:%M:%S")
    for prospect in sample.prospects:
        for submission in prospect["submissions"]:
            assert prospect["created_at"] <= submission["captured_at"] <= submission["received_at"]
            assert submission["captured_at"] <= prospect["updated_at"]


def test_nothing_is_dated_after_now() -> None:
    now = datetime(2025, 7, 1, 10, tzinfo=UTC)
    sample = generate(prospects=50, now=now)
    assert max(prospect["updated_at"] for prospect in sample.prospects) < "2025-07-01"
    assert max(event["ends_at"] for event in sample.events) < "2025-07-01"


def test_a_bad_request_is_refused() -> None:
    with pytest.raises(ValueError, match="prospects"):
        generate(prospects=-1)
    with pytest.raises(ValueError, match="zone"):
        generate(now=datetime(2025, 7, 1))  # noqa: DTZ001


# ---------------------------------------------------------------- the mess of the real world


def test_people_write_in_many_scripts_and_countries(sample: Sample) -> None:
    countries = {prospect["addresses"][0]["country"] for prospect in sample.prospects if prospect.get("addresses")}
    assert len(countries) >= 10
    names = "".join(f"{prospect.get('first_name')}{prospect.get('last_name')}" for prospect in sample.prospects)
    scripts = ["À-ſ", "Α-ω", "А-я", "א-ת", "ء-ي", "ก-๛", "ऄ-ह", "一-龥", "ぁ-ん", "가-힣"]
    assert [script for script in scripts if not re.search(f"[{script}]", names)] == []


def test_the_promised_mess_is_there(sample: Sample) -> None:
    people, texts = sample.prospects, [n["text"] for p in sample.prospects for n in p.get("notes", ())]
    emails = [p.get("email") for p in people]
    last_names = [p.get("last_name", "") for p in people]
    phones = [phone for p in people for phone in p.get("phones", ())]
    postal_codes = [p["addresses"][0]["postal_code"] for p in people]
    assert any(name.startswith("O'") for name in last_names)
    assert any(name.startswith("D'") for name in last_names)
    assert any("-" in name for name in last_names)
    assert any("🌟" in p.get("first_name", "") for p in people)
    assert emails.count(None) > 50
    assert any(email and "+" in email for email in emails)
    assert any(email and email != email.lower() for email in emails)
    assert any(email and email != email.strip() for email in emails)
    assert any(code.startswith("0") for code in postal_codes)
    assert any(phone.get("extension") for phone in phones)
    assert any(phone["raw"] == "n/a" for phone in phones)
    assert any(utf16_units(text) > 2000 for text in texts)
    assert any("<script>" in text for text in texts)
    assert any("🚀" in text for text in texts)
    assert any(len(p["submissions"]) > 1 for p in people)
    assert {s["event"]["id"] for p in people for s in p["submissions"]} == {event["id"] for event in sample.events}
    assert {s["form"]["id"] for p in people for s in p["submissions"]} == {form["id"] for form in sample.forms}
    assert {p["owner"]["id"] for p in people} == {user["id"] for user in sample.users}
    assert {"budget", "interests", "visited_before", "badge_number"} <= {
        name for p in people for name in p.get("custom_fields", ())
    }


@pytest.mark.parametrize("country", COUNTRIES, ids=lambda country: country.code)
def test_numbers_mean_the_same_in_every_form(country: Country) -> None:
    for mask in (country.work, country.mobile):
        number = Phone.draw(Random(1), country, mask)
        parsed = [phonenumbers.parse(text, country.code) for text in (number.international, number.national)]
        assert all(map(phonenumbers.is_valid_number, parsed))
        e164 = phonenumbers.PhoneNumberFormat.E164
        assert {phonenumbers.format_number(found, e164) for found in parsed} == {number.e164}


# ---------------------------------------------------------------- nobody is somebody else by accident


def test_only_planted_prospects_share_an_address_or_a_name(sample: Sample) -> None:
    persons = {key: e.leader or key for key, e in sample.expected.items()}
    for key_of in (email_key, name_key):
        owners: dict[str, set[str]] = {}
        for prospect in sample.prospects:
            key = key_of(prospect)
            if key is not None:
                owners.setdefault(key, set()).add(persons[prospect["id"]])
        assert [key for key, who in owners.items() if len(who) > 1] == []


def test_records_that_must_stay_untouched_are_nobodys_match(sample: Sample) -> None:
    """A stranger may share a key only where a rule says it does not count."""
    tolerated = {
        *("closed_lead", "closed_contact", "one_open_of_three", "closed_contact_open_lead"),  # closed
        *("contact_before_lead", "email_before_name"),  # another record comes first
        *("processing_restricted", "recycled", "on_hold", "awaiting_transcription", "awaiting_reconciliation"),
    }
    strangers = [
        row for table, rows in sample.crm.items() for row in rows if row[f"{table}id"] in set(sample.strangers[table])
    ]
    emails = {folded(row["emailaddress1"]) for row in strangers if "emailaddress1" in row}
    names = {exact_name(row.get("firstname"), row.get("lastname")) for row in strangers} - {None}
    for prospect in sample.prospects:
        if sample.expected[prospect["id"]].case not in tolerated:
            assert email_key(prospect) not in emails
            assert exact_name(prospect.get("first_name"), prospect.get("last_name")) not in names
    assert len(strangers) >= 500


def test_a_named_record_exists_and_is_open(sample: Sample) -> None:
    rows = {(table, row[f"{table}id"]): row for table, found in sample.crm.items() for row in found}
    assert len(rows) == sum(len(found) for found in sample.crm.values())
    for expected in sample.expected.values():
        if expected.record_id is not None:
            assert rows[expected.table or "", expected.record_id]["statecode"] == 0
            assert expected.record_id not in sample.strangers[expected.table or ""]


# ---------------------------------------------------------------- planted results


def test_of_several_records_the_one_changed_last_is_expected(sample: Sample) -> None:
    several = [e for e in sample.expected.values() if e.outcome == "updated" and e.duplicates_found > 1]
    rows = {(table, row[f"{table}id"]): row for table, found in sample.crm.items() for row in found}
    ties = 0
    for expected in several:
        table = expected.table or ""
        chosen = rows[table, expected.record_id or ""]
        column = "emailaddress1" if expected.matched_by == "email" else "lastname"
        twins = [
            row
            for row in sample.crm[table]
            if row.get(column) == chosen.get(column) and row.get("firstname") == chosen.get("firstname")
        ]
        assert len(twins) == expected.duplicates_found
        newest = max(row["modifiedon"] for row in twins)
        tied = sorted(row[f"{table}id"] for row in twins if row["modifiedon"] == newest)
        ties += len(tied) > 1
        assert tied[0] == expected.record_id
    assert len(several) > 50
    assert ties > 5


def test_the_oldest_capture_leads_wherever_the_others_stand(
    sample: Sample, prospects: dict[str, dict[str, Any]]
) -> None:
    joined = [e for e in sample.expected.values() if e.leader is not None]
    distances: list[int] = []
    position = {prospect["id"]: number for number, prospect in enumerate(sample.prospects)}
    for expected in joined:
        leader, member = prospects[expected.leader or ""], prospects[expected.prospect_id]
        assert leader["submissions"][0]["captured_at"] < member["submissions"][0]["captured_at"]
        distances.append(position[member["id"]] - position[leader["id"]])
        assert (expected.outcome, expected.reason) == ("unchanged", "joined")
        assert sample.expected[leader["id"]].record_id == expected.record_id
    assert min(distances) < -500 < 500 < max(distances)
    assert Counter(e.case for e in joined)["pair_two_emails"] == 3


def test_rejected_values_are_too_long_or_missing(sample: Sample, prospects: dict[str, dict[str, Any]]) -> None:
    longest = {"jobtitle": 100, "firstname": 50, "companyname": 100, "mobilephone": 20, "emailaddress1": 100}
    longest |= {"address1_postalcode": 20, "address1_stateorprovince": 50}
    for column, limit in longest.items():
        for prospect in of_case(sample, prospects, f"rejected_{column}"):
            address = prospect["addresses"][0]
            value = {
                "jobtitle": prospect.get("job_title"),
                "firstname": prospect.get("first_name"),
                "companyname": prospect["company"]["name"],
                "mobilephone": prospect["phones"][-1]["raw"],
                "emailaddress1": prospect.get("email"),
                "address1_postalcode": address["postal_code"],
                "address1_stateorprovince": address.get("region"),
            }[column]
            assert utf16_units(value) > limit
    assert all("last_name" not in prospect for prospect in of_case(sample, prospects, "rejected_lastname"))


def test_nobody_else_is_too_long_for_the_crm(sample: Sample) -> None:
    for prospect in sample.prospects:
        if sample.expected[prospect["id"]].outcome == "rejected":
            continue
        assert utf16_units(prospect["company"]["name"]) <= 100
        assert all(utf16_units(prospect.get(name, "")) <= 50 for name in ("first_name", "middle_name", "last_name"))
        assert all(len(phone["raw"]) <= (20 if phone["kind"] == "mobile" else 50) for phone in prospect["phones"])


# ---------------------------------------------------------------- files


def test_files_hold_every_prospect(sample: Sample, tmp_path: Path) -> None:
    sample.write_json(tmp_path / "p.jsonl")
    sample.write_csv(tmp_path / "p.csv")
    sample.write_expected(tmp_path / "e.json")
    lines = (tmp_path / "p.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == sample.prospects
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["prospect_id"] for row in rows] == [prospect["id"] for prospect in sample.prospects]
    expected = json.loads((tmp_path / "e.json").read_text("utf-8"))
    assert expected["balance"] == sample.expected_balance
    assert expected["prospects"].keys() == sample.expected.keys()


# ---------------------------------------------------------------- plain keys


def email_key(prospect: dict[str, Any]) -> str | None:
    email = prospect.get("email")
    return folded(email.strip()) if email else None


def name_key(prospect: dict[str, Any]) -> str | None:
    first, last = prospect.get("first_name"), prospect.get("last_name")
    return " ".join(folded(f"{first}|{last}").split()) if first and last else None


def exact_name(first: str | None, last: str | None) -> str | None:
    return " ".join(f"{first} | {last}".casefold().split()) if first and last else None
