"""Files of prospects: the same prospects from each format, and what is said of a broken file."""

from __future__ import annotations

import json
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dynamics.captello.files import FileSource
from dynamics.core.capture import Selection
from dynamics.errors import ConfigurationError

NOTHING = Selection()
SAVE = "Save the file as UTF-8; spreadsheets call it 'CSV UTF-8'."


def prospect(number: int, **values: Any) -> dict[str, Any]:
    return {
        "id": f"pro_{number:08}",
        "revision": 1,
        "status": "active",
        "updated_at": "2026-03-14T10:00:00.000Z",
        "email": f"p{number}@example.com",
    } | values


def submission(captured_at: str, event: str, form: str, **values: Any) -> dict[str, Any]:
    refs = {"event": {"id": event}, "form": {"id": form}}
    return {"id": f"sub_{event}", "captured_at": captured_at, "state": "complete", **refs, **values}


def ids(path: Path, selection: Selection = NOTHING) -> list[str]:
    return [found.prospect_id for page in FileSource(path).pages(selection) for found in page]


def payload(path: Path) -> dict[str, Any]:
    [[found]] = FileSource(path).pages(NOTHING)
    return found.payload


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        FileSource(path).check()
    assert "canary" not in str(caught.value)
    return [str(fault).removeprefix(str(path)) for fault in caught.value.faults]


# ---------------------------------------------------------------- formats


def test_json_lines_and_json_give_the_same_prospects(tmp_path: Path) -> None:
    prospects = [prospect(n, first_name="Zoë 🎪") for n in range(3)]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, prospects)), encoding="utf-8-sig")
    (tmp_path / "a.json").write_text(json.dumps(prospects, ensure_ascii=False, indent=2), encoding="utf-8-sig")
    for file in ("a.jsonl", "a.json"):
        [page] = FileSource(tmp_path / file).pages(NOTHING)
        assert [found.payload for found in page] == prospects
        assert page[0].updated_at == datetime(2026, 3, 14, 10, tzinfo=UTC)
        assert FileSource(tmp_path / file).check() == 3


def test_pages_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(json.dumps(prospect(n)) for n in range(1201)))
    assert [len(page) for page in FileSource(path).pages(NOTHING)] == [500, 500, 201]


def test_one_prospect_may_stand_alone(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(prospect(7)))
    assert ids(tmp_path / "one.json") == ["pro_00000007"]


def test_a_csv_row_becomes_a_prospect(tmp_path: Path) -> None:
    path = tmp_path / "booth.csv"
    path.write_bytes(
        b"\xef\xbb\xbfprospect_id,revision,updated_at,first_name,last_name,email,phones.work,phones.mobile,job_title,"
        b"company.name,company.employee_count,address.line1,address.city,address.postal_code,address.country_code,"
        b"event.id,event.name,form.id,submission.captured_at,privacy.do_not_email,tags,notes.all,custom.budget\r\n"
        b"A-1,3,2026-03-14T10:00:00+01:00,Ines,O'Brien,ines@example.com,(020) 7946 0018,+447700900123,Engineer,"
        b'"Northmoor, Valves",240,1 Mill Lane,Leeds,01067,GB,evt_12,Flow Expo,frm_88,2026-03-13T08:00:00Z,true,'
        b'hot; demo,"Wants a visit.\r\nSoon.",25000\r\n'
    )
    found = payload(path)
    assert found.pop("submissions") == [
        {
            "id": "sub_" + found["notes"][0]["id"].removeprefix("not_"),
            "prospect_id": "A-1",
            "captured_at": "2026-03-13T08:00:00.000Z",
            "received_at": "2026-03-13T08:00:00.000Z",
            "method": "import",
            "state": "complete",
            "event": {"id": "evt_12", "name": "Flow Expo"},
            "form": {"id": "frm_88"},
        }
    ]
    [note] = found.pop("notes")
    assert (note["text"], note["created_at"]) == ("Wants a visit.\r\nSoon.", "2026-03-13T08:00:00.000Z")
    assert found == {
        "id": "A-1",
        "revision": 3,
        "status": "active",
        "created_at": "2026-03-14T09:00:00.000Z",
        "updated_at": "2026-03-14T09:00:00.000Z",
        "first_name": "Ines",
        "last_name": "O'Brien",
        "email": "ines@example.com",
        "job_title": "Engineer",
        "phones": [{"kind": "work", "raw": "(020) 7946 0018"}, {"kind": "mobile", "raw": "+447700900123"}],
        "company": {"name": "Northmoor, Valves", "employee_count": 240},
        "addresses": [
            {"kind": "work", "line1": "1 Mill Lane", "city": "Leeds", "postal_code": "01067", "country_code": "GB"}
        ],
        "privacy": {"do_not_email": True},
        "tags": ["hot", "demo"],
        "custom_fields": {"budget": "25000"},
    }


def test_a_csv_row_without_revision_and_time_is_as_old_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "booth.csv"
    path.write_text("prospect_id,email,company.name\nA-1,a@example.com,\n")
    os.utime(path, (1_770_000_000, 1_770_000_000))
    written_at = datetime.fromtimestamp(1_770_000_000, UTC)
    [[found]] = FileSource(path).pages(NOTHING)
    assert (found.revision, found.updated_at) == (1, written_at)
    assert not {"company", "submissions", "addresses"} & set(found.payload)


# ---------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (NOTHING, [0, 1, 2, 3]),
        (Selection(prospect_ids=("pro_00000002", "unknown")), [2]),
        (Selection(event_ids=("evt_1",)), [0, 2]),
        (Selection(event_ids=("evt_1", "evt_2")), [0, 1, 2]),
        (Selection(event_ids=("evt_1",), form_ids=("frm_b",)), [2]),
        (Selection(captured_from=datetime(2026, 3, 2, tzinfo=UTC)), [1, 2, 3]),
        (Selection(captured_to=datetime(2026, 3, 2, tzinfo=UTC)), [0, 2]),
        (
            Selection(captured_from=datetime(2026, 3, 2, tzinfo=UTC), captured_to=datetime(2026, 3, 3, 12, tzinfo=UTC)),
            [1],
        ),
    ],
)
def test_only_what_is_selected_comes(tmp_path: Path, selection: Selection, expected: list[int]) -> None:
    early, late = "2026-03-01T09:00:00Z", "2026-03-02T00:00:00.000Z"
    path = tmp_path / "a.jsonl"
    captured = [
        [submission(early, "evt_1", "frm_a"), submission(late, "evt_2", "frm_b", state="deleted")],
        [submission(late, "evt_2", "frm_b")],
        [submission(early, "evt_1", "frm_b"), submission("2026-03-04T00:00:00Z", "evt_2", "frm_b")],
        [],
    ]
    path.write_text("\n".join(json.dumps(prospect(n, submissions=done)) for n, done in enumerate(captured)))
    assert ids(path, selection) == [f"pro_{n:08}" for n in expected]


# ---------------------------------------------------------------- one prospect once


def test_the_same_content_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(p) for p in (prospect(1), dict(reversed(prospect(1).items())), prospect(2))))
    assert FileSource(path).check() == 2


def test_other_content_under_one_id_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(p) for p in (prospect(1), prospect(2), prospect(1, email="canary@x.org"))))
    assert faults_of(path) == [":3: The prospect of line 1 stands here again with other content. Keep one of the two."]


def test_repeats_are_told_among_other_faults_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [prospect(1), prospect(2), prospect(2), {"id": 3}, prospect(1, email="canary"), prospect(4)]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [fault.partition(" ")[0] for fault in faults_of(path)] == [":4:", ":5:"]


def test_repeats_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([prospect(1), prospect(1), prospect(1, email="canary"), prospect(2, email="\ud83c")]))
    assert faults_of(path) == [":1: The prospect of line 1 stands here again with other content. Keep one of the two."]


def test_checking_remembers_a_few_bytes_of_each_prospect(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps(prospect(n)) + "\n" for n in range(count))
        tracemalloc.start()
        try:
            assert FileSource(path).check() == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is loaded once and for all
    assert peak(12_000) - peak(2_000) < 10_000 * 32


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        (
            "a.xlsx",
            b"",
            [": Nothing is known of this kind of file. Its name ends in one of: .json, .jsonl, .ndjson, .csv."],
        ),
        ("a.jsonl", b"", [": The file holds no prospect. Name another file."]),
        ("a.json", b"[]", [": The file holds no prospect. Name another file."]),
        ("a.csv", b"prospect_id,email\n", [": The file holds no prospect. Name another file."]),
        (
            "a.jsonl",
            b'{"id": canary}\n{"id"\n',
            [
                ":1: The text is no JSON (column 8): unexpected character, expected a JSON value. Correct it.",
                ":2: The text is no JSON (column 6): unexpected end of data. Correct it.",
            ],
        ),
        (
            "a.json",
            b'[\n{"id": 1},\n{"id" 2}]',
            [":3: The text is no JSON (column 7): Expecting ':' delimiter. Correct it."],
        ),
        (
            "a.json",
            b'[{"score": NaN}]',
            [": The text is no JSON: it holds NaN or Infinity, or nests too deep. Correct it."],
        ),
        (
            "a.json",
            b'[\n {"id": "a", "revision": 1, "updated_at": "2026-03-14T10:00:00Z", "email": "canary"}'
            b',\n\n {"id": ""}, 7]',
            [
                ":4: This is no prospect: 'id' is no text. Correct it.",
                ":4: This is no prospect: it is no JSON object. Correct it.",
            ],
        ),
        (
            "a.csv",
            b"prospect_id,email\nA-1,Andr\xe9@canary\n",
            [f":2: The text is not UTF-8 (byte 9 of the line). {SAVE}"],
        ),
        (
            "a.csv",
            "prospect_id,email\n".encode("utf-16"),
            [f":1: The text is UTF-16. {SAVE}"],
        ),
        (
            "a.csv",
            b"prospect_id;email\nA-1;canary\n",
            [":1: The cells are not parted by commas. Save the table as CSV with commas."],
        ),
        (
            "a.csv",
            b"id,e-mail,custom.Budget,first_name,first_name\ncanary\n",
            [
                ":1: The column 'first_name' stands there twice. Keep one.",
                ":1: The column 'prospect_id' is missing. Give every prospect an id that stays the same.",
                ":1: The columns by which a person is known are missing. Add 'email', or 'first_name' and 'last_name'.",
                ":1: There is no column 'custom.Budget'. A field of your own is named custom.<key>.",
                ":1: There is no column 'e-mail'. Did you mean 'email'?",
                ":1: There is no column 'id'. A field of your own is named custom.<key>.",
            ],
        ),
        (
            "a.csv",
            b"prospect_id,email,revision,updated_at,address.country_code\n"
            b"A-1,canary,1,2026-03-14T10:00:00Z,GB\n"
            b",,first,2026-03-14T10:00:00,UK1\n"
            b"A-2,canary\n"
            b"A-3,canary,1,yesterday,\n",
            [
                ":3: Column 'address.country_code' holds something else than a code of two capital letters, "
                "such as GB. Correct it.",
                ":3: Column 'prospect_id' is empty. Every row needs one.",
                ":3: Column 'revision' holds something else than a whole number from 1. Correct it.",
                ":3: Column 'updated_at' holds something else than a time with its zone, such as 2026-03-14T09:15:30Z. "
                "Correct it.",
                ":3: Nothing tells who this is. Fill in 'email', or 'first_name' and 'last_name'.",
                ":4: The row has 2 cells, the header 5. Put a text with a comma in quotes.",
                ":5: Column 'updated_at' holds something else than a time with its zone, such as 2026-03-14T09:15:30Z. "
                "Correct it.",
            ],
        ),
        (
            "a.csv",
            b'prospect_id,email\nA-1,x@example.com\nA-2,"canary\n',
            [":3: The row cannot be read: unexpected end of data. Check its quotes and line ends."],
        ),
    ],
)
def test_a_broken_file_says_where_and_what_to_do(tmp_path: Path, name: str, content: bytes, faults: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    assert faults_of(tmp_path / name) == faults


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "gone.csv") == [
        ": The file cannot be read: No such file or directory. Check its path and permissions."
    ]


def test_faults_are_not_told_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("no\n" * 1000)
    faults = faults_of(path)
    assert len(faults) == 51
    assert faults[-1] == ":50: There may be more faults below."


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": 7}, "'id' is no text"),
        ({"revision": 0}, "'revision' is no whole number from 1"),
        ({"revision": True}, "'revision' is no whole number from 1"),
        ({"updated_at": "2026-03-14T10:00:00"}, "'updated_at' is no time with its zone"),
        ({"email": " ", "last_name": "B"}, "it has neither 'email' nor 'first_name' and 'last_name'"),
        ({"first_name": ["A"]}, "'first_name' is no text"),
        ({"company": "canary"}, "'company' is no object"),
        ({"phones": {"work": "canary"}}, "'phones' is no list of objects"),
        ({"phones": ["canary"]}, "'phones' is no list of objects"),
        ({"tags": "canary"}, "'tags' is no list"),
        ({"submissions": [{"event": "canary"}]}, "'submissions.event' is no object"),
        ({"submissions": [{"answers": {}}]}, "'submissions.answers' is no list of objects"),
    ],
)
def test_a_prospect_of_the_wrong_form_is_a_fault(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(prospect(1) | change))
    assert faults_of(path) == [f":1: This is no prospect: {fault}. Correct it."]


def test_what_the_schema_does_not_know_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(prospect(1, status="brand_new", company=None, tags=None, shoe_size=42)))
    assert FileSource(path).check() == 1


def test_half_an_emoji_refuses_neither_the_file_nor_the_prospect(tmp_path: Path) -> None:
    cut = json.dumps(prospect(1, first_name="Zo\ud83d"))
    for name, text in (("a.jsonl", f"{cut}\n{cut}\n"), ("a.json", f"[{cut}, {cut}]")):
        (tmp_path / name).write_text(text)
        assert FileSource(tmp_path / name).check() == 1
        [page] = FileSource(tmp_path / name).pages(NOTHING)
        assert {found.payload["first_name"] for found in page} == {"Zo\ud83d"}
