"""Every combination of the duplicate policy on a small CRM, against an oracle of loops and ifs that shares no code."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.core.matching import MATCH_PATHS, candidate_frame, find_matches, match_keys
from dynamics.core.policy import Check, Create, CreateRule, Hold, MatchBy, Policy, Several, Skip, Update, decide
from dynamics.core.prospect import source_values
from tests.unit.core.builders import chunk, modest, prospect

Record = dict[str, Any]
Result = tuple[object, ...]
COMBINATIONS = list(product(Check, MatchBy, Several, CreateRule))


@dataclass(frozen=True)
class Person:
    email: str | None = None
    first: str | None = None
    last: str | None = None


def record(
    table: str,
    number: int,
    person: Person,
    *,
    created: int = 1,
    modified: int = 1,
    closed: bool = False,
) -> Record:
    """`created` and `modified` are days of May 2025; the id ends in `number`."""
    return {
        "@table": table,
        "@id": str(UUID(int=number)),
        "@etag": 'W/"1"',
        "statecode": 1 if closed else 0,
        "createdon": f"2025-05-{created:02}T10:00:00Z",
        "modifiedon": f"2025-05-{modified:02}T10:00:00Z",
        "emailaddress1": person.email,
        "firstname": person.first,
        "lastname": person.last,
    }


# ---------------------------------------------------------------- the oracle


def oracle(records: list[Record], person: Person, policy: Policy) -> Result:
    """What the design says, in the plainest words."""
    orders = {"none": [], "leads": ["lead"], "contacts": ["contact"]}
    orders["leads_then_contacts"] = ["lead", "contact"]
    orders["contacts_then_leads"] = ["contact", "lead"]
    passes = ["email"]
    if policy.match_by.value == "email_or_name":
        passes.append("name")
    for by in passes:
        for table in orders[policy.check.value]:
            hits = []
            for candidate in records:
                if candidate["@table"] != table:
                    continue
                if candidate["statecode"] != 0 and not policy.include_inactive:
                    continue
                if by == "email" and same_email(candidate["emailaddress1"], person.email):
                    hits.append(candidate)
                if by == "name" and same_name(candidate, person):
                    hits.append(candidate)
            if hits:
                return oracle_choice(hits, table, by, policy.several.value)
    if policy.create.value == "none":
        return ("skip", "no_action")
    return ("create", policy.create.value)


def oracle_choice(hits: list[Record], table: str, by: str, several: str) -> Result:
    best = hits[0]
    for candidate in hits[1:]:
        if several == "update_most_recently_created":
            mine, theirs, newest_wins = candidate["createdon"], best["createdon"], True
        elif several == "update_least_recently_created":
            mine, theirs, newest_wins = candidate["createdon"], best["createdon"], False
        elif several == "update_least_recently_updated":
            mine, theirs, newest_wins = candidate["modifiedon"], best["modifiedon"], False
        else:
            mine, theirs, newest_wins = candidate["modifiedon"], best["modifiedon"], True
        if mine == theirs:
            if candidate["@id"] < best["@id"]:
                best = candidate
        elif (mine > theirs) == newest_wins:
            best = candidate
    facts = (table, best["@id"], by, len(hits))
    if several == "skip":
        return ("skip", "exists", *facts)
    if several == "hold_for_review" and len(hits) > 1:
        return ("hold", "several_matches", *facts)
    return ("update", *facts)


def same_email(one: str | None, other: str | None) -> bool:
    if one is None or other is None or one.strip() == "" or other.strip() == "":
        return False
    return one.strip().lower() == other.strip().lower()


def same_name(candidate: Record, person: Person) -> bool:
    for mine, theirs in ((person.first, candidate["firstname"]), (person.last, candidate["lastname"])):
        if mine is None or theirs is None or mine.split() == [] or theirs.split() == []:
            return False
        if " ".join(mine.split()).lower() != " ".join(theirs.split()).lower():
            return False
    return True


# ---------------------------------------------------------------- what is tested


def decisions(records: list[Record], people: list[Person], policy: Policy) -> list[Result]:
    """The core's answer: the e-mail pass, the name pass for those it found nothing for, the decision."""
    frame = chunk(
        *(
            prospect(id=f"pro_{number:08}", email=one.email, first_name=one.first, last_name=one.last)
            for number, one in enumerate(people)
        )
    )
    keys = match_keys(source_values(frame, MATCH_PATHS))
    candidates = candidate_frame(records, policy.email_columns)
    found = find_matches(keys, candidates, policy, "email")
    if policy.match_by is MatchBy.EMAIL_OR_NAME:
        rest = [label for label in keys.index if label not in found]
        found |= find_matches(keys.loc[rest], candidates, policy, "name")
    results: list[Result] = []
    for label in keys.index:
        decision = decide(policy, found.get(label), None)
        match decision:
            case Create(table):
                results.append(("create", table))
            case Update(table, record_id, by, count):
                results.append(("update", table, str(record_id), by, count))
            case Skip("exists", table, record_id, matched_by, count):
                results.append(("skip", "exists", table, str(record_id), matched_by, count))
            case Skip(reason):
                results.append(("skip", reason))
            case Hold(reason, table, record_id, by, count):
                results.append(("hold", reason, table, str(record_id), by, count))
    return results


NOBODY = Person("nobody@example.com", "No", "Body")
IN_LEADS = Person("leads@example.com", "Lena", "Ead")
IN_CONTACTS = Person("contacts@example.com", "Cora", "Ntact")
IN_BOTH = Person("both@example.com", "Bo", "Oth")
MANY_LEADS = Person("many@example.com", "Mo", "Any")
TIED = Person("tied@example.com", "Ti", "Ed")
CLOSED = Person("closed@example.com", "Clo", "Sed")
REOPENED = Person("reopened@example.com", "Reo", "Pened")
BY_NAME = Person("new-address@example.com", "Nina", "Ame")
NAME_IN_BOTH = Person(None, "Nabo", "Oth")
CROSSED = Person("crossed@example.com", "Cro", "Ssed")  # address in leads, name in contacts
ACCENT = Person(None, "José", "Ruiz")
LAST_ONLY = Person(None, None, "Ruiz")
FIRST_ONLY = Person("  ", "Jose", None)
PEOPLE = [
    NOBODY, IN_LEADS, IN_CONTACTS, IN_BOTH, MANY_LEADS, TIED, CLOSED, REOPENED, BY_NAME, NAME_IN_BOTH, CROSSED, ACCENT,
    LAST_ONLY, FIRST_ONLY, Person(" LEADS@Example.com ", None, None), Person(None, "nina", " AME "),
]  # fmt: skip
CRM = [
    record("lead", 1, IN_LEADS),
    record("contact", 2, IN_CONTACTS),
    record("lead", 3, IN_BOTH),
    record("contact", 4, IN_BOTH),
    record("lead", 5, MANY_LEADS, created=1, modified=9),
    record("lead", 6, MANY_LEADS, created=2, modified=8),
    record("lead", 7, MANY_LEADS, created=3, modified=7),
    record("contact", 12, TIED, created=5, modified=5),
    record("contact", 11, TIED, created=5, modified=5),
    record("contact", 10, TIED, created=4, modified=6),
    record("contact", 13, TIED, created=4, modified=6),
    record("lead", 20, CLOSED, closed=True),
    record("contact", 21, CLOSED, closed=True),
    record("lead", 22, REOPENED, closed=True, created=9, modified=9),
    record("lead", 23, REOPENED),
    record("contact", 24, Person(None, "Nina", "Ame"), modified=2),
    record("contact", 25, Person("old-address@example.com", "NINA", "ame"), modified=3),
    record("lead", 26, NAME_IN_BOTH),
    record("contact", 27, NAME_IN_BOTH),
    record("lead", 28, Person("CROSSED@example.com", "Other", "Name")),
    record("contact", 29, Person(None, "Cro", "Ssed")),
    record("contact", 30, Person(None, "Jose", "Ruiz")),
    record("lead", 31, Person(None, None, "Ruiz")),
    record("lead", 32, Person("", "Jose", None)),
]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: "-".join(word.value for word in c))
def test_all_combinations(combination: tuple[Check, MatchBy, Several, CreateRule]) -> None:
    for include_inactive in (False, True):
        policy = Policy(*combination, include_inactive=include_inactive)
        expected = [oracle(CRM, person, policy) for person in PEOPLE]
        assert decisions(CRM, PEOPLE, policy) == expected


def test_there_are_180_combinations() -> None:
    assert len(COMBINATIONS) == 180


def written(text: str) -> st.SearchStrategy[str]:
    """The same text in another case, with blanks around it."""
    return st.sampled_from([text, text.upper(), text.title(), f" {text}", f"{text} \t"])


BLANK = st.sampled_from([None, "", "  "])
EMAILS = BLANK | st.sampled_from(["a@x.example", "b@x.example", "a+1@x.example"]).flatmap(written)
NAMES = BLANK | st.sampled_from(["ann", "josé", "jose", "mary ann"]).flatmap(written)
ANYBODY = st.builds(Person, EMAILS, NAMES, NAMES)
RECORDS = st.lists(
    st.tuples(st.sampled_from(["lead", "contact"]), ANYBODY, st.integers(1, 3), st.integers(1, 3), st.booleans()),
    max_size=9,
)


@given(RECORDS, st.lists(ANYBODY, min_size=1, max_size=5), st.randoms(use_true_random=False), st.data())
@settings(modest, max_examples=150)
def test_any_data_under_any_policy(rows: list[Any], people: list[Person], random: Any, data: st.DataObject) -> None:
    numbers = random.sample(range(1, 100), len(rows))
    records = [
        record(table, number, person, created=created, modified=modified, closed=closed)
        for number, (table, person, created, modified, closed) in zip(numbers, rows, strict=True)
    ]
    policy = Policy(*data.draw(st.sampled_from(COMBINATIONS)), include_inactive=data.draw(st.booleans()))
    assert decisions(records, people, policy) == [oracle(records, person, policy) for person in people]
