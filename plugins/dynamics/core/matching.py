"""Decides which CRM records, and which other prospects of a chunk, are the same person.

Asks for nothing itself: it says which strings to look for and compares what came back, because the CRM ignores case and
may ignore accents. The choice among several is ordered here and taken in `policy`. Source: design part 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pandas as pd

from dynamics.core.capture import DiscoveredProspect, SourcedProspect
from dynamics.core.crm import CandidateQuery
from dynamics.core.identity import person_key
from dynamics.core.normalize import collapse, email_key, name_key, unicode_email
from dynamics.core.policy import Match, MatchBy, Policy
from dynamics.core.prospect import prospect_frame, source_values

NAMES_A_QUERY = 20
MATCH_PATHS: tuple[str, ...] = ("email", "first_name", "last_name")
_CANDIDATE_COLUMNS = ("table", "record_id", "active", "createdon", "modifiedon", "email_keys", "name_key", "record")


# ---------------------------------------------------------------- keys and terms


def match_keys(values: pd.DataFrame) -> pd.DataFrame:
    """What each prospect is recognised by.

    Args:
        values: `source_values(frame, MATCH_PATHS)`.
    Returns:
        the same index; object columns email_key and name_key, None where a prospect has none and is not matched by it.
    """
    emails = [email_key(value) for value in values["email"]]
    names = [name_key(first, last) for first, last in zip(values["first_name"], values["last_name"], strict=True)]
    keys = {"email_key": emails, "name_key": names}
    return pd.DataFrame(keys, index=values.index, columns=["email_key", "name_key"], dtype=object)


def with_match_keys(page: Sequence[SourcedProspect]) -> list[DiscoveredProspect]:
    """Prospects with the hashed keys that the queue groups by; the keys themselves stay out of the queue."""
    frame = prospect_frame(pd.DataFrame({"payload": pd.Series([p.payload for p in page], dtype=object)}))
    keys = match_keys(source_values(frame, MATCH_PATHS))
    return [
        DiscoveredProspect(
            prospect,
            person_key("email", email) if email is not None else None,
            person_key("name", name) if name is not None else None,
        )
        for prospect, email, name in zip(page, keys["email_key"], keys["name_key"], strict=True)
    ]


def email_terms(values: pd.DataFrame) -> tuple[str, ...]:
    """The addresses to ask the CRM for, sorted, as they may stand there: the domain in ASCII and in its own letters."""
    keys = {key for value in values["email"] if (key := email_key(value)) is not None}
    return tuple(sorted(keys | {unicode_email(key) for key in keys}))


def name_terms(values: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First names and last names to ask the CRM for, sorted, of the prospects that have both.

    The CRM finds every combination of the two lists; `find_matches` keeps the pairs that are somebody's.
    """
    pairs = [
        (collapse(first), collapse(last))
        for first, last in zip(values["first_name"], values["last_name"], strict=True)
        if name_key(first, last) is not None
    ]
    return _distinct(first for first, _ in pairs), _distinct(last for _, last in pairs)


# ---------------------------------------------------------------- records


def candidate_frame(records: Sequence[Mapping[str, Any]], email_columns: Sequence[str]) -> pd.DataFrame:
    """What the CRM found, ready to be compared; merged records are left out, nobody may write to them.

    Args:
        records: as `Crm.find` gives them, any tables, any order.
        email_columns: in which an address may stand.
    Returns:
        one row a record: table str, record_id UUID, active bool, createdon and modifiedon datetime64[us, UTC],
        email_keys (tuple of str), name_key (str or None), record (the mapping itself).
    """
    kept = [record for record in records if not record.get("merged")]
    columns: dict[str, list[Any]] = {
        "table": [record["@table"] for record in kept],
        "record_id": [UUID(record["@id"]) for record in kept],
        "active": [record.get("statecode") == 0 for record in kept],
        "email_keys": [_email_keys(record, email_columns) for record in kept],
        "name_key": [name_key(record.get("firstname"), record.get("lastname")) for record in kept],
        "record": list(kept),
    }
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    for name in ("createdon", "modifiedon"):
        texts = pd.Series([record.get(name) for record in kept], dtype=object)
        moments = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
        frame[name] = moments.astype("datetime64[us, UTC]")
    frame["active"] = frame["active"].astype(bool)
    return frame[list(_CANDIDATE_COLUMNS)]


def find_matches(keys: pd.DataFrame, candidates: pd.DataFrame, policy: Policy, by: str) -> dict[Any, Match]:
    """One pass: the matches of each prospect in the first of the policy's tables that has any.

    Args:
        keys: from `match_keys`, 0..n prospects.
        candidates: from `candidate_frame`.
        policy: says which tables in which order, whether closed records count, and which of several comes first.
        by: "email" or "name".
    Returns:
        index label -> match, for the prospects that have one. Of equal times the smaller record id comes first.
    """
    if candidates.empty or keys.empty:
        return {}
    counted = candidates["table"].isin(policy.check.tables)
    if not policy.include_inactive:
        counted &= candidates["active"]
    column, ascending = policy.several.order
    pool = candidates[counted].assign(key=candidates["email_keys" if by == "email" else "name_key"])
    pool = pool.explode("key").dropna(subset="key").sort_values("record_id", key=lambda ids: ids.map(str))
    pool = pool.sort_values(column, ascending=ascending, kind="stable")
    ids: dict[tuple[str, str], list[UUID]] = {}
    for table, key, record_id in zip(pool["table"], pool["key"], pool["record_id"], strict=True):
        ids.setdefault((table, key), []).append(record_id)
    matches: dict[Any, Match] = {}
    for label, key in zip(keys.index, keys["email_key" if by == "email" else "name_key"], strict=True):
        hits = (Match(table, tuple(ids[table, key]), by) for table in policy.check.tables if (table, key) in ids)
        hit = next(hits, None)
        if hit is not None:
            matches[label] = hit
    return matches


def share_names(keys: pd.DataFrame, matches: Mapping[Any, Match]) -> dict[Any, Match]:
    """Matches for prospects without one who share the name of one that was matched: that record will bear it too.

    Args:
        keys: from `match_keys`.
        matches: what both passes found.
    """
    names = dict(zip(keys.index, keys["name_key"], strict=True))
    known: dict[str, Match] = {}
    for label, match in matches.items():
        if (name := names[label]) is not None:
            known.setdefault(name, replace(match, matched_by="name"))
    return {label: known[name] for label, name in names.items() if label not in matches and name in known}


# ---------------------------------------------------------------- queries


def email_queries(values: pd.DataFrame, policy: Policy, select: Mapping[str, Sequence[str]]) -> list[CandidateQuery]:
    """What to ask the CRM to find by e-mail: every table of the policy, every address column.

    Args:
        values: `source_values(frame, MATCH_PATHS)`.
        select: table -> columns that the decision needs to see.
    """
    terms = email_terms(values)
    columns = policy.email_columns if terms else ()
    return [_query(policy, select, table, ((column, terms),)) for table in policy.check.tables for column in columns]


def name_queries(values: pd.DataFrame, policy: Policy, select: Mapping[str, Sequence[str]]) -> list[CandidateQuery]:
    """The same by name, in portions: the CRM answers with every combination of the names asked for, strangers too."""
    queries = []
    for start in range(0, len(values), NAMES_A_QUERY):
        firsts, lasts = name_terms(values.iloc[start : start + NAMES_A_QUERY])
        where = (("lastname", lasts), ("firstname", firsts))
        queries += [_query(policy, select, table, where) for table in policy.check.tables if firsts]
    return queries


def _query(
    policy: Policy, select: Mapping[str, Sequence[str]], table: str, where: tuple[tuple[str, tuple[str, ...]], ...]
) -> CandidateQuery:
    return CandidateQuery(table, where, tuple(select[table]), only_active=not policy.include_inactive)


# ---------------------------------------------------------------- prospects


def person_keys(emails: Iterable[str | None], names: Iterable[str | None], policy: Policy) -> tuple[str, ...]:
    """The hashed keys by which anybody recognises the person with these match keys, strongest first."""
    if not policy.check.tables:
        return ()
    found = [person_key("email", email) for email in emails if email is not None]
    if policy.match_by is MatchBy.EMAIL_OR_NAME:
        found += [person_key("name", name) for name in names if name is not None]
    return tuple(dict.fromkeys(found))


def record_keys(record: Mapping[str, Any], email_columns: Sequence[str]) -> set[str]:
    """The hashed keys under which a record says it is a person."""
    keys = {person_key("email", email) for email in _email_keys(record, email_columns)}
    name = name_key(record.get("firstname"), record.get("lastname"))
    return keys | ({person_key("name", name)} if name is not None else set())


def join_persons(keys: pd.DataFrame, frame: pd.DataFrame, match_by: MatchBy) -> dict[Any, list[Any]]:
    """Group prospects that are one person by the rules that match records: equal e-mail, or, if asked for, equal name.

    Args:
        keys: from `match_keys`.
        frame: the same index; captured_at and prospect_id order the members.
        match_by: with EMAIL_OR_NAME equal names join too, even where the addresses differ.
    Returns:
        leader -> members, oldest to newest, the leader being the oldest. Every label is in one group; one without keys
        stands alone.
    """
    parents: dict[Any, Any] = {label: label for label in keys.index}
    for column in ("email_key", "name_key") if match_by is MatchBy.EMAIL_OR_NAME else ("email_key",):
        first_with: dict[str, Any] = {}
        for label, key in zip(keys.index, keys[column], strict=True):
            if key is not None:
                parents[_root(parents, label)] = _root(parents, first_with.setdefault(key, label))
    oldest_first = frame.loc[keys.index].sort_values(["captured_at", "prospect_id"], kind="stable").index
    groups: dict[Any, list[Any]] = {}
    for label in oldest_first:
        groups.setdefault(_root(parents, label), []).append(label)
    return {members[0]: members for members in groups.values()}


def _root(parents: dict[Any, Any], label: Any) -> Any:
    while parents[label] != label:
        parents[label] = label = parents[parents[label]]
    return label


def _email_keys(record: Mapping[str, Any], email_columns: Sequence[str]) -> tuple[str, ...]:
    keys = (email_key(record.get(column)) for column in email_columns)
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.casefold(): name for name in names}.values()))
