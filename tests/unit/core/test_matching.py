"""Who is who: terms to ask for, candidates compared again, prospects joined. Orders: see test_policy_oracle."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dynamics.core.matching import (
    MATCH_PATHS,
    candidate_frame,
    email_terms,
    find_matches,
    join_persons,
    match_keys,
    name_terms,
)
from dynamics.core.policy import Check, CreateRule, Match, MatchBy, Policy, Several
from dynamics.core.prospect import source_values
from tests.unit.core.builders import chunk, modest, prospect, submission

POLICY = Policy(Check.LEADS, MatchBy.EMAIL, Several.UPDATE_MOST_RECENTLY_UPDATED, CreateRule.LEAD)


def people(*rows: tuple[str | None, str | None, str | None], hours: list[int] | None = None) -> pd.DataFrame:
    """A frame of (email, first, last), captured at these hours; by default one after the other."""
    return chunk(
        *(
            prospect(
                id=f"pro_{number:08}",
                email=email,
                first_name=first,
                last_name=last,
                submissions=[submission(captured_at=f"2026-03-04T{hour:02}:00:00.000Z")],
            )
            for number, ((email, first, last), hour) in enumerate(zip(rows, hours or range(len(rows)), strict=True))
        )
    )


def keys_of(frame: pd.DataFrame) -> pd.DataFrame:
    return match_keys(source_values(frame, MATCH_PATHS))


def lead(number: int, email: str | None = None, **values: Any) -> dict[str, Any]:
    plain = {"@table": "lead", "@id": str(UUID(int=number)), "statecode": 0, "emailaddress1": email}
    times = {"createdon": "2025-05-01T10:00:00Z", "modifiedon": "2025-05-01T10:00:00Z"}
    return plain | times | values


def test_terms_are_sorted_and_distinct() -> None:
    values = source_values(
        people(
            ("ANN@x.example", "Ann", "Lee"),
            (" ann@x.example", " ANN ", "O'Brien"),
            ("info@müller.example", None, "Ignored"),
            ("no address", "Zoë", " von  Ahn"),
        ),
        MATCH_PATHS,
    )
    assert email_terms(values) == ("ann@x.example", "info@müller.example", "info@xn--mller-kva.example")
    assert name_terms(values) == (("ANN", "Zoë"), ("Lee", "O'Brien", "von Ahn"))


def test_candidates_have_declared_columns() -> None:
    record = lead(1, " ANN@x.example", emailaddress2="ann@y.example", firstname="Ann", lastname="Lee")
    merged = lead(2, "ann@x.example", merged=True)
    frame = candidate_frame([record, merged], ("emailaddress1", "emailaddress2"))
    assert frame["record_id"].tolist() == [UUID(int=1)]
    assert frame["email_keys"].iloc[0] == ("ann@x.example", "ann@y.example")
    assert frame["active"].tolist() == [True]
    assert frame["modifiedon"].iloc[0] == pd.Timestamp("2025-05-01T10:00:00Z")
    assert frame["record"].iloc[0] is record
    assert candidate_frame([], ("emailaddress1",)).columns.tolist() == frame.columns.tolist()


def test_what_the_crm_takes_for_equal_is_compared_again() -> None:
    keys = keys_of(people(("jose@x.example", "Jose", "Ruiz")))
    accented = lead(1, "josé@x.example", firstname="José", lastname="Ruiz")
    candidates = candidate_frame([accented], POLICY.email_columns)
    assert find_matches(keys, candidates, POLICY, "email") == {}
    assert find_matches(keys, candidates, POLICY, "name") == {}


def test_a_record_with_two_equal_addresses_is_one_match() -> None:
    keys = keys_of(people(("ann@x.example", None, None)))
    candidates = candidate_frame(
        [lead(1, "ann@x.example", emailaddress2="ANN@x.example")], ("emailaddress1", "emailaddress2")
    )
    assert find_matches(keys, candidates, POLICY, "email") == {100: Match("lead", (UUID(int=1),), "email")}


def test_a_record_without_a_time_comes_last() -> None:
    keys = keys_of(people(("ann@x.example", None, None)))
    records = [lead(1, "ann@x.example", modifiedon=None), lead(2, "ann@x.example")]
    match = find_matches(keys, candidate_frame(records, POLICY.email_columns), POLICY, "email")[100]
    assert match.record_ids == (UUID(int=2), UUID(int=1))


def test_join_by_email() -> None:
    frame = people(
        ("ann@x.example", "Ann", "Lee"),
        (" ANN@X.example ", "Anne", "Lee"),
        ("ann+expo@x.example", "Ann", "Lee"),
        (None, "Ann", "Lee"),
        (None, None, None),
        hours=[3, 1, 2, 4, 0],
    )
    joined = join_persons(keys_of(frame), frame, MatchBy.EMAIL)
    assert joined == {101: [101, 100], 102: [102], 103: [103], 104: [104]}


def test_join_by_name_too_is_transitive() -> None:
    frame = people(
        ("ann@x.example", "Ann", "Lee"),
        ("ann@y.example", "Ann", "Lee"),
        ("ANN@y.example", "Anna", "Li"),
        (None, "anna", "LI"),
        (None, "Ann", None),
    )
    joined = join_persons(keys_of(frame), frame, MatchBy.EMAIL_OR_NAME)
    assert joined == {100: [100, 101, 102, 103], 104: [104]}


def test_equal_times_are_ordered_by_prospect_id() -> None:
    frame = people(("ann@x.example", None, None), ("ann@x.example", None, None), hours=[1, 1])
    assert join_persons(keys_of(frame), frame.iloc[::-1], MatchBy.EMAIL) == {100: [100, 101]}


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "a@x.example", "A@x.example", "b@x.example"]), st.sampled_from([None, "Ann", "Bea"])
    ),
    min_size=1,
    max_size=8,
)


@given(ROWS, st.sampled_from(list(MatchBy)))
@modest
def test_joining_is_a_partition_that_connects_equal_keys(
    rows: list[tuple[str | None, str | None]], by: MatchBy
) -> None:
    frame = people(*((email, first, "Lee") for email, first in rows))
    keys = keys_of(frame)
    told: dict[int, set[str]] = {label: set() for label in frame.index}
    for column in ["email_key"] if by is MatchBy.EMAIL else ["email_key", "name_key"]:
        for label, key in keys[column].items():
            told[int(str(label))] |= {key} if key is not None else set()
    joined = join_persons(keys, frame, by)
    group = {label: leader for leader, members in joined.items() for label in members}
    assert sorted(label for members in joined.values() for label in members) == list(frame.index)
    assert all(members[0] == leader and members == sorted(members) for leader, members in joined.items())
    for one in frame.index:
        for other in frame.index:
            if told[one] & told[other]:
                assert group[one] == group[other]
    if by is MatchBy.EMAIL:
        assert len(joined) == keys["email_key"].nunique() + sum(key is None for key in keys["email_key"])
