"""B01, nasty text: it arrives byte for byte, or the outcome says what was removed, cut or refused.

A case is one text, what must stand in the CRM, and whether something was removed or cut. Each case is tried in every
field where it means the same; lengths are the column's, in UTF-16 units.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.drills import oracles
from tests.drills.drill import Drill, Verdict
from tests.drills.world import ACTION, MAPPING, World

COUNT = 500
# source of the prospect -> column and its length; all are trimmed, those in CUT are cut to their length
FIELDS: Mapping[str, tuple[str, int]] = {
    "first_name": ("firstname", 50),
    "last_name": ("lastname", 50),
    "job_title": ("jobtitle", 100),
    "company.name": ("companyname", 100),
    "custom.salutation": ("salutation", 100),
    "custom.memo": ("qualificationcomments", 2000),
    "address.city": ("address1_city", 80),
    "notes.all": ("description", 2000),
}
CUT = ("job_title", "notes.all", "custom.memo")
SIZE_2_MB = 2 * 1024 * 1024

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"  # 11 units, one character
FLAG = "\U0001f1e9\U0001f1ea"  # 4 units
WAVE = "\U0001f44b\U0001f3fd"  # 4 units: a hand and its colour
KEYCAP = "1\ufe0f\u20e3"


@dataclass(frozen=True)
class Case:
    """`text` None: the column stays empty. `removed`: unwritable characters. `cut`: to the column's length."""

    sent: str
    text: str | None
    removed: int = 0
    cut: bool = False


def same(text: str) -> Case:
    return Case(text, text)


# ---------------------------------------------------------------- the expected table

ANYWHERE = (
    *map(same, ("O'Brien", 'the "best"', "a;b--", "`x`", "<b>bold</b>", "<script>alert(1)</script>", "&amp;", "a & b")),
    *map(
        same, ("+4930123456", "00123", "1E5", "=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "-1", "+1", "0", "1.0", "007")
    ),
    *map(same, ("null", "None", "NaN", "true", "undefined", "N/A", "\\N", "{}", "[]", "${jndi:x}", "{{7*7}}", "%s%n")),
    *map(
        same, ("100 %", "%00", "%2B", "\\", "\\\\", "\\n", "\\u0041", "C:\\temp", "a/b", "#1", "?x=1", "'; DROP TABLE")
    ),
    *map(
        same, ("Zoë", "Ærøskøbing", "Łódź", "İstanbul", "ß", "ﬁ", "Ω", "ｆｕｌｌ", "①", "½", "東京都", "한국어", "ไทย")
    ),
    *map(same, ("العربية", "עברית", "שלום Ana", "हिन्दी", "கொ", "ខ្មែរ", "𝒜𝓃𝒶", "𠮷野家", "\U0010ffff", "\U000e0041x")),
    *map(
        same,
        (FAMILY, FLAG, WAVE, KEYCAP, "👍🏿", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "❤️"),
    ),
    *map(
        same,
        ("a\u200bb", "a\u200cb", "a\u200db", "\u200fabc", "a\u202eb", "a\u202ab\u202c", "\u2066a\u2069", "a\u061cb"),
    ),
    *map(same, ("a\ufeffb", "a\u00adb", "a\u00a0b", "a\u2009b", "a\u3000b", "a\ufffdb", "\ufdd0")),
    *map(
        same,
        ("two\nlines", "tab\there", "a  b", "Z\u0336a\u0336l\u0336g\u0336o", "x" + "\u0301" * 20, "q\u0323\u0302x"),
    ),
    Case("a\r\nb\rc", "a\nb\nc"),
    Case("  outer  ", "outer"),
    Case("\u3000wide\u3000", "wide"),
    Case("Zoe\u0308", "Zoë"),
    Case("\u1100\u1161\u11a8", "\uac01"),
    Case("\u212b", "\u00c5"),
    Case("e\u0323\u0302x", "\u1ec7x"),
    Case("a\ufffeb\uffff", "ab", removed=2),
    Case("A\u0000B", "AB", removed=1),
    Case("\u0000\u0000AB\u0000", "AB", removed=3),
    Case("a\u0007b\u001b[31m", "ab[31m", removed=2),
    Case("a\u000bb\u000cc", "abc", removed=2),
    Case("a\u007fb\u0085c", "abc", removed=2),
    Case("a\u001ab", "ab", removed=1),
    Case("cut \ud83d", "cut", removed=1),
    Case("\ude00 cut", "cut", removed=1),
    Case("a\ud83db\ude00c", "abc", removed=2),
    Case("\ud83d\ud83d\ude00", "😀", removed=1),
    Case("\ude00\ud83d", None, removed=2),
    Case("\u0000", None, removed=1),
    Case("\u0001\u0002", None, removed=2),
    Case("   \t ", None),
    Case("\u2003", None),
)


def at_the_limit(limit: int) -> Iterator[Case]:
    """Texts of a column that is cut: just inside, just outside, and across a character of several units."""
    yield same("x" * limit)
    yield Case("x" * (limit + 1), "x" * limit, cut=True)
    for mark in (FAMILY, FLAG, WAVE, "😀", "q\u0323\u0307", KEYCAP, "\u0915\u094d\u0937"):
        units = len(mark.encode("utf-16-le")) // 2
        yield same("x" * (limit - units) + mark)
        for over in range(1, units):
            yield Case("x" * (limit - units + over) + mark, "x" * (limit - units + over), cut=True)
        yield Case("x" * (limit - 2 * units) + mark * 3, "x" * (limit - 2 * units) + mark * 2, cut=True)
    yield Case("y" * (limit - 1) + "\U0001f468\u200d\U0001f469z", "y" * (limit - 1), cut=True)
    yield Case("\u0000" + "x" * (limit + 1), "x" * limit, removed=1, cut=True)


def too_long(limit: int) -> Iterator[str]:
    """Texts of a column that is not cut: by one unit, and by what only counts double in UTF-16."""
    yield "x" * (limit + 1)
    yield "😀" * (limit // 2) + "x" * (1 + limit % 2)


def huge() -> Iterator[Case]:
    """Notes of two megabytes."""
    yield Case("n" * SIZE_2_MB, "n" * 2000, cut=True)
    yield Case("x" + FAMILY * (SIZE_2_MB // 44), "x" + FAMILY * (1999 // 11), cut=True)
    yield Case("\u0000" * (SIZE_2_MB // 8) + "end", "end", removed=SIZE_2_MB // 8)


# ---------------------------------------------------------------- the drill


@dataclass(frozen=True)
class Tried:
    """A case in a field. `rejected`: the column does not take it."""

    path: str
    case: Case
    rejected: bool = False


def drill(world: World, seed: int, count: int = COUNT) -> Verdict:
    """`count` cases in their fields, one prospect each; the seed draws which, the rarer kinds come first."""
    _map_fields(world)
    tried = _drawn(random.Random(seed), count)
    run = world.sync(world.write_prospects([_prospect(n, one) for n, one in enumerate(tried)]), action="nasty")
    wrong = []
    expected_code = 1 if any(_is_rejected(one) for one in tried) else 0
    if run.returncode != expected_code:
        wrong.append(f"exit code {run.returncode} instead of {expected_code}: {run.stderr[-500:]}")
    told = {row["prospect_id"]: row for row in world.sql(OUTCOMES)}
    rows = {row["emailaddress1"]: row for row in world.rows("lead")}
    if len(told) != count:
        wrong.append(f"{len(told)} outcomes instead of {count}")
    for number, one in enumerate(tried):
        outcome = told.get(f"pro_{number:08d}")
        problem = _problem(one, outcome, rows.get(f"nasty{number}@drill.example"))
        wrong += [f"{one.path}, {_shown(one.case.sent)}: {problem}"] if problem else []
    checks = oracles.one_outcome, oracles.true_outcome, oracles.one_create_event, oracles.settled
    return Verdict(wrong + [text for check in checks for text in check(world)], {"texts": count})


OUTCOMES = (
    "SELECT p.prospect_id, o.outcome, o.error_column, o.error_code, o.warnings"
    " FROM sync.outcome o JOIN sync.prospect p USING (prospect_key) JOIN sync.audit_outcome a"
    " ON a.run_id = o.run_id AND a.prospect_id = p.prospect_id"
)


def _drawn(draw: random.Random, count: int) -> list[Tried]:
    always = [Tried("notes.all", case) for case in huge()]
    for path, (_, limit) in FIELDS.items():
        if path in CUT:
            always += [Tried(path, case) for case in at_the_limit(limit)]
        else:
            always += [Tried(path, Case(text, None), rejected=True) for text in too_long(limit)]
    common = [Tried(path, case) for case in ANYWHERE for path in FIELDS]
    draw.shuffle(common)
    draw.shuffle(always)
    rare = always[: count // 2] if len(always) > count // 2 else always
    return [*rare, *common[: count - len(rare)]]


def _map_fields(world: World) -> None:
    folder = world.folder / "include/mappings/nasty"
    folder.mkdir()
    rows = "".join(
        f"{column},{path},{'trim|truncate' if path in CUT else 'trim'},,always,keep,\n"
        for path, (column, _) in FIELDS.items()
    )
    fixed = "subject,=Trade show,,,always,keep,\nemailaddress1,email,trim,,always,keep,\n"
    (folder / "lead.csv").write_text(MAPPING + fixed + rows)
    (folder / "contact.csv").write_text(MAPPING + "lastname,last_name,,,always,keep,\n")
    (world.folder / "include/actions/nasty.yaml").write_text(
        ACTION.lstrip().replace("mapping: drill", "mapping: nasty")
    )


def _prospect(number: int, one: Tried) -> dict[str, Any]:
    prospect: dict[str, Any] = {
        "id": f"pro_{number:08d}",
        "revision": 1,
        "status": "active",
        "updated_at": "2026-03-14T09:01:00.000Z",
        "first_name": "First",
        "last_name": "Last",
        "email": f"nasty{number}@drill.example",
    }
    text, (family, _, name) = one.case.sent, one.path.partition(".")
    if one.path == "notes.all":
        prospect["notes"] = [{"id": "note_1", "text": text, "created_at": "2026-03-14T09:00:00.000Z"}]
    elif family == "custom":
        prospect["custom_fields"] = {name: text}
    elif family == "address":
        prospect["addresses"] = [{"kind": "work", name: text}]
    elif name:
        prospect[family] = {name: text}
    else:
        prospect[family] = text
    return prospect


# ---------------------------------------------------------------- the judge


def _is_rejected(one: Tried) -> bool:
    """Too long for its column, or nothing is left of a name that a record must have."""
    return one.rejected or (one.path == "last_name" and one.case.text is None)


def _problem(one: Tried, outcome: Mapping[str, Any] | None, record: Mapping[str, Any] | None) -> str | None:
    column = FIELDS[one.path][0]
    if outcome is None:
        return "no outcome"
    if _is_rejected(one):
        known = outcome["outcome"] == "rejected" and outcome["error_column"] == column and outcome["error_code"]
        return None if known and record is None else f"{outcome['outcome']} instead of rejected with column and code"
    if outcome["outcome"] != "created" or record is None:
        return f"{outcome['outcome']} ({outcome['error_column']}, {outcome['error_code']}) instead of created"
    if record.get(column) != one.case.text:
        return f"the CRM holds {_shown(record.get(column))} instead of {_shown(one.case.text)}"
    warnings = list(outcome["warnings"])
    expected = [f"{one.path}: {one.case.removed} unwritable"] * bool(one.case.removed) + [f"{column}: "] * one.case.cut
    if len(warnings) != len(expected) or not all(w.startswith(e) for w, e in zip(warnings, expected, strict=False)):
        return f"the warnings are {warnings} instead of {expected}"
    return None


def _shown(text: str | None) -> str:
    """Made up texts, so they may be shown; not two megabytes of them."""
    return "nothing" if text is None else f"{len(text)} characters {text[:20]!a}..{text[-12:]!a}"


DRILL = Drill("B01", "S1", {"500 texts": drill})
